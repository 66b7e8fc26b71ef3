"""Passwords that the service made up have an end."""

import sqlalchemy as sa
from alembic import op

from workbell.adapters.sql.database.column_types import Moment

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # on MariaDB it may have been done by an upgrade that was cut short
    columns = sa.inspect(op.get_bind()).get_columns("users")
    if "password_expires_at" not in {column["name"] for column in columns}:
        op.add_column("users", sa.Column("password_expires_at", Moment(), nullable=True))
