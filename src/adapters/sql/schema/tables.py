"""The tables of identity, schedules, jobs and limits."""

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
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

from workbell.adapters.sql.database.column_types import Id, JsonText, LongText, UtcDateTime

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

_NUMBERED: dict[str, Any] = {"sqlite_autoincrement": True}
_KEYED: dict[str, Any] = {"sqlite_with_rowid": False}
# Free space in pages for HOT updates, and earlier vacuuming, of rows that change often.
_BUSY: dict[str, Any] = {
    **_NUMBERED,
    "postgresql_with": {"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.02},
}


def _id() -> Column[int]:
    return Column("id", Id, primary_key=True, autoincrement=True)


def _text(name: str, length: int = 255, *, null: bool = False) -> Column[str]:
    return Column(name, String(length), nullable=null)


def _moment(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, UtcDateTime, nullable=null)


def _number(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, Integer, nullable=null)


def _reference(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, Id, nullable=null)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


def _long(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, LongText, nullable=null)


def _json(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, JsonText, nullable=null)


users = Table(
    "workbell_users",
    metadata,
    _id(),
    _text("username", 150),
    _text("username_key", 150),
    _text("email", 254),
    _text("email_key", 254),
    _text("first_name", 150),
    _text("last_name", 150),
    _text("password_hash"),
    _text("role", 16),
    _text("tier", 16),
    _flag("is_super_user"),
    _flag("is_active"),
    _flag("is_email_verified"),
    _text("time_zone", 64),
    _number("token_version"),
    _moment("created_at"),
    _moment("password_expires_at", null=True),
    UniqueConstraint("username_key"),
    UniqueConstraint("email_key"),
    **_NUMBERED,
)

codes = Table(
    "workbell_codes",
    metadata,
    _id(),
    _reference("user_id"),
    _text("purpose", 32),
    _text("code_hash"),
    _moment("created_at"),
    _moment("expires_at"),
    _moment("used_at", null=True),
    _number("attempts"),
    Index("workbell_codes_user_idx", "user_id", "purpose", "id"),
    **_NUMBERED,
)

sessions = Table(
    "workbell_sessions",
    metadata,
    Column("id", String(64), primary_key=True),
    _reference("user_id"),
    _moment("created_at"),
    _moment("expires_at"),
    _text("current_jti", 64),
    _moment("rotated_at"),
    _text("previous_jti", 64, null=True),
    _moment("revoked_at", null=True),
    _text("kind", 16),
    _moment("last_used_at", null=True),
    _text("address", 64),
    _text("user_agent", 256),
    Index("workbell_sessions_from_idx", "user_id", "address"),
)

api_keys = Table(
    "workbell_api_keys",
    metadata,
    _id(),
    _reference("user_id"),
    _text("name", 100),
    _text("prefix", 64),
    _text("secret_hash", 64),
    _json("scopes"),
    _moment("created_at"),
    _moment("expires_at", null=True),
    _moment("last_used_at", null=True),
    _moment("revoked_at", null=True),
    UniqueConstraint("prefix"),
    Index("workbell_api_keys_user_idx", "user_id", "id"),
    **_NUMBERED,
)

second_factors = Table(
    "workbell_second_factors",
    metadata,
    Column("user_id", Id, primary_key=True, autoincrement=False),
    _text("seed", 64),
    _text("key_id", 16),
    _moment("created_at"),
    _moment("confirmed_at", null=True),
    _number("last_step"),
    _text("recovery", 700),
    **_KEYED,
)

audit = Table(
    "workbell_audit",
    metadata,
    _id(),
    _reference("user_id"),
    _text("action", 64),
    _text("model_name", 64),
    _text("object_id", 128),
    _json("changes"),
    _text("address", 64),
    _text("user_agent", 256),
    _text("request_id", 64),
    _moment("at"),
    Index("workbell_audit_object_idx", "model_name", "object_id", "id"),
    **_NUMBERED,
)

task_definitions = Table(
    "workbell_task_definitions",
    metadata,
    _id(),
    _text("key"),
    _text("name"),
    _long("description"),
    _json("schema"),
    _number("schema_version"),
    _flag("is_active"),
    _moment("created_at"),
    UniqueConstraint("key"),
    **_NUMBERED,
)

schedules = Table(
    "workbell_schedules",
    metadata,
    _id(),
    _reference("owner"),
    _text("task"),
    _text("name"),
    _text("cron", 256),
    _text("zone", 64),
    _text("dst_gap", 16),
    _text("dst_overlap", 16),
    _text("misfire_policy", 16),
    _text("overlap_policy", 16),
    _moment("starts_at", null=True),
    _moment("ends_at", null=True),
    _number("max_runs", null=True),
    _number("jitter_seconds"),
    _text("queue", 128, null=True),
    _number("priority"),
    Column("weight", Double, nullable=False),
    _number("max_attempts", null=True),
    _number("timeout_seconds", null=True),
    _number("schema_version"),
    _moment("next_at", null=True),
    _moment("cursor", null=True),
    _number("runs"),
    _number("version"),
    _number("fail_streak"),
    _number("alert_after_seconds", null=True),
    _moment("alert_at", null=True),
    _moment("overdue_since", null=True),
    _moment("created_at"),
    _moment("updated_at"),
    _moment("deleted_at", null=True),
    Column("paused_reason", Text, nullable=True),
    _json("parameters"),
    Index("workbell_schedules_owner_idx", "owner", "id"),
    **_NUMBERED,
)

jobs = Table(
    "workbell_jobs",
    metadata,
    _id(),
    Column("state", SmallInteger, nullable=False),
    _text("queue", 128),
    _number("priority"),
    Column("fair_tag", Double, nullable=False),
    _text("fair_key", 128),
    Column("weight", Double, nullable=False),
    _moment("due_at"),
    _text("concurrency_key", 191, null=True),
    _number("concurrency_limit"),
    Column("mode", SmallInteger, nullable=False),
    _flag("fail_when_lost"),
    _number("attempt"),
    _number("max_attempts"),
    _number("timeout_seconds"),
    _reference("token"),
    _moment("lease_until", null=True),
    _text("worker", 128, null=True),
    _flag("cancel_requested"),
    _reference("owner"),
    _text("task"),
    _text("name"),
    _text("origin", 16),
    _reference("schedule_id", null=True),
    _moment("tick", null=True),
    _moment("for_tick", null=True),
    _reference("rerun_of", null=True),
    _text("idempotency_key", null=True),
    _text("request_hash", 128, null=True),
    _flag("hidden"),
    _moment("created_at"),
    _moment("queued_at", null=True),
    _moment("started_at", null=True),
    _moment("ended_at", null=True),
    _json("progress", null=True),
    _json("missed", null=True),
    _long("reason", null=True),
    _long("description"),
    _json("parameters"),
    _json("result", null=True),
    Index("workbell_jobs_owner_idx", "owner", "id"),
    **_BUSY,
)

attempts = Table(
    "workbell_attempts",
    metadata,
    Column("job_id", Id, ForeignKey("workbell_jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    _moment("queued_at", null=True),
    _moment("started_at"),
    _moment("ended_at", null=True),
    _text("outcome", 16, null=True),
    _text("worker", 128, null=True),
    _long("error", null=True),
    **_KEYED,
)

job_logs = Table(
    "workbell_job_logs",
    metadata,
    Column("job_id", Id, ForeignKey("workbell_jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    _moment("at"),
    _text("level", 16),
    _long("text"),
    **_KEYED,
)

artifacts = Table(
    "workbell_artifacts",
    metadata,
    Column("job_id", Id, ForeignKey("workbell_jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(255), primary_key=True),
    _text("media_type", 127),
    _reference("size"),
    _text("sha256", 64),
    _text("key"),
    **_KEYED,
)

concurrency_keys = Table(
    "workbell_concurrency_keys",
    metadata,
    Column("key", String(191), primary_key=True),
    _number("concurrency_limit"),
    **_KEYED,
)

queues = Table(
    "workbell_queues",
    metadata,
    Column("name", String(128), primary_key=True),
    _text("state", 16),
    _moment("changed_at"),
    **_KEYED,
)

workers = Table(
    "workbell_workers",
    metadata,
    Column("id", String(128), primary_key=True),
    _text("host"),
    _number("pid"),
    _moment("started_at"),
    _moment("seen_at"),
    _number("threads"),
    _number("running"),
    _json("queues"),
    **_KEYED,
)

quotas = Table(
    "workbell_quotas",
    metadata,
    Column("key", String(191), primary_key=True),
    _moment("until"),
    _json("log"),
    Index("workbell_quotas_until_idx", "until"),
)

store_metadata = Table(
    "workbell_metadata",
    metadata,
    Column("name", String(64), primary_key=True),
    _long("value"),
    **_KEYED,
)
