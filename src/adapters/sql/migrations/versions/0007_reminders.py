"""What people prefer of notifications, and what they were told of goals."""

import sqlalchemy as sa
from alembic import op

from workbell.adapters.sql.database.column_types import Id, Moment
from workbell.adapters.sql.database.mysql import clear_remains, table_options

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    clear_remains(op.get_bind(), ["goal_reminders", "notification_preferences"])
    mysql = table_options(op.get_bind())
    op.create_table(
        "notification_preferences",
        sa.Column("owner", Id, autoincrement=False, nullable=False),
        sa.Column("reminders", sa.Boolean(), nullable=False),
        sa.Column("reminder_time", sa.String(length=5), nullable=True),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("next_at", Moment(), nullable=True),
        sa.Column("reminded_on", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("owner", name=op.f("pk_notification_preferences")),
        sa.Index("ix_notification_preferences_next_at", "next_at"),
        **mysql,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "goal_reminders",
        sa.Column("goal_id", Id, autoincrement=False, nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("goal_id", name=op.f("pk_goal_reminders")),
        **mysql,
        sqlite_with_rowid=False,
    )
