"""The search index in memory."""

from collections.abc import Collection, Mapping, Sequence

from attrs import define

from workbell.adapters.memory.tables import Tables
from workbell.domain.search.document import WEIGHTS, IndexedDocument, SearchDocument
from workbell.domain.search.query import MAX_MATCHES, SearchQuery, SearchTerm
from workbell.domain.search.tokens import encode_token
from workbell.ports.search import SearchMatch


def score_match(query: SearchQuery, document: IndexedDocument | None) -> float | None:
    """
    Return the score of a document; None if it does not match.

    An item without a document matches a query without terms only.
    """
    if document is None:
        return None if query.terms else 0.0
    total = 0.0
    for term in query.terms:
        score = _score_term(term, document.fields)
        if (score > 0) is term.is_negated:
            return None
        total += score
    return total


def _score_term(term: SearchTerm, fields: Mapping[str, str]) -> float:
    """Return the weighted number of matches; each further one in a field counts less."""
    tokens = " ".join(map(encode_token, term.tokens))
    part = f" {tokens}" if term.is_prefix else f" {tokens} "
    score = 0.0
    for name, weight in WEIGHTS.items():
        count = f" {fields[name]} ".count(part)
        score += weight * count / (count + 1)
    return score


@define(eq=False)
class MemorySearchRepository:
    """Search documents as encoded tokens."""

    _tables: Tables

    def put(self, document: SearchDocument) -> None:
        """Insert or replace a document."""
        indexed = IndexedDocument.of(document)
        self._tables.search_documents.put(document.id, indexed)

    def put_all(self, documents: Sequence[SearchDocument]) -> None:
        """Insert or replace documents, each at most once."""
        for document in documents:
            self.put(document)

    def delete(self, document_id: int) -> None:
        """Delete a document, if there is one."""
        self._tables.search_documents.delete(document_id)

    def delete_range(self, after: int, to: int | None) -> None:
        """Delete the documents with ids above `after`, up to `to`; None is no end."""
        for number in [*self._tables.search_documents.rows]:
            if number > after and (to is None or number <= to):
                self.delete(number)

    def find(
        self, query: SearchQuery, *, project_ids: Collection[int] | None, limit: int
    ) -> Sequence[SearchMatch]:
        """Return the documents that match, best first, then the newest."""
        found = [
            SearchMatch(document.id, score)
            for document in self._tables.search_documents
            if project_ids is None or document.project_id in project_ids
            if (score := score_match(query, document)) is not None
        ]
        found.sort(key=lambda match: -match.id)
        return sorted(found[:MAX_MATCHES], key=lambda match: -match.score)[:limit]
