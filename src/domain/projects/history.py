"""The history of tasks: what audit entries store of their changes."""

from collections.abc import Mapping
from typing import Any, Final

MAX_HISTORY_TEXT: Final = 2_000
"""Characters of a text that an audit entry stores; the rest is only counted."""


def shorten_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes with long texts cut off and their lengths named."""
    return {name: [_shorten(value) for value in pair] for name, pair in changes.items()}


def _shorten(value: Any) -> Any:
    if not isinstance(value, str) or len(value) <= MAX_HISTORY_TEXT:
        return value
    return f"{value[:MAX_HISTORY_TEXT]}... ({len(value):,} characters)"
