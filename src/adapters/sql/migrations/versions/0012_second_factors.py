"""Second factors."""

import sqlalchemy as sa
from alembic import op

from workbell.adapters.sql.database.column_types import Id, Moment
from workbell.adapters.sql.database.mysql import clear_remains, table_options

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    clear_remains(op.get_bind(), ["second_factors"])
    op.create_table(
        "second_factors",
        sa.Column("user_id", Id, autoincrement=False, nullable=False),
        sa.Column("seed", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("confirmed_at", Moment(), nullable=True),
        sa.Column("last_step", sa.Integer(), nullable=False),
        sa.Column("recovery", sa.String(length=700), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_second_factors")),
        **table_options(op.get_bind()),
        sqlite_with_rowid=False,
    )
