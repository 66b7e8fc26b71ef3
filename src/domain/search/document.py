"""Search documents: the texts of a work item that searches read."""

from collections.abc import Mapping

from attrs import frozen

from workbell.domain.search.tokens import encode_text

FIELDS = ("title", "labels", "body", "comments")
"""The fields of a document."""

WEIGHTS = {"title": 10.0, "labels": 4.0, "body": 1.0, "comments": 0.5}
"""How much a match in each field counts."""

MAX_TOKENS = {"title": 500, "labels": 500, "body": 6_000, "comments": 6_000}
"""Tokens that are indexed, by field: together they fit PostgreSQL's tsvector (1 MiB)."""


@frozen
class SearchDocument:
    """
    The texts of one work item.

    Attributes:
        id: The work item's id.
        project_id: Its project, for permissions.
        title: Its title, as written.
        labels: Its labels, separated by spaces or line breaks.
        body: Its description, as written.
        comments: Its comments, separated by line breaks.
    """

    id: int
    project_id: int
    title: str
    labels: str = ""
    body: str = ""
    comments: str = ""


@frozen
class IndexedDocument:
    """A document as it is stored: the encoded tokens of each field, separated by spaces."""

    id: int
    project_id: int
    fields: Mapping[str, str]

    @classmethod
    def of(cls, document: SearchDocument) -> "IndexedDocument":
        """Encode the first MAX_TOKENS tokens of each field."""
        fields = {name: encode_text(getattr(document, name), MAX_TOKENS[name]) for name in FIELDS}
        return cls(document.id, document.project_id, fields)
