"""Schedules may be expected to succeed in time."""

import sqlalchemy as sa
from alembic import op

from workbell.adapters.sql.database.column_types import Moment

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def columns() -> list[sa.Column]:
    return [
        sa.Column("alert_after_seconds", sa.Integer(), nullable=True),
        sa.Column("alert_at", Moment(), nullable=True),
        sa.Column("overdue_since", Moment(), nullable=True),
    ]


def upgrade() -> None:
    dialect = op.get_bind().dialect
    if dialect.name in ("mysql", "mariadb"):
        # one statement, for MariaDB cannot take back half of a revision; it may have been
        # done by an upgrade that was cut short before it could be recorded
        found = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("schedules")}
        if "alert_at" in found:
            return
        compiler = dialect.ddl_compiler(dialect, None)
        table = sa.Table("schedules", sa.MetaData(), *columns())
        added = [f"ADD COLUMN {compiler.get_column_specification(c)}" for c in table.columns]
        added.append("ADD INDEX ix_schedules_alert_plain (alert_at, id)")
        op.execute(f"ALTER TABLE schedules {', '.join(added)}")
        return
    for column in columns():
        op.add_column("schedules", column)
    condition = sa.text("alert_at IS NOT NULL")
    op.create_index(
        "ix_schedules_alert",
        "schedules",
        ["alert_at", "id"],
        sqlite_where=condition,
        postgresql_where=condition,
    )
