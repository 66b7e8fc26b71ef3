"""The first schema."""

from alembic import op

from workbell.adapters.sql.database.mysql import drop_partial_tables, table_options
from workbell.adapters.sql.migrations.first_schema import (
    audit,
    delivery,
    goals,
    identity,
    jobs,
    projects,
    search,
)

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

CONTEXTS = (identity, audit, jobs, goals, delivery, search, projects)


def upgrade() -> None:
    specs = [spec for context in CONTEXTS for spec in context.tables()]
    drop_partial_tables(op.get_bind(), [name for name, *_ in reversed(specs)])
    for name, items, options in specs:
        op.create_table(name, *items, **table_options(op.get_bind()), **options)
    jobs.create_indexes()
    search.create_indexes()
