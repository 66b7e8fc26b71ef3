"""
Search terms in the query languages of the databases.

The languages receive encoded tokens only: letters and digits without meaning.
"""

from collections.abc import Iterable

from workbell.domain.search.query import SearchQuery, SearchTerm
from workbell.domain.search.tokens import encode_token


def fts5_query(query: SearchQuery) -> str:
    """Return the MATCH expression of a query; of the excluded terms alone if none is required."""
    excluded = " OR ".join(map(_fts5_term, query.excluded))
    required = " AND ".join(map(_fts5_term, query.required))
    if required and excluded:
        return f"({required}) NOT ({excluded})"
    return required or excluded


def _fts5_term(term: SearchTerm) -> str:
    phrase = " ".join(map(encode_token, term.tokens))
    return f'"{phrase}"' + " *" * term.is_prefix


def tsquery(terms: Iterable[SearchTerm]) -> str:
    """Return the tsquery that all tokens of some terms occur, in any place."""
    return " & ".join(f"'{token}'" + ":*" * is_prefix for token, is_prefix in _tokens(terms))


def boolean_query(terms: Iterable[SearchTerm]) -> str:
    """Return the same in the boolean mode of MySQL's full-text search."""
    return " ".join(f"+{token}" + "*" * is_prefix for token, is_prefix in _tokens(terms))


def _tokens(terms: Iterable[SearchTerm]) -> Iterable[tuple[str, bool]]:
    for term in terms:
        *first, last = map(encode_token, term.tokens)
        yield from ((token, False) for token in first)
        yield last, term.is_prefix


def like_pattern(term: SearchTerm) -> str:
    """Return the LIKE pattern of a term in " ", the encoded tokens of a field, " "."""
    tokens = " ".join(map(encode_token, term.tokens))
    return f"% {tokens}%" if term.is_prefix else f"% {tokens} %"
