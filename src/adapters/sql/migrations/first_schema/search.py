"""Tables of search."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

from workbell.adapters.sql.database.column_types import Id
from workbell.adapters.sql.database.statements import get_schema
from workbell.adapters.sql.migrations.first_schema.columns import Spec, columns, table

DOCUMENTS = "workbell_search_documents"
FIELDS = ("title", "labels", "body", "comments")
FTS5_TABLE = f"""
CREATE VIRTUAL TABLE workbell_search_index USING fts5(
    {", ".join(FIELDS)}, content='{DOCUMENTS}', content_rowid='id', tokenize='ascii'
)
"""


def tables() -> list[Spec]:
    """Return the documents, whose ids are those of their work items."""
    return [
        table(
            DOCUMENTS,
            sa.Column("id", Id, primary_key=True, autoincrement=False),
            *columns("project_id id, title long, labels long, body long, comments long"),
        )
    ]


def create_indexes() -> None:
    """Create what each database uses to search the documents."""
    dialect = op.get_bind().dialect.name
    if dialect == "sqlite":
        op.execute(FTS5_TABLE)
    elif dialect == "postgresql":
        vector = sa.Column("vector", TSVECTOR, nullable=False)
        schema = get_schema(op.get_bind())
        op.add_column(DOCUMENTS, vector, schema=schema)
        name = DOCUMENTS if schema is None else f'"{schema}".{DOCUMENTS}'
        # searches read the vectors of many rows, and the texts of few
        op.execute(
            f"ALTER TABLE {name} ALTER COLUMN vector SET STORAGE MAIN,"
            " SET (toast_tuple_target = 4080)"
        )
        op.create_index(
            f"{DOCUMENTS}_vector_idx",
            DOCUMENTS,
            ["vector"],
            postgresql_using="gin",
            # every search reads the entries that are not yet in the index (4 MB by default)
            postgresql_with={"gin_pending_list_limit": 256},
        )
    else:
        op.create_index(f"{DOCUMENTS}_text_idx", DOCUMENTS, FIELDS, mysql_prefix="FULLTEXT")
