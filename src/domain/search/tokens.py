"""
Tokens: the words of texts, as they are indexed and searched for.

Texts are compared in NFKC form with their case folded. A token is a run of
letters, digits and combining marks. Scripts that are written without spaces
(and Hangul) are split into overlapping pairs of characters, followed by the
last character alone: any two neighbours are a token, and any single character
begins one.

Database engines never parse texts: they receive encoded tokens, which consist
of 3 to 64 characters of a to z and 0 to 9. Minimum lengths, stop words and
tokenizers of engines do not affect them.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from unicodedata import normalize

MAX_ENCODED = 64
"""Length of an encoded token; longer words are cut. MariaDB skips tokens above 84."""

_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc"
    "\u06df-\u06e8\u06ea-\u06ed\u0900-\u0963\u0966-\u0dff\u0f71-\u0f84\u20d0-\u20ff"
)
_UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u1000-\u103f\u1100-\u11ff\u1780-\u17d3\u3005-\u3007"
    "\u3040-\u30ff\u3100-\u312f\u3131-\u318e\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97c\uac00-\ud7fb\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_RUN = re.compile(rf"(?:[^\W_]|[{_MARKS}{_UNSPACED}])+")
_PART = re.compile(rf"(?P<unspaced>[{_UNSPACED}]+)|[^{_UNSPACED}]+")

_START = "xx"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_SHORT, _LONG = "z", "q"
_MAX_SHORT = 36**3

Span = tuple[str, int, int]
"""A token with its start and end in the normalized text."""


def normalize_text(text: str) -> str:
    """Return a text in NFKC form with its case folded."""
    if text.isascii():
        return text.lower()
    return normalize("NFKC", normalize("NFKC", text).casefold())


def find_tokens(normalized: str) -> Iterator[Span]:
    """Yield the tokens of a normalized text, with their places."""
    for run in _RUN.finditer(normalized):
        word, start = run[0], run.start()
        if word.isascii():
            yield shorten(word), start, run.end()
            continue
        for part in _PART.finditer(word):
            first, end = start + part.start(), start + part.end()
            if part["unspaced"] is None:
                yield shorten(part[0]), first, end
                continue
            for index in range(first, end):
                stop = min(index + 2, end)
                yield normalized[index:stop], index, stop


def tokenize(text: str) -> list[str]:
    """Return the tokens of a text, in order."""
    return [token for token, _, _ in find_tokens(normalize_text(text))]


def is_unspaced(character: str) -> bool:
    """Whether a character belongs to a script that is split into pairs."""
    found = _PART.match(character)
    return found is not None and found["unspaced"] is not None


def shorten(token: str) -> str:
    """Return the longest start of a token that fits into an encoded token."""
    size = len(_START)
    if size + 5 * len(token) <= MAX_ENCODED:
        return token
    for index, character in enumerate(token):
        size += len(_CODES[ord(character)])
        if size > MAX_ENCODED:
            return token[:index]
    return token


class _Codes(dict[int, str]):
    """Codes by code point; no code is the start of another, so prefixes stay prefixes."""

    def __missing__(self, point: int) -> str:
        marker, size = (_SHORT, 3) if point < _MAX_SHORT else (_LONG, 4)
        rest, digits = point, ""
        for _ in range(size):
            rest, digit = divmod(rest, 36)
            digits = _DIGITS[digit] + digits
        self[point] = code = marker + digits
        return code


_CODES = _Codes({ord(each): each for each in _DIGITS if each not in {_SHORT, _LONG}})


def encode_token(token: str) -> str:
    """Return a token in the form that database engines store."""
    return _START + token.translate(_CODES)


def encode_text(text: str, limit: int) -> str:
    """Return the first tokens of a text in encoded form, separated by spaces."""
    found: Iterable[Span] = islice(find_tokens(normalize_text(text)), limit)
    return " ".join([encode_token(token) for token, _, _ in found])
