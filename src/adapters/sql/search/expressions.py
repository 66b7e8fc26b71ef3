"""
Search terms in the query languages of the databases.

The languages receive encoded tokens only: letters and digits without meaning.
"""

from collections.abc import Iterable, Sequence

from workbell.domain.search.query import SearchQuery, SearchTerm
from workbell.domain.search.tokens import encode_token

BLOCK = 100
"""How many ids share a token of PostgreSQL's index: that of the id without its last digits."""
_DIGITS = 17


def fts5_query(query: SearchQuery) -> str:
    """Return the MATCH expression of a query with a required term."""
    excluded = " OR ".join(map(_fts5_term, query.excluded))
    required = " AND ".join(map(_fts5_term, query.required))
    return f"({required}) NOT ({excluded})" if excluded else required


def _fts5_term(term: SearchTerm) -> str:
    phrase = " ".join(map(encode_token, term.tokens))
    return f'"{phrase}"' + " *" * term.is_prefix


def tsquery(terms: Iterable[SearchTerm]) -> str:
    """Return the tsquery that all tokens of some terms occur, in any place."""
    return " & ".join(f"'{token}'" + ":*" * is_prefix for token, is_prefix in _tokens(terms))


def tsquery_of_range(first: int, last: int) -> str:
    """
    Return the tsquery for documents with ids from `first` to `last`.

    It may include some ids around them: it is made of at most 11 prefixes.
    """
    low, high = first // BLOCK, last // BLOCK
    size = len(str(high - low)) - 1
    prefixes = range(low // 10**size, high // 10**size + 1)
    return " | ".join(f"'n{prefix:0{_DIGITS - size}}':*" for prefix in prefixes)


def boolean_query(terms: Iterable[SearchTerm]) -> str:
    """Return the query of all tokens in the boolean mode of MySQL's full-text search."""
    return " ".join(f"+{token}" + "*" * is_prefix for token, is_prefix in _tokens(terms))


def _tokens(terms: Iterable[SearchTerm]) -> Iterable[tuple[str, bool]]:
    for term in terms:
        *first, last = map(encode_token, term.tokens)
        yield from ((token, False) for token in first)
        yield last, term.is_prefix


def spaced_tokens(tokens: Sequence[str], *, is_prefix: bool) -> str:
    """Return the part of " ", the encoded tokens of a field, " " that a term matches."""
    part = " ".join(map(encode_token, tokens))
    return f" {part}" if is_prefix else f" {part} "
