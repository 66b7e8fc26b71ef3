"""
The search index: encoded tokens, and what each database adds to them.

SQLite has an FTS5 table over the documents, PostgreSQL a `tsvector` column with a
GIN index, MySQL and MariaDB a FULLTEXT index. The vector also has tokens of pairs of
adjacent words, and a token that 100 ids share. SQLAlchemy and Alembic do not know the
first two indexes, so they are not part of the metadata.
"""

from sqlalchemy import Column, Index, Integer, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import TSVECTOR

from workbell.adapters.sql.database.column_types import Id
from workbell.adapters.sql.schema.tables import long_integers, long_texts, metadata
from workbell.domain.search.document import FIELDS

search_documents = Table(
    "workbell_search_documents",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    *long_integers("project_id"),
    *long_texts(*FIELDS),
    Index(
        "workbell_search_documents_text_idx",
        *FIELDS,
        mysql_prefix="FULLTEXT",
        mariadb_prefix="FULLTEXT",
        info={"mysql": True},
    ).ddl_if(dialect="mysql"),
)
"""One row per work item; its id is that of the item."""

FTS5_TABLE = "workbell_search_index"
VECTOR_INDEX = "workbell_search_documents_vector_idx"
FTS5_TABLES = frozenset(
    {FTS5_TABLE, *(f"{FTS5_TABLE}_{n}" for n in ("config", "data", "docsize", "idx"))}
)
"""The FTS5 table of SQLite, and the tables in which it stores the index."""

fts5_index = Table(
    FTS5_TABLE,
    MetaData(),
    Column("rowid", Integer, primary_key=True),
    Column(FTS5_TABLE, Text),
    *[Column(name, Text) for name in FIELDS],
)
"""On SQLite: the FTS5 table; the column with its name is for MATCH and commands."""

vector_documents = search_documents.to_metadata(MetaData())
"""On PostgreSQL: the documents with their vectors."""
vector_documents.append_column(Column("vector", TSVECTOR, nullable=False))


def is_engine_object(name: str | None, kind: str) -> bool:
    """Whether a table, column or index is one that the metadata does not describe."""
    return name in FTS5_TABLES or (kind, name) in {("column", "vector"), ("index", VECTOR_INDEX)}
