"""Tables of goals."""

import sqlalchemy as sa
from alembic import op

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
            "workbell_reminder_preferences",
            *columns("owner id!, reminders flag, reminder_time str:5?, zone str:64"),
            *columns("next_at time?, reminded_on date?"),
            sa.Index("workbell_reminder_preferences_next_at_idx", "next_at"),
            sqlite_with_rowid=False,
        ),
        table(
            "workbell_timers",
            *columns("owner id!, goal_id id, goal_number id, started_at time, zone str:64"),
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
            *columns("owner id!, goal_id id!, local_day date!, seconds id"),
            sqlite_with_rowid=False,
        ),
    ]


def create_indexes() -> None:
    no = "0" if op.get_bind().dialect.name == "sqlite" else "false"
    create_index(
        "workbell_goals_idle_idx",
        "workbell_goals",
        "owner, active_at",
        f"state = 'active' AND is_complete IS {no}",
        plain="state, is_complete, owner, active_at",
    )
