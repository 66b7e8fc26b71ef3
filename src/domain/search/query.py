"""
Search queries and their grammar.

A query is a list of conditions that must all hold: words, "phrases", -excluded
words or phrases, prefixes* and, if the caller knows any, field filters such as
`status:TODO`. Everything else is punctuation: no text is an error.
"""

import re
from collections.abc import Collection
from enum import StrEnum

from attrs import frozen

from workbell.domain.list_filters import FieldFilter, split_filters
from workbell.domain.search.tokens import find_tokens, is_unspaced, normalize_text

MAX_QUERY = 1_000
"""Characters of a query that count."""
MAX_TERMS = 32
"""Terms of a query that count."""
MAX_MATCHES = 500
"""Matches of a query that are counted and ranked: the newest ones."""
_TERM = re.compile(r'(?P<minus>-?)(?:"(?P<phrase>[^"]*)(?:"|\Z)|(?P<word>[^\s"]+))')


class TermKind(StrEnum):
    """How the last token of a term matches: a prefix also matches longer tokens."""

    WORD = "word"
    PHRASE = "phrase"
    PREFIX = "prefix"


@frozen
class SearchTerm:
    """
    A condition on a document.

    Attributes:
        tokens: The tokens that one field of the document has in this order,
            next to each other; "foo-bar" is one term of two tokens.
        kind: How the tokens match.
        is_negated: Whether the document must not match.
    """

    tokens: tuple[str, ...]
    kind: TermKind = TermKind.WORD
    is_negated: bool = False

    @property
    def is_prefix(self) -> bool:
        """Whether the last token matches longer tokens, too."""
        return self.kind is TermKind.PREFIX


@frozen
class SearchQuery:
    """
    The conditions of a search, which must all hold; without any, every document matches.

    Attributes:
        terms: Conditions on the words of a document.
        filters: Conditions on its fields.
    """

    terms: tuple[SearchTerm, ...] = ()
    filters: tuple[FieldFilter, ...] = ()

    @property
    def required(self) -> tuple[SearchTerm, ...]:
        """The terms that a document must match."""
        return tuple(term for term in self.terms if not term.is_negated)

    @property
    def excluded(self) -> tuple[SearchTerm, ...]:
        """The terms that a document must not match."""
        return tuple(term for term in self.terms if term.is_negated)


def parse_query(text: str, filter_names: Collection[str] = ()) -> SearchQuery:
    """
    Parse a search text; `filter_names` are the field filters of the list.

    Only the first 1,000 characters and 32 terms count.

    Raises:
        Invalid: A field filter is wrong (see `split_filters`). Without filter
            names no text is wrong.
    """
    rest, filters = split_filters(text[:MAX_QUERY], filter_names)
    terms: dict[SearchTerm, None] = {}
    for match in _TERM.finditer(rest):
        term = _make_term(match)
        if term.tokens:
            terms[term] = None
        if len(terms) == MAX_TERMS:
            break
    return SearchQuery(tuple(terms), filters)


def _make_term(match: re.Match[str]) -> SearchTerm:
    phrase, word = match["phrase"], match["word"]
    normalized = normalize_text(phrase if word is None else word)
    spans = list(find_tokens(normalized))
    kind = TermKind.PHRASE if word is None else TermKind.WORD
    if word is not None and word.endswith("*"):
        kind = TermKind.PREFIX
    if spans and is_unspaced(spans[-1][0][-1]):
        # the run may continue in the document: its last character begins a pair there
        _, start, _ = spans[-1]
        if len(spans) > 1 and spans[-2][2] > start:
            spans.pop()
        else:
            kind = TermKind.PREFIX
    return SearchTerm(tuple(token for token, _, _ in spans), kind, bool(match["minus"]))
