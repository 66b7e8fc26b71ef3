"""The first schema."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMTEXT

from workbell.adapters.sql.database.column_types import Json, Moment
from workbell.adapters.sql.database.mysql import clear_remains, table_options

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LONG_TEXT = sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")

# those that refer to others first
TABLES = [
    "artifacts",
    "attempts",
    "job_logs",
    "audit",
    "codes",
    "facts",
    "jobs",
    "lanes",
    "queues",
    "schedules",
    "sessions",
    "task_definitions",
    "users",
    "workers",
]

# name, table, columns, unique, condition
PARTIAL_INDEXES = [
    ("ix_jobs_busy", "jobs", ["lane"], False, "lane IS NOT NULL AND state IN (2, 3)"),
    (
        "ix_jobs_claim",
        "jobs",
        ["queue", sa.literal_column("priority DESC"), "fair_tag", "id"],
        False,
        "state = 2",
    ),
    ("ix_jobs_ended", "jobs", ["state", "ended_at"], False, "schedule_id IS NULL AND state > 3"),
    ("ix_jobs_ended_runs", "jobs", ["ended_at"], False, "schedule_id IS NOT NULL AND state > 3"),
    (
        "ix_jobs_held",
        "jobs",
        ["lane", sa.literal_column("priority DESC"), "due_at", "id"],
        False,
        "state = 1",
    ),
    ("ix_jobs_lease", "jobs", ["lease_until", "id"], False, "state = 3"),
    ("ix_jobs_share", "jobs", ["queue", "priority", "fair_key", "fair_tag"], False, "state = 2"),
    ("ix_jobs_stage", "jobs", ["due_at", "id"], False, "state = 0"),
    (
        "ix_jobs_started",
        "jobs",
        ["schedule_id", "id"],
        False,
        "schedule_id IS NOT NULL AND started_at IS NOT NULL",
    ),
    (
        "ix_jobs_unfinished",
        "jobs",
        ["schedule_id", "id"],
        False,
        "schedule_id IS NOT NULL AND state < 4",
    ),
    ("ix_jobs_waiting", "jobs", ["owner"], False, "state < 3"),
    (
        "uq_jobs_idempotency_key",
        "jobs",
        ["owner", "idempotency_key"],
        True,
        "idempotency_key IS NOT NULL",
    ),
    ("uq_jobs_tick", "jobs", ["schedule_id", "tick"], True, "tick IS NOT NULL"),
    (
        "ix_schedules_due",
        "schedules",
        ["next_at", "id"],
        False,
        "next_at IS NOT NULL AND deleted_at IS NULL",
    ),
]
# MySQL has no partial indexes: name, table, columns, unique
PLAIN_INDEXES = [
    ("ix_jobs_busy_plain", "jobs", ["lane", "state"], False),
    (
        "ix_jobs_claim_plain",
        "jobs",
        ["state", "queue", sa.literal_column("priority DESC"), "fair_tag", "id"],
        False,
    ),
    ("ix_jobs_ended_plain", "jobs", ["state", "ended_at"], False),
    ("ix_jobs_ended_runs_plain", "jobs", ["ended_at"], False),
    (
        "ix_jobs_held_plain",
        "jobs",
        ["state", "lane", sa.literal_column("priority DESC"), "due_at", "id"],
        False,
    ),
    ("ix_jobs_lease_plain", "jobs", ["state", "lease_until", "id"], False),
    ("ix_jobs_share_plain", "jobs", ["state", "queue", "priority", "fair_key", "fair_tag"], False),
    ("ix_jobs_stage_plain", "jobs", ["state", "due_at", "id"], False),
    ("ix_jobs_started_plain", "jobs", ["schedule_id", "id"], False),
    ("ix_jobs_unfinished_plain", "jobs", ["schedule_id", "state", "id"], False),
    ("ix_jobs_waiting_plain", "jobs", ["owner", "state"], False),
    ("uq_jobs_idempotency_key_plain", "jobs", ["owner", "idempotency_key"], True),
    ("uq_jobs_tick_plain", "jobs", ["schedule_id", "tick"], True),
    ("ix_schedules_due_plain", "schedules", ["next_at", "id"], False),
]


def upgrade() -> None:
    clear_remains(op.get_bind(), TABLES)
    create_tables()
    create_indexes()


def create_tables() -> None:
    mysql = table_options(op.get_bind())
    op.create_table(
        "audit",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("model_name", sa.String(length=64), nullable=False),
        sa.Column("object_id", sa.String(length=128), nullable=False),
        sa.Column("changes", Json(), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("user_agent", sa.String(length=256), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        **mysql,
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_object", "audit", ["model_name", "object_id", "id"], unique=False)
    op.create_table(
        "codes",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("code_hash", sa.String(length=255), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=False),
        sa.Column("used_at", Moment(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_codes")),
        **mysql,
        sqlite_autoincrement=True,
    )
    op.create_index("ix_codes_user", "codes", ["user_id", "purpose", "id"], unique=False)
    op.create_table(
        "facts",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", LONG_TEXT, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_facts")),
        **mysql,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "jobs",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("queue", sa.String(length=128), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("fair_tag", sa.Double(), nullable=False),
        sa.Column("fair_key", sa.String(length=128), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("due_at", Moment(), nullable=False),
        sa.Column("lane", sa.String(length=191), nullable=True),
        sa.Column("lane_limit", sa.Integer(), nullable=False),
        sa.Column("mode", sa.SmallInteger(), nullable=False),
        sa.Column("fail_when_lost", sa.Boolean(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("timeout_seconds", sa.Integer(), nullable=False),
        sa.Column("token", ID, nullable=False),
        sa.Column("lease_until", Moment(), nullable=True),
        sa.Column("worker", sa.String(length=128), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("owner", ID, nullable=False),
        sa.Column("task", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("schedule_id", ID, nullable=True),
        sa.Column("tick", Moment(), nullable=True),
        sa.Column("for_tick", Moment(), nullable=True),
        sa.Column("rerun_of", ID, nullable=True),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("request_hash", sa.String(length=128), nullable=True),
        sa.Column("hidden", sa.Boolean(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("queued_at", Moment(), nullable=True),
        sa.Column("started_at", Moment(), nullable=True),
        sa.Column("ended_at", Moment(), nullable=True),
        sa.Column("progress", Json(), nullable=True),
        sa.Column("missed", Json(), nullable=True),
        sa.Column("reason", LONG_TEXT, nullable=True),
        sa.Column("description", LONG_TEXT, nullable=False),
        sa.Column("parameters", Json(), nullable=False),
        sa.Column("result", Json(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        **mysql,
        postgresql_with={"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.02},
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_owner", "jobs", ["owner", "id"], unique=False)
    op.create_table(
        "lanes",
        sa.Column("key", sa.String(length=191), nullable=False),
        sa.Column("lane_limit", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_lanes")),
        **mysql,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "queues",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("changed_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_queues")),
        **mysql,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "schedules",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("owner", ID, nullable=False),
        sa.Column("task", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("cron", sa.String(length=256), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("dst_gap", sa.String(length=16), nullable=False),
        sa.Column("dst_overlap", sa.String(length=16), nullable=False),
        sa.Column("misfire_policy", sa.String(length=16), nullable=False),
        sa.Column("overlap_policy", sa.String(length=16), nullable=False),
        sa.Column("starts_at", Moment(), nullable=True),
        sa.Column("ends_at", Moment(), nullable=True),
        sa.Column("max_runs", sa.Integer(), nullable=True),
        sa.Column("jitter_seconds", sa.Integer(), nullable=False),
        sa.Column("queue", sa.String(length=128), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=True),
        sa.Column("timeout_seconds", sa.Integer(), nullable=True),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("next_at", Moment(), nullable=True),
        sa.Column("cursor", Moment(), nullable=True),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("fail_streak", sa.Integer(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.Column("deleted_at", Moment(), nullable=True),
        sa.Column("paused_reason", sa.Text(), nullable=True),
        sa.Column("parameters", Json(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedules")),
        **mysql,
        sqlite_autoincrement=True,
    )
    op.create_index("ix_schedules_owner", "schedules", ["owner", "id"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=False),
        sa.Column("current_jti", sa.String(length=64), nullable=False),
        sa.Column("rotated_at", Moment(), nullable=False),
        sa.Column("previous_jti", sa.String(length=64), nullable=True),
        sa.Column("revoked_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        **mysql,
    )
    op.create_index("ix_sessions_user", "sessions", ["user_id"], unique=False)
    op.create_table(
        "task_definitions",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", LONG_TEXT, nullable=False),
        sa.Column("schema", Json(), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_definitions")),
        sa.UniqueConstraint("key", name=op.f("uq_task_definitions_key")),
        **mysql,
        sqlite_autoincrement=True,
    )
    op.create_table(
        "users",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("username", sa.String(length=150), nullable=False),
        sa.Column("username_key", sa.String(length=150), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("email_key", sa.String(length=254), nullable=False),
        sa.Column("first_name", sa.String(length=150), nullable=False),
        sa.Column("last_name", sa.String(length=150), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("tier", sa.String(length=16), nullable=False),
        sa.Column("is_super_user", sa.Boolean(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("is_email_verified", sa.Boolean(), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("token_version", sa.Integer(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email_key", name=op.f("uq_users_email_key")),
        sa.UniqueConstraint("username_key", name=op.f("uq_users_username_key")),
        **mysql,
        sqlite_autoincrement=True,
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", Moment(), nullable=False),
        sa.Column("seen_at", Moment(), nullable=False),
        sa.Column("threads", sa.Integer(), nullable=False),
        sa.Column("running", sa.Integer(), nullable=False),
        sa.Column("queues", Json(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
        **mysql,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "artifacts",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("media_type", sa.String(length=127), nullable=False),
        sa.Column("size", ID, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_artifacts_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "name", name=op.f("pk_artifacts")),
        **mysql,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "attempts",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("queued_at", Moment(), nullable=True),
        sa.Column("started_at", Moment(), nullable=False),
        sa.Column("ended_at", Moment(), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("worker", sa.String(length=128), nullable=True),
        sa.Column("error", LONG_TEXT, nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_attempts_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("pk_attempts")),
        **mysql,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "job_logs",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("text", LONG_TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_job_logs_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "attempt", "seq", name=op.f("pk_job_logs")),
        **mysql,
        sqlite_with_rowid=False,
    )


def create_indexes() -> None:
    if op.get_bind().dialect.name in {"mysql", "mariadb"}:
        for name, table, columns, unique in PLAIN_INDEXES:
            op.create_index(name, table, columns, unique=unique)
        return
    for name, table, columns, unique, condition in PARTIAL_INDEXES:
        where = sa.text(condition)
        op.create_index(
            name, table, columns, unique=unique, sqlite_where=where, postgresql_where=where
        )
