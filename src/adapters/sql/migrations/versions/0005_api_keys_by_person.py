"""API keys are found by their person."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # on MariaDB it may have been done by an upgrade that was cut short
    indexes = sa.inspect(op.get_bind()).get_indexes("api_keys")
    if "ix_api_keys_user" in {index["name"] for index in indexes}:
        return
    op.create_index("ix_api_keys_user", "api_keys", ["user_id", "id"])
