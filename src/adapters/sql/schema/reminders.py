"""The tables of notification preferences and goal reminders."""

from typing import Any

from sqlalchemy import Boolean, Column, Date, Index, Integer, String, Table

from workbell.adapters.sql.database.column_types import Id, UtcDateTime
from workbell.adapters.sql.schema.tables import metadata

_KEYED: dict[str, Any] = {"sqlite_with_rowid": False}

# A row exists once the owner has set a preference or was reminded.
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

# Deleted with the goal; written only while the owner's ledger is locked.
goal_reminders = Table(
    "workbell_goal_reminders",
    metadata,
    Column("goal_id", Id, primary_key=True, autoincrement=False),
    Column("since", Date, nullable=False),
    Column("count", Integer, nullable=False),
    Column("last", Date, nullable=False),
    **_KEYED,
)
