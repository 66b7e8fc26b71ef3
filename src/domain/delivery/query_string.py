"""Query strings of deliveries by GET, which carry the data of the event."""

import json
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

from workbell.domain.errors import Invalid

MAX_QUERY_BYTES: Final = 8 * 1024
"""Longer query strings are refused by many servers."""


def add_to_query(url: str, data: bytes) -> tuple[str, bytes]:
    """
    Return a URL with the members of an event's data, and its raw query string.

    Each top-level member becomes a parameter, in its order and after those of
    the URL; values other than texts are written as compact JSON. The fragment
    of the URL is dropped.

    Raises:
        Invalid: The data is no JSON object, or the query would be too long.
    """
    base, _, own = url.partition("#")[0].partition("?")
    query = "&".join([*([own] if own else []), *_parameters(data)])
    if len(query) > MAX_QUERY_BYTES:
        raise Invalid(f"The query string is longer than {MAX_QUERY_BYTES:,} bytes.")
    return (f"{base}?{query}" if query else base), query.encode()


def _parameters(data: bytes) -> Iterator[str]:
    try:
        value = json.loads(data)
    except ValueError as error:
        raise Invalid(f"The data cannot be read: {error}.") from error
    if not isinstance(value, dict):
        raise Invalid("Only a JSON object can be sent by GET.")
    for name, member in value.items():
        yield f"{_quote(name)}={_quote(_to_text(member))}"


def _to_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _quote(text: str) -> str:
    """Percent-encode a text as UTF-8; lone surrogates become question marks."""
    return quote(text, safe="", errors="replace")
