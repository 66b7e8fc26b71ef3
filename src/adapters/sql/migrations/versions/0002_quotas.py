"""Quotas."""

import sqlalchemy as sa
from alembic import op

from workbell.adapters.sql.columns import Json, Moment

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MYSQL = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}


def upgrade() -> None:
    op.create_table(
        "quotas",
        sa.Column("key", sa.String(length=191), nullable=False),
        sa.Column("until", Moment(), nullable=False),
        sa.Column("log", Json(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_quotas")),
        sa.Index("ix_quotas_until", "until"),
        **MYSQL,
    )
