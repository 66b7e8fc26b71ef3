"""The first schema."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from workbell.adapters.sql.database.column_types import (
    Id,
    JsonText,
    LongBytes,
    LongText,
    UtcDateTime,
)
from workbell.adapters.sql.database.mysql import drop_partial_tables, table_options

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TYPES: dict[str, Any] = {
    "id": Id,
    "int": sa.Integer(),
    "small": sa.SmallInteger(),
    "float": sa.Double(),
    "flag": sa.Boolean(),
    "date": sa.Date(),
    "time": UtcDateTime(),
    "text": sa.Text(),
    "long": LongText,
    "bytes": LongBytes,
    "json": JsonText(),
}
Spec = tuple[str, tuple[sa.schema.SchemaItem, ...], dict[str, Any]]


def upgrade() -> None:
    specs = tables()
    drop_partial_tables(op.get_bind(), [name for name, *_ in reversed(specs)])
    for name, items, options in specs:
        op.create_table(name, *items, **table_options(op.get_bind()), **options)
    create_indexes()


def columns(text: str) -> Iterator[sa.Column[Any]]:
    """Parse columns: "name type", with ":length" of a string, "!" a primary key, "?" nullable."""
    for column in text.split(", "):
        name, spec = column.split(" ")
        kind, _, length = spec.rstrip("!?").partition(":")
        yield sa.Column(
            name,
            sa.String(int(length)) if kind == "str" else TYPES[kind],
            primary_key=spec.endswith("!"),
            autoincrement=name == "id" and kind == "id",
            nullable=spec.endswith("?"),
        )


def cascade(name: str, target: str, *, primary_key: bool = False) -> sa.Column[Any]:
    key = sa.ForeignKey(target, ondelete="CASCADE")
    return sa.Column(name, Id, key, primary_key=primary_key, nullable=False)


def table(name: str, *items: sa.schema.SchemaItem, **options: Any) -> Spec:
    return name, items, options


def tables() -> list[Spec]:
    """Return the tables; each follows those it refers to."""
    return [
        table(
            "workbell_accounts",
            *columns("id id!, name str:255, token str:512, token_index str:64"),
            *columns("previous_token_index str:64?, previous_token_until time?"),
            *columns("created_at time, updated_at time, deleted_at time?"),
            sa.UniqueConstraint("token_index"),
            sa.Index("workbell_accounts_previous_token_idx", "previous_token_index"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_api_keys",
            *columns("id id!, user_id id, name str:100, prefix str:64, secret_hash str:64"),
            *columns("scopes json, created_at time, expires_at time?, last_used_at time?"),
            *columns("revoked_at time?"),
            sa.UniqueConstraint("prefix"),
            sa.Index("workbell_api_keys_user_idx", "user_id", "id"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_audit",
            *columns("id id!, user_id id, action str:64, model_name str:64, object_id str:128"),
            *columns("changes json, address str:64, user_agent str:256, request_id str:64"),
            *columns("at time"),
            sa.Index("workbell_audit_object_idx", "model_name", "object_id", "id"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_codes",
            *columns("id id!, user_id id, purpose str:32, code_hash str:255, created_at time"),
            *columns("expires_at time, used_at time?, attempts int"),
            sa.Index("workbell_codes_user_idx", "user_id", "purpose", "id"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_concurrency_keys",
            *columns("key str:191!, concurrency_limit int"),
            sqlite_with_rowid=False,
        ),
        table(
            "workbell_deliveries",
            *columns("id id!, account_id id, event_id id, event_key str:128"),
            *columns("event_type str:128, destination_id id, state small, is_test flag"),
            *columns("attempts int, schedule_start int, turn int, next_attempt_at time?"),
            *columns("slot_at time?, last_status_code int?, last_error long?"),
            *columns("created_at time, updated_at time, completed_at time?"),
            *delivery_indexes(),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_destinations",
            *columns("id id!, account_id id, url str:2048, method str:8, headers json"),
            *columns("event_types json, is_active flag, disabled_reason long?"),
            *columns("timeout_seconds int, retry_delays json, rate_per_second int?"),
            *columns("concurrency int, secret str:512, previous_secret str:512?"),
            *columns("previous_secret_until time?, breaker_state str:16, failures int"),
            *columns("failing_since time?, openings int, open_until time?, probe id?"),
            *columns("next_send_at time?, exhausted_at time?, version int, created_at time"),
            *columns("updated_at time, deleted_at time?"),
            sa.Index("workbell_destinations_account_idx", "account_id", "deleted_at", "id"),
            sqlite_autoincrement=True,
            postgresql_with={"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.02},
        ),
        table(
            "workbell_events",
            *columns("id id!, account_id id, event_key str:128, event_type str:128"),
            *columns("fingerprint str:64, created_by id, created_at time, has_data flag"),
            *columns("data bytes?"),
            sa.UniqueConstraint("account_id", "event_key"),
            sa.Index("workbell_events_account_idx", "account_id", "id"),
            sa.Index("workbell_events_data_idx", "has_data", "created_at"),
            sa.Index("workbell_events_type_idx", "account_id", "event_type", "id"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_goal_ledgers",
            *columns("owner id!, last_goal id, revision id"),
            sqlite_with_rowid=False,
        ),
        table(
            "workbell_goal_reminders",
            *columns("goal_id id!, since date, count int, last date"),
            sqlite_with_rowid=False,
        ),
        table(
            "workbell_goals",
            *columns("id id!, owner id, number id, name str:500, category str:16"),
            *columns("is_complete flag, deadline date?, state str:16, logged_seconds id"),
            *columns("total_seconds id, last_entry id, version int, active_at time"),
            *columns("created_at time, updated_at time"),
            sa.UniqueConstraint("owner", "number"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_jobs",
            *columns("id id!, state small, queue str:128, priority int, fair_tag float"),
            *columns("fair_key str:128, weight float, due_at time, concurrency_key str:191?"),
            *columns("concurrency_limit int, mode small, fail_when_lost flag, attempt int"),
            *columns("max_attempts int, timeout_seconds int, token id, lease_until time?"),
            *columns("worker str:128?, cancel_requested flag, owner id, task str:255"),
            *columns("name str:255, origin str:16, schedule_id id?, tick time?, for_tick time?"),
            *columns("rerun_of id?, idempotency_key str:255?, request_hash str:128?"),
            *columns("hidden flag, created_at time, queued_at time?, started_at time?"),
            *columns("ended_at time?, progress json?, missed json?, reason long?"),
            *columns("description long, parameters json, result json?"),
            sa.Index("workbell_jobs_owner_idx", "owner", "id"),
            sqlite_autoincrement=True,
            postgresql_with={"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.02},
        ),
        table(
            "workbell_memberships",
            *columns("id id!, account_id id, user_id id, role small, created_at time"),
            *columns("updated_at time"),
            sa.UniqueConstraint("account_id", "user_id"),
            sa.Index("workbell_memberships_account_idx", "account_id", "id"),
            sa.Index("workbell_memberships_role_idx", "account_id", "role", "user_id"),
            sa.Index("workbell_memberships_user_idx", "user_id", "account_id"),
            sqlite_autoincrement=True,
        ),
        table("workbell_metadata", *columns("name str:64!, value long"), sqlite_with_rowid=False),
        table(
            "workbell_notices",
            *columns("id id!, user_id id, kind str:16, key str:128, actor_id id?, project_id id?"),
            *columns("object_id id?, title str:500, data json, in_app flag, mail_state str:16"),
            *columns("mail_reason str:32?, mail_job_id id?, created_at time, read_at time?"),
            sa.UniqueConstraint("kind", "key", "user_id"),
            sa.Index("workbell_notices_user_idx", "user_id", "in_app", "id"),
            sa.Index("workbell_notices_unread_idx", "user_id", "in_app", "read_at", "id"),
            sa.Index("workbell_notices_kind_idx", "user_id", "kind", "created_at"),
            sa.Index("workbell_notices_created_at_idx", "created_at"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_notification_preferences",
            *columns("user_id id!, email json, in_app json, summary_time str:5?, zone str:64"),
            *columns("summary_at time?"),
            sa.Index("workbell_notification_preferences_summary_at_idx", "summary_at"),
            sqlite_with_rowid=False,
        ),
        table(
            "workbell_queues",
            *columns("name str:128!, state str:16, changed_at time"),
            sqlite_with_rowid=False,
        ),
        table(
            "workbell_quotas",
            *columns("key str:191!, until time, log json"),
            sa.Index("workbell_quotas_until_idx", "until"),
        ),
        table(
            "workbell_reminder_preferences",
            *columns("owner id!, reminders flag, reminder_time str:5?, zone str:64"),
            *columns("next_at time?, reminded_on date?"),
            sa.Index("workbell_reminder_preferences_next_at_idx", "next_at"),
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
            sa.Index("workbell_schedules_owner_idx", "owner", "id"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_second_factors",
            *columns("user_id id!, seed str:64, key_id str:16, created_at time"),
            *columns("confirmed_at time?, last_step int, recovery str:700"),
            sqlite_with_rowid=False,
        ),
        table(
            "workbell_sessions",
            *columns("id str:64!, user_id id, created_at time, expires_at time"),
            *columns("current_jti str:64, rotated_at time, previous_jti str:64?"),
            *columns("revoked_at time?, kind str:16, last_used_at time?, address str:64"),
            *columns("user_agent str:256"),
            sa.Index("workbell_sessions_from_idx", "user_id", "address"),
        ),
        table(
            "workbell_task_definitions",
            *columns("id id!, key str:255, name str:255, description long, schema json"),
            *columns("schema_version int, is_active flag, created_at time"),
            sa.UniqueConstraint("key"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_timers",
            *columns("owner id!, goal_id id, goal_number id, started_at time, zone str:64"),
            sqlite_with_rowid=False,
        ),
        table(
            "workbell_users",
            *columns("id id!, username str:150, username_key str:150, email str:254"),
            *columns("email_key str:254, first_name str:150, last_name str:150"),
            *columns("password_hash str:255, role str:16, tier str:16, is_super_user flag"),
            *columns("is_active flag, is_email_verified flag, time_zone str:64"),
            *columns("token_version int, created_at time, password_expires_at time?"),
            sa.UniqueConstraint("email_key"),
            sa.UniqueConstraint("username_key"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_workers",
            *columns("id str:128!, host str:255, pid int, started_at time, seen_at time"),
            *columns("threads int, running int, queues json"),
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
            *columns("outcome str:16?, worker str:128?, error long?"),
            sqlite_with_rowid=False,
        ),
        table(
            "workbell_delivery_attempts",
            cascade("delivery_id", "workbell_deliveries.id", primary_key=True),
            *columns("number int!, destination_id id, is_test flag, is_success flag"),
            *columns("started_at time, duration_ms int, status_code int?, error str:64?"),
            *columns("detail long, address str:64, timings json, request_headers json"),
            *columns("response_headers json, snippet long"),
            sa.Index(
                "workbell_delivery_attempts_destination_idx",
                *("destination_id", "is_test", "is_success", "started_at", "duration_ms"),
            ),
        ),
        table(
            "workbell_job_logs",
            cascade("job_id", "workbell_jobs.id", primary_key=True),
            *columns("attempt int!, seq int!, at time, level str:16, text long"),
            sqlite_with_rowid=False,
        ),
        table(
            "workbell_progress_entries",
            *columns("id id!, owner id"),
            cascade("goal_id", "workbell_goals.id"),
            *columns("goal_number id, number id, logged_seconds int, total_seconds int"),
            *columns("started_at time?, zone str:64, local_day date, created_at time"),
            *columns("updated_at time, note long"),
            sa.UniqueConstraint("goal_id", "number"),
            sa.Index("workbell_progress_entries_owner_idx", "owner", "created_at", "id"),
            sa.Index("workbell_progress_entries_started_idx", "owner", "started_at"),
            sqlite_autoincrement=True,
        ),
        table(
            "workbell_progress_days",
            cascade("entry_id", "workbell_progress_entries.id", primary_key=True),
            *columns("local_day date!, owner id, goal_id id, seconds int"),
            sa.Index(
                "workbell_progress_days_owner_idx", "owner", "local_day", "goal_id", "seconds"
            ),
            sqlite_with_rowid=False,
        ),
    ]


def delivery_indexes() -> Iterator[sa.Index]:
    """Yield the indexes of lists, batches, statistics and pruning."""
    for name, text in (
        ("account", "account_id, created_at, id"),
        ("account_state", "account_id, state, created_at, id"),
        ("batch", "destination_id, state, id, completed_at"),
        ("destination", "destination_id, created_at, id"),
        ("destination_state", "destination_id, state, created_at, id"),
        ("event", "event_id, id"),
        ("state", "state, created_at, id"),
    ):
        yield sa.Index(f"workbell_deliveries_{name}_idx", *text.split(", "))


def create_indexes() -> None:
    create_index(
        "workbell_jobs_busy_idx",
        "workbell_jobs",
        "concurrency_key",
        "concurrency_key IS NOT NULL AND state IN (2, 3)",
        plain="concurrency_key, state",
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
        "state = 1",
        plain="state, concurrency_key, priority DESC, due_at, id",
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
        "workbell_jobs_waiting_idx", "workbell_jobs", "owner", "state < 3", plain="owner, state"
    )
    create_index(
        "workbell_schedules_alert_idx", "workbell_schedules", "alert_at, id", "alert_at IS NOT NULL"
    )
    create_index(
        "workbell_schedules_due_idx",
        "workbell_schedules",
        "next_at, id",
        "next_at IS NOT NULL AND deleted_at IS NULL",
    )


def create_index(
    name: str, table: str, columns: str, condition: str, *, plain: str = "", unique: bool = False
) -> None:
    """Create a partial index; on MySQL and MariaDB, which have none, a plain one."""
    if op.get_bind().dialect.name == "mysql":
        op.create_index(f"{name}_plain", table, index_columns(plain or columns), unique=unique)
        return
    where = sa.text(condition)
    op.create_index(
        name,
        table,
        index_columns(columns),
        unique=unique,
        sqlite_where=where,
        postgresql_where=where,
    )


def index_columns(text: str) -> list[Any]:
    return [sa.literal_column(name) if " " in name else name for name in text.split(", ")]
