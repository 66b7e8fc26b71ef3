"""The first schema."""

import sqlalchemy as sa
from alembic import op

from workbell.adapters.sql.database.column_types import Id, JsonText, LongText, UtcDateTime
from workbell.adapters.sql.database.mysql import drop_partial_tables, table_options

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Names of constraints follow the naming convention of the metadata.
# Tables that refer to others come first.
TABLES = [
    "workbell_progress_days",
    "workbell_progress_entries",
    "workbell_job_logs",
    "workbell_attempts",
    "workbell_artifacts",
    "workbell_workers",
    "workbell_users",
    "workbell_timers",
    "workbell_task_definitions",
    "workbell_sessions",
    "workbell_second_factors",
    "workbell_schedules",
    "workbell_quotas",
    "workbell_queues",
    "workbell_notification_preferences",
    "workbell_metadata",
    "workbell_jobs",
    "workbell_goals",
    "workbell_goal_reminders",
    "workbell_goal_ledgers",
    "workbell_concurrency_keys",
    "workbell_codes",
    "workbell_audit",
    "workbell_api_keys",
]

# On MySQL and MariaDB, which have no partial indexes: name, table, columns, unique
PLAIN_INDEXES = [
    ("workbell_jobs_busy_idx_plain", "workbell_jobs", ["concurrency_key", "state"], False),
    (
        "workbell_jobs_claim_idx_plain",
        "workbell_jobs",
        ["state", "queue", sa.literal_column("priority DESC"), "fair_tag", "id"],
        False,
    ),
    ("workbell_jobs_ended_idx_plain", "workbell_jobs", ["state", "ended_at"], False),
    ("workbell_jobs_ended_runs_idx_plain", "workbell_jobs", ["ended_at"], False),
    (
        "workbell_jobs_held_idx_plain",
        "workbell_jobs",
        ["state", "concurrency_key", sa.literal_column("priority DESC"), "due_at", "id"],
        False,
    ),
    (
        "workbell_jobs_idempotency_key_key_plain",
        "workbell_jobs",
        ["owner", "idempotency_key"],
        True,
    ),
    ("workbell_jobs_lease_idx_plain", "workbell_jobs", ["state", "lease_until", "id"], False),
    (
        "workbell_jobs_share_idx_plain",
        "workbell_jobs",
        ["state", "queue", "priority", "fair_key", "fair_tag"],
        False,
    ),
    ("workbell_jobs_stage_idx_plain", "workbell_jobs", ["state", "due_at", "id"], False),
    ("workbell_jobs_started_idx_plain", "workbell_jobs", ["schedule_id", "id"], False),
    ("workbell_jobs_tick_key_plain", "workbell_jobs", ["schedule_id", "tick"], True),
    ("workbell_jobs_unfinished_idx_plain", "workbell_jobs", ["schedule_id", "state", "id"], False),
    ("workbell_jobs_waiting_idx_plain", "workbell_jobs", ["owner", "state"], False),
    ("workbell_schedules_alert_idx_plain", "workbell_schedules", ["alert_at", "id"], False),
    ("workbell_schedules_due_idx_plain", "workbell_schedules", ["next_at", "id"], False),
]

