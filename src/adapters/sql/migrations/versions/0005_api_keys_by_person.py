"""API keys are found by their person."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_api_keys_user", "api_keys", ["user_id", "id"])
