"""The repository of search documents in SQL."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

from attrs import frozen
from sqlalchemy import ColumnElement, Connection, delete, insert, literal, select, true

from workbell.adapters.sql.database.statements import chunks, upsert_all
from workbell.adapters.sql.schema.search import fts5_index, search_documents, vector_documents
from workbell.adapters.sql.search.expressions import tsvector
from workbell.adapters.sql.search.match import DocumentSearch
from workbell.domain.search.document import FIELDS, IndexedDocument, SearchDocument
from workbell.domain.search.query import MAX_MATCHES, SearchQuery
from workbell.ports.search import SearchMatch

UpdateIndex: TypeAlias = Callable[[Connection, ColumnElement[bool]], None]
_columns = [search_documents.c[name] for name in FIELDS]


def _remove_from_fts5(db: Connection, condition: ColumnElement[bool]) -> None:
    """Remove stored documents from the FTS5 index, which needs their old texts."""
    old = select(literal("delete"), search_documents.c.id, *_columns).where(condition)
    db.execute(insert(fts5_index).from_select([fts5_index.name, "rowid", *FIELDS], old))


def _add_to_fts5(db: Connection, condition: ColumnElement[bool]) -> None:
    """Add stored documents to the FTS5 index."""
    new = select(search_documents.c.id, *_columns).where(condition)
    db.execute(insert(fts5_index).from_select(["rowid", *FIELDS], new))


# The other databases update their indexes themselves.
_REMOVE: Mapping[str, UpdateIndex] = {"sqlite": _remove_from_fts5}
_ADD: Mapping[str, UpdateIndex] = {"sqlite": _add_to_fts5}


@frozen
class SqlSearchRepository:
    """Search documents as encoded tokens."""

    _db: Connection

    def put(self, document: SearchDocument) -> None:
        """Insert or replace a document."""
        self.put_all([document])

    def put_all(self, documents: Sequence[SearchDocument]) -> None:
        """Insert or replace documents, each at most once."""
        for part in chunks(documents):
            indexed = [IndexedDocument.of(document) for document in part]
            ids = [document.id for document in indexed]
            self._remove_from_index(search_documents.c.id.in_(ids))
            table, to_row = _STORED.get(self._db.dialect.name, (search_documents, _to_row))
            upsert_all(self._db, table, [*map(to_row, indexed)])
            self._add_to_index(search_documents.c.id.in_(ids))

    def delete(self, document_id: int) -> None:
        """Delete a document, if there is one."""
        self._delete_where(search_documents.c.id == document_id)

    def delete_range(self, after: int, to: int | None) -> None:
        """Delete the documents with ids above `after`, up to `to`; None is no end."""
        condition = search_documents.c.id > after
        if to is not None:
            condition &= search_documents.c.id <= to
        self._delete_where(condition)

    def find(
        self, query: SearchQuery, *, project_ids: Collection[int] | None, limit: int
    ) -> Sequence[SearchMatch]:
        """Return the documents that match, best first, then the newest."""
        search = DocumentSearch(self._db, query)
        documents_c = search_documents.c

        def is_listed(document_id: ColumnElement[int]) -> ColumnElement[bool]:
            if project_ids is None:
                return true()
            documents = search_documents.alias()
            project_id = select(documents.c.project_id).where(documents.c.id == document_id)
            return project_id.scalar_subquery().in_(project_ids)

        if query.required:
            ids = search.newest(is_listed, MAX_MATCHES)
        else:
            every = select(documents_c.id).where(is_listed(documents_c.id))
            ids = search.newest_in_order(every, MAX_MATCHES)
        return [SearchMatch(*each) for each in search.rank(ids, 0, limit)]

    def _delete_where(self, condition: ColumnElement[bool]) -> None:
        self._remove_from_index(condition)
        self._db.execute(delete(search_documents).where(condition))

    def _remove_from_index(self, condition: ColumnElement[bool]) -> None:
        if remove := _REMOVE.get(self._db.dialect.name):
            remove(self._db, condition)

    def _add_to_index(self, condition: ColumnElement[bool]) -> None:
        if add := _ADD.get(self._db.dialect.name):
            add(self._db, condition)


def _to_row(document: IndexedDocument) -> dict[str, Any]:
    return {"id": document.id, "project_id": document.project_id, **document.fields}


def _to_vector_row(document: IndexedDocument) -> dict[str, Any]:
    return {**_to_row(document), "vector": tsvector(document)}


_STORED = {"postgresql": (vector_documents, _to_vector_row)}
"""Tables and rows of databases with a table of their own."""
