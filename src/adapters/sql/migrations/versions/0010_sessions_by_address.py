"""Sessions are found by their person and address."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # on MariaDB it may have been done by an upgrade that was cut short
    indexes = sa.inspect(op.get_bind()).get_indexes("sessions")
    if "ix_sessions_from" not in {index["name"] for index in indexes}:
        op.create_index("ix_sessions_from", "sessions", ["user_id", "address"])
