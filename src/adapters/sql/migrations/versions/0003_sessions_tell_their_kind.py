"""Sessions tell their kind, their last use, and where they were opened."""

import sqlalchemy as sa
from alembic import op

from workbell.adapters.sql.columns import Moment

revision = "0003"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    sessions = sa.Table(
        "sessions",
        sa.MetaData(),
        sa.Column("kind", sa.String(length=16), nullable=False, server_default="tokens"),
        sa.Column("last_used_at", Moment(), nullable=True),
        sa.Column("address", sa.String(length=64), nullable=False, server_default=""),
        sa.Column("user_agent", sa.String(length=256), nullable=False, server_default=""),
    )
    dialect = op.get_bind().dialect
    if dialect.name == "sqlite":
        for column in sessions.columns:
            op.add_column("sessions", column.copy())
        return
    # one statement, for MariaDB cannot take back half of a revision
    compiler = dialect.ddl_compiler(dialect, None)
    added = [f"ADD COLUMN {compiler.get_column_specification(c)}" for c in sessions.columns]
    op.execute(f"ALTER TABLE sessions {', '.join(added)}")
