"""Sessions tell their kind, their last use, and where they were opened."""

import sqlalchemy as sa
from alembic import op

from workbell.adapters.sql.database.column_types import Moment

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def columns() -> list[sa.Column]:
    return [
        sa.Column("kind", sa.String(length=16), nullable=False, server_default="tokens"),
        sa.Column("last_used_at", Moment(), nullable=True),
        sa.Column("address", sa.String(length=64), nullable=False, server_default=""),
        sa.Column("user_agent", sa.String(length=256), nullable=False, server_default=""),
    ]


def upgrade() -> None:
    dialect = op.get_bind().dialect
    if dialect.name == "sqlite":
        for column in columns():
            op.add_column("sessions", column)
        return
    # one statement, for MariaDB cannot take back half of a revision; it may have been
    # done by an upgrade that was cut short before it could be recorded
    if "kind" in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("sessions")}:
        return
    compiler = dialect.ddl_compiler(dialect, None)
    table = sa.Table("sessions", sa.MetaData(), *columns())
    added = [f"ADD COLUMN {compiler.get_column_specification(c)}" for c in table.columns]
    op.execute(f"ALTER TABLE sessions {', '.join(added)}")
