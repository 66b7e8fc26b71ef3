"""Tables of jobs, schedules, queues and limits."""

import sqlalchemy as sa

from workbell.adapters.sql.migrations.first_schema.columns import (
    Spec,
    cascade,
    columns,
    create_index,
    table,
)


def tables() -> list[Spec]:
    """Return the tables; each follows those it refers to."""
    return [
        table(
            "workbell_concurrency_keys",
            *columns("key str:191!, concurrency_limit int"),
            sqlite_with_rowid=False,
        ),
        table(
            "workbell_cancellations",
            *columns("id id!, owner id, schedule_id id?, last_job_id id, reason str:255"),
            *columns("started_at time, cancelled int"),
            sa.Index("workbell_cancellations_schedule_idx", "schedule_id", "last_job_id"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_jobs",
            *columns("id id!, state small, queue str:128, priority int, fair_tag float"),
            *columns("fair_key str:128, weight float, due_at time, concurrency_key str:191?"),
            *columns("concurrency_limit int, mode small, fail_when_lost flag, attempt int"),
            *columns(
                "uncharged int, max_attempts int, timeout_seconds int, token id, lease_until time?"
            ),
            *columns("worker str:128?, cancel_requested flag, owner id, task str:255"),
            *columns("name str:255, origin str:16, schedule_id id?, tick time?, for_tick time?"),
            *columns("rerun_of id?, idempotency_key str:255?, request_hash str:128?"),
            *columns("hidden flag, created_at time, queued_at time?, started_at time?"),
            *columns("ended_at time?, progress json?, missed json?, reason long?"),
            *columns("description long, parameters json, result json?"),
            sqlite_autoincrement=True,
            postgresql_with={"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.02},
        ),
        table("workbell_metadata", *columns("name str:64!, value long"), sqlite_with_rowid=False),
        table(
            "workbell_queues",
            *columns("name str:128!, state str:16, changed_at time"),
            sqlite_with_rowid=False,
        ),
        table(
            "workbell_schedules",
            *columns("id id!, owner id, task str:255, name str:255, cron str:256, zone str:64"),
            *columns("dst_gap str:16, dst_overlap str:16, misfire_policy str:16"),
            *columns("overlap_policy str:16, starts_at time?, ends_at time?, max_runs int?"),
            *columns("jitter_seconds int, queue str:128?, priority int, weight float"),
            *columns("max_attempts int?, timeout_seconds int?, schema_version int"),
            *columns("next_at time?, cursor time?, runs int, version int, fail_streak int"),
            *columns("alert_after_seconds int?, alert_at time?, overdue_since time?"),
            *columns("created_at time, updated_at time, deleted_at time?, paused_reason text?"),
            *columns("parameters json"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_task_definitions",
            *columns("id id!, key str:255, name str:255, description long, schema json"),
            *columns("schema_version int, is_active flag, created_at time, parked_at time?"),
            sa.UniqueConstraint("key"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_workers",
            *columns("id str:128!, host str:255, pid int, started_at time, seen_at time"),
            *columns("threads int, running int, written_off int, queues json, knows json"),
            *columns("excluded json"),
            sqlite_with_rowid=False,
        ),
        table(
            "workbell_artifacts",
            cascade("job_id", "workbell_jobs.id", primary_key=True),
            *columns("name str:255!, media_type str:127, size id, sha256 str:64, key str:255"),
            sqlite_with_rowid=False,
        ),
        table(
            "workbell_attempts",
            cascade("job_id", "workbell_jobs.id", primary_key=True),
            *columns("number int!, queued_at time?, started_at time, ended_at time?"),
            *columns("outcome str:16?, worker str:128?, error long?, traceback long?"),
            *columns("isolation str:16?"),
            sqlite_with_rowid=False,
        ),
        table(
            "workbell_job_logs",
            cascade("job_id", "workbell_jobs.id", primary_key=True),
            *columns("attempt int!, seq int!, at time, level str:16, text long"),
            sqlite_with_rowid=False,
        ),
    ]


def create_indexes() -> None:
    create_index(
        "workbell_jobs_busy_idx",
        "workbell_jobs",
        "concurrency_key, state",
        "concurrency_key IS NOT NULL AND state < 4",
    )
    create_index(
        "workbell_jobs_claim_idx",
        "workbell_jobs",
        "queue, priority DESC, fair_tag, id",
        "state = 2",
        plain="state, queue, priority DESC, fair_tag, id",
    )
    create_index(
        "workbell_jobs_ended_idx",
        "workbell_jobs",
        "state, ended_at",
        "schedule_id IS NULL AND state > 3",
    )
    create_index(
        "workbell_jobs_ended_runs_idx",
        "workbell_jobs",
        "ended_at",
        "schedule_id IS NOT NULL AND state > 3",
    )
    create_index(
        "workbell_jobs_held_idx",
        "workbell_jobs",
        "concurrency_key, priority DESC, due_at, id",
        "state = 1 AND concurrency_key IS NOT NULL",
        plain="state, concurrency_key, priority DESC, due_at, id",
    )
    create_index(
        "workbell_jobs_held_task_idx",
        "workbell_jobs",
        "task, id",
        "state = 1 AND concurrency_key IS NULL",
        plain="state, concurrency_key, task, id",
    )
    create_index(
        "workbell_jobs_idempotency_key_key",
        "workbell_jobs",
        "owner, idempotency_key",
        "idempotency_key IS NOT NULL",
        unique=True,
    )
    create_index(
        "workbell_jobs_lease_idx",
        "workbell_jobs",
        "lease_until, id",
        "state = 3",
        plain="state, lease_until, id",
    )
    create_index(
        "workbell_jobs_share_idx",
        "workbell_jobs",
        "queue, priority, fair_key, fair_tag",
        "state = 2",
        plain="state, queue, priority, fair_key, fair_tag",
    )
    create_index(
        "workbell_jobs_stage_idx",
        "workbell_jobs",
        "due_at, id",
        "state = 0",
        plain="state, due_at, id",
    )
    create_index(
        "workbell_jobs_started_idx",
        "workbell_jobs",
        "schedule_id, id",
        "schedule_id IS NOT NULL AND started_at IS NOT NULL",
    )
    create_index(
        "workbell_jobs_tick_key",
        "workbell_jobs",
        "schedule_id, tick",
        "tick IS NOT NULL",
        unique=True,
    )
    create_index(
        "workbell_jobs_unfinished_idx",
        "workbell_jobs",
        "schedule_id, id",
        "schedule_id IS NOT NULL AND state < 4",
        plain="schedule_id, state, id",
    )
    create_index(
        "workbell_jobs_waiting_idx",
        "workbell_jobs",
        "owner, id",
        "state < 3",
        plain=None,
    )
    create_index(
        "workbell_jobs_owner_idx",
        "workbell_jobs",
        "owner, id",
        "hidden = false",
        plain="owner, hidden, id",
    )
    create_index(
        "workbell_jobs_status_idx",
        "workbell_jobs",
        "state, hidden, id",
        "state + 0 > 3",
    )
    create_index(
        "workbell_jobs_owner_status_idx",
        "workbell_jobs",
        "owner, state, hidden, id",
        "state + 0 > 4",
    )
    create_index(
        "workbell_jobs_pending_idx",
        "workbell_jobs",
        "id",
        "state < 3 AND attempt = 0 AND hidden = false",
        plain=None,
    )
    create_index(
        "workbell_jobs_retrying_idx",
        "workbell_jobs",
        "id",
        "state < 3 AND attempt > 0 AND hidden = false",
        plain=None,
    )
    create_index(
        "workbell_jobs_unstarted_idx",
        "workbell_jobs",
        "schedule_id, id",
        "schedule_id IS NOT NULL AND started_at IS NULL",
        plain=None,
    )
    create_index(
        "workbell_schedules_created_idx",
        "workbell_schedules",
        "created_at, id",
        "deleted_at IS NULL",
        plain="deleted_at, created_at, id",
    )
    create_index(
        "workbell_schedules_owner_idx",
        "workbell_schedules",
        "owner, created_at, id",
        "deleted_at IS NULL",
        plain="owner, deleted_at, created_at, id",
    )
    create_index(
        "workbell_schedules_overdue_idx",
        "workbell_schedules",
        "owner",
        "overdue_since IS NOT NULL",
        plain="overdue_since, owner",
    )
    create_index(
        "workbell_schedules_active_idx",
        "workbell_schedules",
        "owner",
        "next_at IS NOT NULL AND deleted_at IS NULL",
        plain="owner, deleted_at",
    )
    create_index(
        "workbell_schedules_alert_idx", "workbell_schedules", "alert_at, id", "alert_at IS NOT NULL"
    )
    create_index(
        "workbell_schedules_deleted_idx",
        "workbell_schedules",
        "deleted_at",
        "deleted_at IS NOT NULL",
        plain="deleted_at, owner",
    )
    create_index(
        "workbell_schedules_due_idx",
        "workbell_schedules",
        "next_at, id",
        "next_at IS NOT NULL AND deleted_at IS NULL",
    )