# On SQLite and PostgreSQL: name, table, columns, unique, condition
PARTIAL_INDEXES = [
    (
        "workbell_jobs_busy_idx",
        "workbell_jobs",
        ["concurrency_key"],
        False,
        "concurrency_key IS NOT NULL AND state IN (2, 3)",
    ),
    (
        "workbell_jobs_claim_idx",
        "workbell_jobs",
        ["queue", sa.literal_column("priority DESC"), "fair_tag", "id"],
        False,
        "state = 2",
    ),
    (
        "workbell_jobs_ended_idx",
        "workbell_jobs",
        ["state", "ended_at"],
        False,
        "schedule_id IS NULL AND state > 3",
    ),
    (
        "workbell_jobs_ended_runs_idx",
        "workbell_jobs",
        ["ended_at"],
        False,
        "schedule_id IS NOT NULL AND state > 3",
    ),
    (
        "workbell_jobs_held_idx",
        "workbell_jobs",
        ["concurrency_key", sa.literal_column("priority DESC"), "due_at", "id"],
        False,
        "state = 1",
    ),
    (
        "workbell_jobs_idempotency_key_key",
        "workbell_jobs",
        ["owner", "idempotency_key"],
        True,
        "idempotency_key IS NOT NULL",
    ),
    ("workbell_jobs_lease_idx", "workbell_jobs", ["lease_until", "id"], False, "state = 3"),
    (
        "workbell_jobs_share_idx",
        "workbell_jobs",
        ["queue", "priority", "fair_key", "fair_tag"],
        False,
        "state = 2",
    ),
    ("workbell_jobs_stage_idx", "workbell_jobs", ["due_at", "id"], False, "state = 0"),
    (
        "workbell_jobs_started_idx",
        "workbell_jobs",
        ["schedule_id", "id"],
        False,
        "schedule_id IS NOT NULL AND started_at IS NOT NULL",
    ),
    ("workbell_jobs_tick_key", "workbell_jobs", ["schedule_id", "tick"], True, "tick IS NOT NULL"),
    (
        "workbell_jobs_unfinished_idx",
        "workbell_jobs",
        ["schedule_id", "id"],
        False,
        "schedule_id IS NOT NULL AND state < 4",
    ),
    ("workbell_jobs_waiting_idx", "workbell_jobs", ["owner"], False, "state < 3"),
    (
        "workbell_schedules_alert_idx",
        "workbell_schedules",
        ["alert_at", "id"],
        False,
        "alert_at IS NOT NULL",
    ),
    (
        "workbell_schedules_due_idx",
        "workbell_schedules",
        ["next_at", "id"],
        False,
        "next_at IS NOT NULL AND deleted_at IS NULL",
    ),
]


