"""The index of sessions by person is part of the one by person and address."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    indexes = sa.inspect(op.get_bind()).get_indexes("sessions")
    if "ix_sessions_user" in {index["name"] for index in indexes}:
        op.drop_index("ix_sessions_user", "sessions")
