"""
Search terms in the query languages of the databases.

The languages receive encoded tokens only: letters and digits without meaning.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from zlib import crc32

from workbell.domain.search.document import IndexedDocument
from workbell.domain.search.query import SearchQuery, SearchTerm
from workbell.domain.search.tokens import encode_token

BLOCK = 100
"""How many ids share a token of PostgreSQL's index: that of the id without its last digits."""
PAIR_TOKENS = 65_536
"""Tokens of pairs of adjacent words: few, so that the index stays small."""
_DIGITS = 17
_WEIGHT_CLASSES = {"title": "A", "labels": "B", "body": "C", "comments": "D"}


def fts5_query(query: SearchQuery) -> str:
    """Return the MATCH expression of a query with a required term."""
    excluded = " OR ".join(map(_fts5_term, query.excluded))
    required = " AND ".join(map(_fts5_term, query.required))
    return f"({required}) NOT ({excluded})" if excluded else required


def _fts5_term(term: SearchTerm) -> str:
    phrase = " ".join(map(encode_token, term.tokens))
    return f'"{phrase}"' + " *" * term.is_prefix


def tsvector(document: IndexedDocument) -> str:
    """
    Return the tsvector of a document: its words, pairs of adjacent words and its block of ids.

    Pairs have no positions, which PostgreSQL's ranking ignores.
    """
    places: dict[str, list[str]] = {}
    pairs, place = set[str](), 1
    for name, weight in _WEIGHT_CLASSES.items():
        words = document.fields[name].split()
        pairs.update(map(_pair_token, pairwise(words)))
        for index, word in enumerate(words, place):
            places.setdefault(word, []).append(f"{index}{weight}")
        place += len(words)
    parts = [f"{word}:{','.join(found)}" for word, found in places.items()]
    return " ".join([*parts, *pairs, f"n{document.id // BLOCK:0{_DIGITS}}"])


def _pair_token(pair: tuple[str, str]) -> str:
    """Return the token of two adjacent words, which other pairs may have, too."""
    return f"p{crc32(' '.join(pair).encode('ascii')) % PAIR_TOKENS:x}"


def tsquery(terms: Iterable[SearchTerm], *, with_pairs: bool = True) -> str:
    """
    Return the tsquery that all tokens of some terms occur, in any place.

    With pairs, documents in which they are not adjacent rarely match.
    """
    terms = [*terms]
    parts = [f"'{token}'" + ":*" * is_prefix for token, is_prefix in _tokens(terms)]
    if with_pairs:
        parts += [f"'{_pair_token(pair)}'" for term in terms for pair in _pairs(term)]
    return " & ".join(parts)


def _pairs(term: SearchTerm) -> Iterable[tuple[str, str]]:
    """Return the adjacent words of a term that are whole."""
    tokens = term.tokens[:-1] if term.is_prefix else term.tokens
    return pairwise(map(encode_token, tokens))


def tsquery_of_range(first: int, last: int) -> str:
    """
    Return the tsquery for documents with ids from `first` to `last`.

    It may include some ids around them: it is made of at most 31 prefixes.
    """
    low, high = first // BLOCK, last // BLOCK
    size = len(str((high - low) // 3)) - 1
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
