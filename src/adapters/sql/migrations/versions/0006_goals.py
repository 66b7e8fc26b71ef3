"""Goals, their progress, and timers."""

import sqlalchemy as sa
from alembic import op

from workbell.adapters.sql.database.column_types import Id, LongText, Moment
from workbell.adapters.sql.database.mysql import clear_remains, table_options

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# those that refer to others first
TABLES = ["progress_days", "progress_entries", "goals", "goal_books", "timers"]


def upgrade() -> None:
    clear_remains(op.get_bind(), TABLES)
    _goals()
    _progress()


def _goals() -> None:
    mysql = table_options(op.get_bind())
    op.create_table(
        "goal_books",
        sa.Column("owner", Id, autoincrement=False, nullable=False),
        sa.Column("last_goal", Id, nullable=False),
        sa.Column("revision", Id, nullable=False),
        sa.PrimaryKeyConstraint("owner", name=op.f("pk_goal_books")),
        **mysql,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "timers",
        sa.Column("owner", Id, autoincrement=False, nullable=False),
        sa.Column("goal_id", Id, nullable=False),
        sa.Column("goal_number", Id, nullable=False),
        sa.Column("started_at", Moment(), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("owner", name=op.f("pk_timers")),
        **mysql,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "goals",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("owner", Id, nullable=False),
        sa.Column("number", Id, nullable=False),
        sa.Column("name", sa.String(length=500), nullable=False),
        sa.Column("category", sa.String(length=16), nullable=False),
        sa.Column("is_complete", sa.Boolean(), nullable=False),
        sa.Column("deadline", sa.Date(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("logged_seconds", Id, nullable=False),
        sa.Column("total_seconds", Id, nullable=False),
        sa.Column("last_entry", Id, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("active_at", Moment(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_goals")),
        sa.UniqueConstraint("owner", "number", name=op.f("uq_goals_owner_number")),
        **mysql,
        sqlite_autoincrement=True,
    )


def _progress() -> None:
    mysql = table_options(op.get_bind())
    op.create_table(
        "progress_entries",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("owner", Id, nullable=False),
        sa.Column("goal_id", Id, nullable=False),
        sa.Column("goal_number", Id, nullable=False),
        sa.Column("number", Id, nullable=False),
        sa.Column("logged_seconds", sa.Integer(), nullable=False),
        sa.Column("total_seconds", sa.Integer(), nullable=False),
        sa.Column("started_at", Moment(), nullable=True),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("local_day", sa.Date(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.Column("note", LongText, nullable=False),
        sa.ForeignKeyConstraint(
            ["goal_id"],
            ["goals.id"],
            name=op.f("fk_progress_entries_goal_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_progress_entries")),
        sa.UniqueConstraint("goal_id", "number", name=op.f("uq_progress_entries_goal_id_number")),
        sa.Index("ix_progress_entries_owner", "owner", "created_at", "id"),
        sa.Index("ix_progress_entries_started", "owner", "started_at"),
        **mysql,
        sqlite_autoincrement=True,
    )
    op.create_table(
        "progress_days",
        sa.Column("entry_id", Id, autoincrement=False, nullable=False),
        sa.Column("local_day", sa.Date(), nullable=False),
        sa.Column("owner", Id, nullable=False),
        sa.Column("goal_id", Id, nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["entry_id"],
            ["progress_entries.id"],
            name=op.f("fk_progress_days_entry_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("entry_id", "local_day", name=op.f("pk_progress_days")),
        sa.Index("ix_progress_days_owner", "owner", "local_day", "goal_id", "seconds"),
        **mysql,
        sqlite_with_rowid=False,
    )
