"""The search index, written in the transaction of the change."""

from collections.abc import Collection, Sequence
from typing import Protocol

from attrs import frozen

from workbell.domain.search.document import SearchDocument
from workbell.domain.search.query import SearchQuery
from workbell.ports.store import StoreMetadata


@frozen
class SearchMatch:
    """A document that matches; the higher the score, the better."""

    id: int
    score: float


class SearchRepository(Protocol):
    """One document per work item."""

    def put(self, document: SearchDocument) -> None:
        """Insert or replace a document."""

    def put_all(self, documents: Sequence[SearchDocument]) -> None:
        """Insert or replace documents, each at most once."""

    def delete(self, document_id: int) -> None:
        """Delete a document, if there is one."""

    def delete_range(self, after: int, to: int | None) -> None:
        """Delete the documents with ids above `after`, up to `to`; None is no end."""

    def find(
        self, query: SearchQuery, *, project_ids: Collection[int] | None, limit: int
    ) -> Sequence[SearchMatch]:
        """
        Return the documents that match, best first, then the newest.

        `project_ids` are the projects that the caller may read; None is all.
        Filters of the query are conditions of lists and have no effect here.
        MySQL and MariaDB find what is committed only.
        """


class SearchTx(Protocol):
    """A transaction that writes the search index."""

    @property
    def search(self) -> SearchRepository:
        """The search index."""


class SearchSource(Protocol):
    """The owner of the texts, from which the index is rebuilt."""

    def list_search_documents(self, *, after: int, limit: int) -> Sequence[SearchDocument]:
        """Return the documents of work items with ids above `after`, in order of their ids."""


class SearchRebuildTx(SearchTx, Protocol):
    """A transaction over the search index, the texts and the store's metadata."""

    @property
    def metadata(self) -> StoreMetadata:
        """The metadata."""

    @property
    def work_items(self) -> SearchSource:
        """The work items, which have the texts."""