def upgrade() -> None:
    drop_partial_tables(op.get_bind(), TABLES)
    create_table(
        "workbell_api_keys",
        sa.Column("id", Id, primary_key=True, autoincrement=True),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("prefix", sa.String(64), nullable=False),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("scopes", JsonText(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("last_used_at", UtcDateTime(), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.UniqueConstraint("prefix"),
        sa.Index("workbell_api_keys_user_idx", "user_id", "id"),
        sqlite_autoincrement=True,
    )
    create_table(
        "workbell_audit",
        sa.Column("id", Id, primary_key=True, autoincrement=True),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("model_name", sa.String(64), nullable=False),
        sa.Column("object_id", sa.String(128), nullable=False),
        sa.Column("changes", JsonText(), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("user_agent", sa.String(256), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Index("workbell_audit_object_idx", "model_name", "object_id", "id"),
        sqlite_autoincrement=True,
    )
    create_table(
        "workbell_codes",
        sa.Column("id", Id, primary_key=True, autoincrement=True),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("code_hash", sa.String(255), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("used_at", UtcDateTime(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Index("workbell_codes_user_idx", "user_id", "purpose", "id"),
        sqlite_autoincrement=True,
    )
    create_table(
        "workbell_concurrency_keys",
        sa.Column("key", sa.String(191), primary_key=True),
        sa.Column("concurrency_limit", sa.Integer(), nullable=False),
        sqlite_with_rowid=False,
    )
    create_table(
        "workbell_goal_ledgers",
        sa.Column("owner", Id, primary_key=True, autoincrement=False),
        sa.Column("last_goal", Id, nullable=False),
        sa.Column("revision", Id, nullable=False),
        sqlite_with_rowid=False,
    )
    create_table(
        "workbell_goal_reminders",
        sa.Column("goal_id", Id, primary_key=True, autoincrement=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last", sa.Date(), nullable=False),
        sqlite_with_rowid=False,
    )
    create_table(
        "workbell_goals",
        sa.Column("id", Id, primary_key=True, autoincrement=True),
        sa.Column("owner", Id, nullable=False),
        sa.Column("number", Id, nullable=False),
        sa.Column("name", sa.String(500), nullable=False),
        sa.Column("category", sa.String(16), nullable=False),
        sa.Column("is_complete", sa.Boolean(), nullable=False),
        sa.Column("deadline", sa.Date(), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("logged_seconds", Id, nullable=False),
        sa.Column("total_seconds", Id, nullable=False),
        sa.Column("last_entry", Id, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("active_at", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.UniqueConstraint("owner", "number"),
        sqlite_autoincrement=True,
    )
    create_table(
        "workbell_jobs",
        sa.Column("id", Id, primary_key=True, autoincrement=True),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("queue", sa.String(128), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("fair_tag", sa.Double(), nullable=False),
        sa.Column("fair_key", sa.String(128), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("concurrency_key", sa.String(191), nullable=True),
        sa.Column("concurrency_limit", sa.Integer(), nullable=False),
        sa.Column("mode", sa.SmallInteger(), nullable=False),
        sa.Column("fail_when_lost", sa.Boolean(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("timeout_seconds", sa.Integer(), nullable=False),
        sa.Column("token", Id, nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("worker", sa.String(128), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("owner", Id, nullable=False),
        sa.Column("task", sa.String(255), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("schedule_id", Id, nullable=True),
        sa.Column("tick", UtcDateTime(), nullable=True),
        sa.Column("for_tick", UtcDateTime(), nullable=True),
        sa.Column("rerun_of", Id, nullable=True),
        sa.Column("idempotency_key", sa.String(255), nullable=True),
        sa.Column("request_hash", sa.String(128), nullable=True),
        sa.Column("hidden", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("queued_at", UtcDateTime(), nullable=True),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("progress", JsonText(), nullable=True),
        sa.Column("missed", JsonText(), nullable=True),
        sa.Column("reason", LongText, nullable=True),
        sa.Column("description", LongText, nullable=False),
        sa.Column("parameters", JsonText(), nullable=False),
        sa.Column("result", JsonText(), nullable=True),
        sa.Index("workbell_jobs_owner_idx", "owner", "id"),
        sqlite_autoincrement=True,
        postgresql_with={"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.02},
    )
    create_table(
        "workbell_metadata",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", LongText, nullable=False),
        sqlite_with_rowid=False,
    )
    create_table(
        "workbell_notification_preferences",
        sa.Column("owner", Id, primary_key=True, autoincrement=False),
        sa.Column("reminders", sa.Boolean(), nullable=False),
        sa.Column("reminder_time", sa.String(5), nullable=True),
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("next_at", UtcDateTime(), nullable=True),
        sa.Column("reminded_on", sa.Date(), nullable=True),
        sa.Index("workbell_notification_preferences_next_at_idx", "next_at"),
        sqlite_with_rowid=False,
    )
    create_table(
        "workbell_queues",
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sqlite_with_rowid=False,
    )
    create_table(
        "workbell_quotas",
        sa.Column("key", sa.String(191), primary_key=True),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.Column("log", JsonText(), nullable=False),
        sa.Index("workbell_quotas_until_idx", "until"),
    )
    create_table(
        "workbell_schedules",
        sa.Column("id", Id, primary_key=True, autoincrement=True),
        sa.Column("owner", Id, nullable=False),
        sa.Column("task", sa.String(255), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("cron", sa.String(256), nullable=False),
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("dst_gap", sa.String(16), nullable=False),
        sa.Column("dst_overlap", sa.String(16), nullable=False),
        sa.Column("misfire_policy", sa.String(16), nullable=False),
        sa.Column("overlap_policy", sa.String(16), nullable=False),
        sa.Column("starts_at", UtcDateTime(), nullable=True),
        sa.Column("ends_at", UtcDateTime(), nullable=True),
        sa.Column("max_runs", sa.Integer(), nullable=True),
        sa.Column("jitter_seconds", sa.Integer(), nullable=False),
        sa.Column("queue", sa.String(128), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=True),
        sa.Column("timeout_seconds", sa.Integer(), nullable=True),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("next_at", UtcDateTime(), nullable=True),
        sa.Column("cursor", UtcDateTime(), nullable=True),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("fail_streak", sa.Integer(), nullable=False),
        sa.Column("alert_after_seconds", sa.Integer(), nullable=True),
        sa.Column("alert_at", UtcDateTime(), nullable=True),
        sa.Column("overdue_since", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("deleted_at", UtcDateTime(), nullable=True),
        sa.Column("paused_reason", sa.Text(), nullable=True),
        sa.Column("parameters", JsonText(), nullable=False),
        sa.Index("workbell_schedules_owner_idx", "owner", "id"),
        sqlite_autoincrement=True,
    )
    create_table(
        "workbell_second_factors",
        sa.Column("user_id", Id, primary_key=True, autoincrement=False),
        sa.Column("seed", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("confirmed_at", UtcDateTime(), nullable=True),
        sa.Column("last_step", sa.Integer(), nullable=False),
        sa.Column("recovery", sa.String(700), nullable=False),
        sqlite_with_rowid=False,
    )
    create_table(
        "workbell_sessions",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("current_jti", sa.String(64), nullable=False),
        sa.Column("rotated_at", UtcDateTime(), nullable=False),
        sa.Column("previous_jti", sa.String(64), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("last_used_at", UtcDateTime(), nullable=True),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("user_agent", sa.String(256), nullable=False),
        sa.Index("workbell_sessions_from_idx", "user_id", "address"),
    )
    create_table(
        "workbell_task_definitions",
        sa.Column("id", Id, primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", LongText, nullable=False),
        sa.Column("schema", JsonText(), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.UniqueConstraint("key"),
        sqlite_autoincrement=True,
    )
    create_table(
        "workbell_timers",
        sa.Column("owner", Id, primary_key=True, autoincrement=False),
        sa.Column("goal_id", Id, nullable=False),
        sa.Column("goal_number", Id, nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("zone", sa.String(64), nullable=False),
        sqlite_with_rowid=False,
    )
    create_table(
        "workbell_users",
        sa.Column("id", Id, primary_key=True, autoincrement=True),
        sa.Column("username", sa.String(150), nullable=False),
        sa.Column("username_key", sa.String(150), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("email_key", sa.String(254), nullable=False),
        sa.Column("first_name", sa.String(150), nullable=False),
        sa.Column("last_name", sa.String(150), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("tier", sa.String(16), nullable=False),
        sa.Column("is_super_user", sa.Boolean(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("is_email_verified", sa.Boolean(), nullable=False),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("token_version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("password_expires_at", UtcDateTime(), nullable=True),
        sa.UniqueConstraint("email_key"),
        sa.UniqueConstraint("username_key"),
        sqlite_autoincrement=True,
    )
    create_table(
        "workbell_workers",
        sa.Column("id", sa.String(128), primary_key=True),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("threads", sa.Integer(), nullable=False),
        sa.Column("running", sa.Integer(), nullable=False),
        sa.Column("queues", JsonText(), nullable=False),
        sqlite_with_rowid=False,
    )
    create_table(
        "workbell_artifacts",
        sa.Column(
            "job_id", Id, sa.ForeignKey("workbell_jobs.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("media_type", sa.String(127), nullable=False),
        sa.Column("size", Id, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sqlite_with_rowid=False,
    )
    create_table(
        "workbell_attempts",
        sa.Column(
            "job_id", Id, sa.ForeignKey("workbell_jobs.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("queued_at", UtcDateTime(), nullable=True),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("outcome", sa.String(16), nullable=True),
        sa.Column("worker", sa.String(128), nullable=True),
        sa.Column("error", LongText, nullable=True),
        sqlite_with_rowid=False,
    )
    create_table(
        "workbell_job_logs",
        sa.Column(
            "job_id", Id, sa.ForeignKey("workbell_jobs.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("attempt", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("seq", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("text", LongText, nullable=False),
        sqlite_with_rowid=False,
    )
    create_table(
        "workbell_progress_entries",
        sa.Column("id", Id, primary_key=True, autoincrement=True),
        sa.Column("owner", Id, nullable=False),
        sa.Column(
            "goal_id", Id, sa.ForeignKey("workbell_goals.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("goal_number", Id, nullable=False),
        sa.Column("number", Id, nullable=False),
        sa.Column("logged_seconds", sa.Integer(), nullable=False),
        sa.Column("total_seconds", sa.Integer(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("local_day", sa.Date(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("note", LongText, nullable=False),
        sa.UniqueConstraint("goal_id", "number"),
        sa.Index("workbell_progress_entries_owner_idx", "owner", "created_at", "id"),
        sa.Index("workbell_progress_entries_started_idx", "owner", "started_at"),
        sqlite_autoincrement=True,
    )
    create_table(
        "workbell_progress_days",
        sa.Column(
            "entry_id",
            Id,
            sa.ForeignKey("workbell_progress_entries.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("local_day", sa.Date(), primary_key=True),
        sa.Column("owner", Id, nullable=False),
        sa.Column("goal_id", Id, nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.Index("workbell_progress_days_owner_idx", "owner", "local_day", "goal_id", "seconds"),
        sqlite_with_rowid=False,
    )
    create_indexes()


def create_table(name: str, *items: sa.schema.SchemaItem, **options: object) -> None:
    op.create_table(name, *items, **table_options(op.get_bind()), **options)


def create_indexes() -> None:
    if op.get_bind().dialect.name == "mysql":
        for name, table, columns, unique in PLAIN_INDEXES:
            op.create_index(name, table, columns, unique=unique)
        return
    for name, table, columns, unique, condition in PARTIAL_INDEXES:
        where = sa.text(condition)
        op.create_index(
            name, table, columns, unique=unique, sqlite_where=where, postgresql_where=where
        )
