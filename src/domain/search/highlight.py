"""
Highlights: texts in HTML with the matches of a query marked.

Everything but `<mark>` and `</mark>` is escaped. The work is bounded: only the
first MAX_MARKED characters of a text are compared with the query.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import lru_cache
from html import escape
from itertools import accumulate
from unicodedata import combining

from workbell.domain.search.query import SearchQuery, SearchTerm
from workbell.domain.search.tokens import find_tokens, is_unspaced, normalize_text

MAX_MARKED = 10_000
"""Characters of a text in which matches are marked."""
MARK = "<mark>"
"""What begins a match; a highlight without it has none."""
MAX_WHOLE = 11
"""Length of tokens that are certainly indexed whole: each character takes at most 5 of 62."""
_ELLIPSIS = "…"
_SEPARATOR = "\0"
_JAMO = range(0x1160, 0x1200)

Range = tuple[int, int]


def highlight(text: str, query: SearchQuery, *, max_length: int | None = None) -> str:
    """
    Return a text in HTML, with `<mark>` around the matches of a query.

    With `max_length` (in characters of the text) a longer text is cut to a part
    that begins shortly before the first match.
    """
    marks = _merge(_find_matches(text[:MAX_MARKED], query))
    start, end = _cut(text, marks, max_length)
    parts = [_ELLIPSIS] if start else []
    place = start
    for first, last in marks:
        if last <= start or first >= end:
            continue
        begin, place = escape(text[place : max(first, start)]), min(last, end)
        parts += [begin, MARK, escape(text[max(first, start) : place]), "</mark>"]
    parts.append(escape(text[place:end]))
    parts += [_ELLIPSIS] if end < len(text) else []
    return "".join(parts)


def _cut(text: str, marks: Sequence[Range], max_length: int | None) -> Range:
    """Return where the shown part of a text begins and ends."""
    if max_length is None or len(text) <= max_length:
        return 0, len(text)
    first = marks[0][0] if marks else 0
    start = max(0, min(first - max_length // 4, len(text) - max_length))
    if start:  # begin after a space, if there is one before the match
        start = max(start, text.find(" ", start, first) + 1)
    return start, min(start + max_length, len(text))


def _find_matches(text: str, query: SearchQuery) -> Iterator[Range]:
    """Yield where the required terms match."""
    if not query.required:
        return
    normalized, places = _normalize_with_places(text)
    if normalized.isascii() and (pattern := _make_pattern(query.required)):
        for match in pattern.finditer(normalized):
            yield _find_places(match.start(), match.end(), places)
        return
    spans = list(find_tokens(normalized))
    tokens = _SEPARATOR + "".join(token + _SEPARATOR for token, _, _ in spans)
    starts = list(accumulate((len(token) + 1 for token, _, _ in spans), initial=1))
    for term in query.required:
        for first, last in _match_term(term, tokens, starts):
            start, end = spans[first][1], spans[last][2]
            if term.is_prefix and is_unspaced(term.tokens[-1][-1]):  # not the whole pair
                end = spans[last][1] + len(term.tokens[-1])
            yield _find_places(start, end, places)


def _find_places(start: int, end: int, places: Sequence[Range] | None) -> Range:
    """Return the range in the text of a range in the normalized text."""
    return (start, end) if places is None else (places[start][0], places[end - 1][1])


@lru_cache(maxsize=256)
def _make_pattern(terms: Sequence[SearchTerm]) -> re.Pattern[str] | None:
    """
    Return the pattern of terms in ASCII texts, which is faster than to split them.

    None if a term has other characters, a token that may be cut (`shorten`), or if a
    match of one may hide another that overlaps it.
    """
    if len(terms) > 1 and any(len(term.tokens) > 1 for term in terms):
        return None
    words = [token for term in terms for token in term.tokens]
    if not all(word.isascii() and len(word) <= MAX_WHOLE for word in words):
        return None
    parts = "|".join(map(_make_part, terms))
    return re.compile(rf"(?<![^\W_])(?:{parts})", re.ASCII)


def _make_part(term: SearchTerm) -> str:
    words = r"[\W_]+".join(map(re.escape, term.tokens))
    return words + (r"[^\W_]*" if term.is_prefix else r"(?![^\W_])")


def _match_term(term: SearchTerm, tokens: str, starts: Sequence[int]) -> Iterator[Range]:
    """Yield the numbers of the first and last token of each match."""
    wanted = _SEPARATOR + _SEPARATOR.join(term.tokens) + _SEPARATOR * (not term.is_prefix)
    place = tokens.find(wanted)
    while place >= 0:
        first = bisect_left(starts, place + 1)
        yield first, first + len(term.tokens) - 1
        place = tokens.find(wanted, place + len(wanted) - (not term.is_prefix))


def _normalize_with_places(text: str) -> tuple[str, list[Range] | None]:
    """
    Return the normalized text, and for each of its characters the range in the text.

    The ranges are None if the places are the same. Characters that combine with the
    one before them are normalized together with it.
    """
    normalized = normalize_text(text)
    # case folding does not shorten a text: each character has become one
    is_folded = len(normalized) == len(text) and normalized == text.casefold()
    if is_folded or (len(normalized) == len(text) and _is_aligned(text, normalized)):
        return normalized, None
    parts, places = list[str](), list[Range]()
    for start, end in _clusters(text):
        part = (_normalize_cluster if end - start <= 8 else normalize_text)(text[start:end])
        parts.append(part)
        places += [(start, end)] * len(part)
    return "".join(parts), places


@lru_cache(maxsize=4096)
def _normalize_cluster(cluster: str) -> str:
    return normalize_text(cluster)


def _is_aligned(text: str, normalized: str) -> bool:
    """Whether every character is normalized by itself; both texts have one length."""
    return all(map(_is_own_form, text, normalized))


def _is_own_form(character: str, normalized: str) -> bool:
    return character == normalized or _normalize_cluster(character) == normalized


def _clusters(text: str) -> Iterator[Range]:
    """Yield the ranges of characters with the ones that combine with them, of a text."""
    start = 0
    for index, character in enumerate(text):
        if index and not combining(character) and ord(character) not in _JAMO:
            yield start, index
            start = index
    yield start, len(text)


def _merge(ranges: Iterator[Range]) -> list[Range]:
    """Return ranges in order, overlapping and adjacent ones as one."""
    merged: list[Range] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return merged
