"""The tables of goals, progress, timers, preferences and goal reminders."""

from sqlalchemy import (
    Column,
    Date,
    ForeignKey,
    Index,
    Table,
    UniqueConstraint,
    and_,
    literal_column,
)

from workbell.adapters.sql.database.column_types import Id
from workbell.adapters.sql.schema.partial_index import partial_index
from workbell.adapters.sql.schema.tables import (
    KEYED,
    NUMBERED,
    dates,
    flags,
    integers,
    long_integers,
    long_texts,
    metadata,
    texts,
    times,
)

goal_ledgers = Table(
    "workbell_goal_ledgers",
    metadata,
    Column("owner", Id, primary_key=True, autoincrement=False),
    *long_integers("last_goal", "revision"),
    **KEYED,
)

goals = Table(
    "workbell_goals",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    *long_integers("owner", "number"),
    *texts("name", length=500),
    *texts("category", length=16),
    *flags("is_complete"),
    *dates("deadline", null=True),
    *texts("state", length=16),
    *long_integers("logged_seconds", "total_seconds", "last_entry"),
    *integers("version"),
    *times("active_at", "created_at", "updated_at"),
    UniqueConstraint("owner", "number"),
    **NUMBERED,
)

progress_entries = Table(
    "workbell_progress_entries",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    *long_integers("owner"),
    Column("goal_id", Id, ForeignKey("workbell_goals.id", ondelete="CASCADE"), nullable=False),
    *long_integers("goal_number", "number"),
    *integers("logged_seconds", "total_seconds"),
    *times("started_at", null=True),
    *texts("zone", length=64),
    *dates("local_day"),
    *times("created_at", "updated_at"),
    *long_texts("note"),
    UniqueConstraint("goal_id", "number"),
    Index("workbell_progress_entries_owner_idx", "owner", "created_at", "id"),
    Index("workbell_progress_entries_started_idx", "owner", "started_at"),
    **NUMBERED,
)

# The seconds logged per goal and local day, and with goal_id 0 of all goals. They change
# in the transaction of the entry, so a summary reads one row per day.
progress_days = Table(
    "workbell_progress_days",
    metadata,
    Column("owner", Id, primary_key=True, autoincrement=False),
    Column("goal_id", Id, primary_key=True, autoincrement=False),
    Column("local_day", Date, primary_key=True),
    *long_integers("seconds"),
    **KEYED,
)

timers = Table(
    "workbell_timers",
    metadata,
    Column("owner", Id, primary_key=True, autoincrement=False),
    *long_integers("goal_id", "goal_number"),
    *times("started_at"),
    *texts("zone", length=64),
    **KEYED,
)

# A row exists once the owner has set a preference or was reminded.
reminder_preferences = Table(
    "workbell_reminder_preferences",
    metadata,
    Column("owner", Id, primary_key=True, autoincrement=False),
    *flags("reminders"),
    *texts("reminder_time", length=5, null=True),
    *texts("zone", length=64),
    *times("next_at", null=True),
    *dates("reminded_on", null=True),
    Index("workbell_reminder_preferences_next_at_idx", "next_at"),
    **KEYED,
)

# Deleted with the goal; written only while the owner's ledger is locked.
goal_reminders = Table(
    "workbell_goal_reminders",
    metadata,
    Column("goal_id", Id, primary_key=True, autoincrement=False),
    *dates("since"),
    *integers("count"),
    *dates("last"),
    **KEYED,
)

IS_OPEN = and_(goals.c.state == literal_column("'active'"), goals.c.is_complete.is_(False))
"""The goal is active and not complete, with literals as the index has them."""
partial_index(
    "workbell_goals_idle_idx",
    IS_OPEN,
    goals.c.owner,
    goals.c.active_at,
    plain=(goals.c.state, goals.c.is_complete, goals.c.owner, goals.c.active_at),
)
