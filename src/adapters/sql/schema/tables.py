"""The tables of identity, schedules, jobs and limits."""

from functools import partial
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Date,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from workbell.adapters.sql.database.column_types import (
    Id,
    JsonText,
    LenientJsonText,
    LongText,
    UtcDateTime,
)

TABLE_PREFIX = "workbell_"
"""Prefix of every table, index and constraint name."""
metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)

NUMBERED: dict[str, Any] = {"sqlite_autoincrement": True}
KEYED: dict[str, Any] = {"sqlite_with_rowid": False}
# Free space in pages for HOT updates, and earlier vacuuming, of rows that change often.
BUSY: dict[str, Any] = {
    **NUMBERED,
    "postgresql_with": {"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.02},
}


def _id() -> Column[int]:
    return Column("id", Id, primary_key=True, autoincrement=True)


def _columns(kind: Any, *names: str, null: bool = False) -> list[Column[Any]]:
    return [Column(name, kind, nullable=null) for name in names]


def texts(*names: str, length: int = 255, null: bool = False) -> list[Column[Any]]:
    """Return text columns of limited length."""
    return _columns(String(length), *names, null=null)


times = partial(_columns, UtcDateTime)
dates = partial(_columns, Date)
integers = partial(_columns, Integer)
long_integers = partial(_columns, Id)
flags = partial(_columns, Boolean)
long_texts = partial(_columns, LongText)
json_values = partial(_columns, JsonText)


users = Table(
    "workbell_users",
    metadata,
    _id(),
    *texts("username", "username_key", length=150),
    *texts("email", "email_key", length=254),
    *texts("first_name", "last_name", length=150),
    *texts("password_hash"),
    *texts("role", "tier", length=16),
    *flags("is_super_user", "is_active", "is_email_verified"),
    *texts("time_zone", length=64),
    *integers("token_version"),
    *times("created_at"),
    *times("password_expires_at", null=True),
    UniqueConstraint("username_key"),
    UniqueConstraint("email_key"),
    **NUMBERED,
)

codes = Table(
    "workbell_codes",
    metadata,
    _id(),
    *long_integers("user_id"),
    *texts("purpose", length=32),
    *texts("code_hash"),
    *times("created_at", "expires_at"),
    *times("used_at", null=True),
    *integers("attempts"),
    Index("workbell_codes_user_idx", "user_id", "purpose", "id"),
    Index("workbell_codes_created_at_idx", "created_at"),
    **NUMBERED,
)

sessions = Table(
    "workbell_sessions",
    metadata,
    Column("id", String(64), primary_key=True),
    *long_integers("user_id"),
    *times("created_at", "expires_at"),
    *texts("current_jti", length=64),
    *times("rotated_at"),
    *texts("previous_jti", length=64, null=True),
    *times("revoked_at", null=True),
    *texts("kind", length=16),
    *times("last_used_at", null=True),
    *texts("address", length=64),
    *texts("user_agent", length=256),
    Index("workbell_sessions_from_idx", "user_id", "address"),
    Index("workbell_sessions_expires_at_idx", "expires_at"),
)

api_keys = Table(
    "workbell_api_keys",
    metadata,
    _id(),
    *long_integers("user_id"),
    *texts("name", length=100),
    *texts("prefix", "secret_hash", length=64),
    *json_values("scopes"),
    *times("created_at"),
    *times("expires_at", "last_used_at", "revoked_at", null=True),
    UniqueConstraint("prefix"),
    **NUMBERED,
)

second_factors = Table(
    "workbell_second_factors",
    metadata,
    Column("user_id", Id, primary_key=True, autoincrement=False),
    *texts("seed", length=64),
    *texts("key_id", length=16),
    *times("created_at"),
    *times("confirmed_at", null=True),
    *integers("last_step"),
    *texts("recovery", length=700),
    **KEYED,
)

task_definitions = Table(
    "workbell_task_definitions",
    metadata,
    _id(),
    *texts("key", "name"),
    *long_texts("description"),
    *json_values("schema"),
    *integers("schema_version"),
    *flags("is_active"),
    *times("created_at"),
    *times("parked_at", null=True),
    UniqueConstraint("key"),
    **NUMBERED,
)

schedules = Table(
    "workbell_schedules",
    metadata,
    _id(),
    *long_integers("owner"),
    *texts("task", "name"),
    *texts("cron", length=256),
    *texts("zone", length=64),
    *texts("dst_gap", "dst_overlap", "misfire_policy", "overlap_policy", length=16),
    *times("starts_at", "ends_at", null=True),
    *integers("max_runs", null=True),
    *integers("jitter_seconds"),
    *texts("queue", length=128, null=True),
    *integers("priority"),
    Column("weight", Double, nullable=False),
    *integers("max_attempts", "timeout_seconds", null=True),
    *integers("schema_version"),
    *times("next_at", "cursor", null=True),
    *integers("runs", "version", "fail_streak"),
    *integers("alert_after_seconds", null=True),
    *times("alert_at", "overdue_since", null=True),
    *times("created_at", "updated_at"),
    *times("deleted_at", null=True),
    Column("paused_reason", Text, nullable=True),
    *json_values("parameters"),
    **NUMBERED,
)

jobs = Table(
    "workbell_jobs",
    metadata,
    _id(),
    Column("state", SmallInteger, nullable=False),
    *texts("queue", length=128),
    *integers("priority"),
    Column("fair_tag", Double, nullable=False),
    *texts("fair_key", length=128),
    Column("weight", Double, nullable=False),
    *times("due_at"),
    *texts("concurrency_key", length=191, null=True),
    *integers("concurrency_limit"),
    Column("mode", SmallInteger, nullable=False),
    *flags("fail_when_lost"),
    *integers("attempt", "uncharged", "max_attempts", "timeout_seconds"),
    *long_integers("token"),
    *times("lease_until", null=True),
    *texts("worker", length=128, null=True),
    *flags("cancel_requested"),
    *long_integers("owner"),
    *texts("task", "name"),
    *texts("origin", length=16),
    *long_integers("schedule_id", null=True),
    *times("tick", "for_tick", null=True),
    *long_integers("rerun_of", null=True),
    *texts("idempotency_key", null=True),
    *texts("request_hash", length=128, null=True),
    *flags("hidden"),
    *times("created_at"),
    *times("queued_at", "started_at", "ended_at", null=True),
    *_columns(LenientJsonText, "progress", "missed", null=True),
    *long_texts("reason", null=True),
    *long_texts("description"),
    *_columns(LenientJsonText, "parameters"),
    *_columns(LenientJsonText, "result", null=True),
    **BUSY,
)

attempts = Table(
    "workbell_attempts",
    metadata,
    Column("job_id", Id, ForeignKey("workbell_jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    *times("queued_at", null=True),
    *times("started_at"),
    *times("ended_at", null=True),
    *texts("outcome", length=16, null=True),
    *texts("worker", length=128, null=True),
    *long_texts("error", "traceback", null=True),
    *texts("isolation", length=16, null=True),
    **KEYED,
)

job_logs = Table(
    "workbell_job_logs",
    metadata,
    Column("job_id", Id, ForeignKey("workbell_jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    *times("at"),
    *texts("level", length=16),
    *long_texts("text"),
    **KEYED,
)

artifacts = Table(
    "workbell_artifacts",
    metadata,
    Column("job_id", Id, ForeignKey("workbell_jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(255), primary_key=True),
    *texts("media_type", length=127),
    *long_integers("size"),
    *texts("sha256", length=64),
    *texts("key"),
    **KEYED,
)

concurrency_keys = Table(
    "workbell_concurrency_keys",
    metadata,
    Column("key", String(191), primary_key=True),
    *integers("concurrency_limit"),
    **KEYED,
)

cancellations = Table(
    "workbell_cancellations",
    metadata,
    _id(),
    *long_integers("owner"),
    *long_integers("schedule_id", null=True),
    *long_integers("last_job_id"),
    *texts("reason"),
    *times("started_at"),
    *integers("cancelled"),
    Index("workbell_cancellations_schedule_idx", "schedule_id", "last_job_id"),
    **NUMBERED,
)

queues = Table(
    "workbell_queues",
    metadata,
    Column("name", String(128), primary_key=True),
    *texts("state", length=16),
    *times("changed_at"),
    **KEYED,
)

workers = Table(
    "workbell_workers",
    metadata,
    Column("id", String(128), primary_key=True),
    *texts("host"),
    *integers("pid"),
    *times("started_at", "seen_at"),
    *integers("threads", "running", "written_off"),
    *json_values("queues", "knows", "excluded"),
    **KEYED,
)

quotas = Table(
    "workbell_quotas",
    metadata,
    Column("key", String(191), primary_key=True),
    *times("until"),
    *json_values("log"),
    Index("workbell_quotas_until_idx", "until"),
)

store_metadata = Table(
    "workbell_metadata",
    metadata,
    Column("name", String(64), primary_key=True),
    *long_texts("value"),
    **KEYED,
)
