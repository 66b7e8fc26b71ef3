"""A cache: answers that may be forgotten at any time."""

from typing import Any, Protocol


class Cache(Protocol):
    """
    JSON values by key, for a while.

    It never raises: a cache that does not answer has nothing.
    """

    def get(self, key: str) -> Any | None:
        """Return the value that is kept under a key, or None."""
        ...

    def put(self, key: str, value: Any, seconds: int) -> None:
        """Keep a JSON value under a key, for so many seconds at most."""
        ...
