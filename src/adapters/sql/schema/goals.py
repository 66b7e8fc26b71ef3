"""The tables of goals: ledgers, goals, progress entries, their days, and timers."""

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
)

from workbell.adapters.sql.database.column_types import Id, LongText, UtcDateTime
from workbell.adapters.sql.schema.tables import metadata

_KEYED: dict[str, Any] = {"sqlite_with_rowid": False}
_NUMBERED: dict[str, Any] = {"sqlite_autoincrement": True}

goal_ledgers = Table(
    "workbell_goal_ledgers",
    metadata,
    Column("owner", Id, primary_key=True, autoincrement=False),
    Column("last_goal", Id, nullable=False),
    Column("revision", Id, nullable=False),
    **_KEYED,
)

goals = Table(
    "workbell_goals",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("owner", Id, nullable=False),
    Column("number", Id, nullable=False),
    Column("name", String(500), nullable=False),
    Column("category", String(16), nullable=False),
    Column("is_complete", Boolean, nullable=False),
    Column("deadline", Date, nullable=True),
    Column("state", String(16), nullable=False),
    Column("logged_seconds", Id, nullable=False),
    Column("total_seconds", Id, nullable=False),
    Column("last_entry", Id, nullable=False),
    Column("version", Integer, nullable=False),
    Column("active_at", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("owner", "number"),
    **_NUMBERED,
)

progress_entries = Table(
    "workbell_progress_entries",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("owner", Id, nullable=False),
    Column("goal_id", Id, ForeignKey("workbell_goals.id", ondelete="CASCADE"), nullable=False),
    Column("goal_number", Id, nullable=False),
    Column("number", Id, nullable=False),
    Column("logged_seconds", Integer, nullable=False),
    Column("total_seconds", Integer, nullable=False),
    Column("started_at", UtcDateTime, nullable=True),
    Column("zone", String(64), nullable=False),
    Column("local_day", Date, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("note", LongText, nullable=False),
    UniqueConstraint("goal_id", "number"),
    Index("workbell_progress_entries_owner_idx", "owner", "created_at", "id"),
    Index("workbell_progress_entries_started_idx", "owner", "started_at"),
    **_NUMBERED,
)

# The index covers summaries by owner and day.
progress_days = Table(
    "workbell_progress_days",
    metadata,
    Column(
        "entry_id",
        Id,
        ForeignKey("workbell_progress_entries.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("local_day", Date, primary_key=True),
    Column("owner", Id, nullable=False),
    Column("goal_id", Id, nullable=False),
    Column("seconds", Integer, nullable=False),
    Index("workbell_progress_days_owner_idx", "owner", "local_day", "goal_id", "seconds"),
    **_KEYED,
)

timers = Table(
    "workbell_timers",
    metadata,
    Column("owner", Id, primary_key=True, autoincrement=False),
    Column("goal_id", Id, nullable=False),
    Column("goal_number", Id, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("zone", String(64), nullable=False),
    **_KEYED,
)
