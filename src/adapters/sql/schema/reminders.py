"""The tables of reminders: what people prefer, and what they were told."""

from typing import Any

from sqlalchemy import Boolean, Column, Date, Index, Integer, String, Table

from workbell.adapters.sql.database.column_types import Id, UtcDateTime
from workbell.adapters.sql.schema.tables import metadata

_KEYED: dict[str, Any] = {"sqlite_with_rowid": False}

# A row for who prefers something, and for who was reminded.
notification_preferences = Table(
    "workbell_notification_preferences",
    metadata,
    Column("owner", Id, primary_key=True, autoincrement=False),
    Column("reminders", Boolean, nullable=False),
    Column("reminder_time", String(5), nullable=True),
    Column("zone", String(64), nullable=False),
    Column("next_at", UtcDateTime, nullable=True),
    Column("reminded_on", Date, nullable=True),
    Index("workbell_notification_preferences_next_at_idx", "next_at"),
    **_KEYED,
)

# It goes with its goal, whose owner's book is locked whenever a row is written.
goal_reminders = Table(
    "workbell_goal_reminders",
    metadata,
    Column("goal_id", Id, primary_key=True, autoincrement=False),
    Column("since", Date, nullable=False),
    Column("count", Integer, nullable=False),
    Column("last", Date, nullable=False),
    **_KEYED,
)
