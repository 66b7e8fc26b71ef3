"""Quotas."""

import sqlalchemy as sa
from alembic import op

from workbell.adapters.sql.database.column_types import Json, Moment
from workbell.adapters.sql.database.mysql import clear_remains, table_options

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    clear_remains(op.get_bind(), ["quotas"])
    mysql = table_options(op.get_bind())
    op.create_table(
        "quotas",
        sa.Column("key", sa.String(length=191), nullable=False),
        sa.Column("until", Moment(), nullable=False),
        sa.Column("log", Json(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_quotas")),
        sa.Index("ix_quotas_until", "until"),
        **mysql,
    )
