"""The first schema."""

from alembic import op

from workbell.adapters.sql.database.mysql import drop_partial_tables, table_options
from workbell.adapters.sql.migrations.first_schema import (
    audit,
    delivery,
    goals,
    identity,
    jobs,
    notifications,
    projects,
    search,
    sla,
)

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

CONTEXTS = (identity, audit, jobs, notifications, goals, delivery, search, projects, sla)


def upgrade() -> None:
    specs = [spec for context in CONTEXTS for spec in context.tables()]
    drop_partial_tables(op.get_bind(), [name for name, *_ in reversed(specs)])
    for name, items, options in specs:
        op.create_table(name, *items, **table_options(op.get_bind()), **options)
    identity.create_indexes()
    audit.create_indexes()
    jobs.create_indexes()
    goals.create_indexes()
    search.create_indexes()
    sla.create_indexes()
