"""A cache of JSON values; entries may disappear at any time."""

from typing import Any, Protocol


class Cache(Protocol):
    """JSON values by key. Never raises: an unavailable cache is empty."""

    def get(self, key: str) -> Any | None:
        """Return the cached value of a key, or None."""

    def put(self, key: str, value: Any, seconds: int) -> None:
        """Cache a JSON value for at most the given number of seconds."""
