"""Change counters: whether a queue may have new work since the last read."""

from typing import Protocol


class ChangeCounters(Protocol):
    """
    One counter per queue, incremented after commits that add work to it.

    A client that displays a queue needs to read it again only if the counter has
    changed. If an increment is lost, the client refreshes at the next one.
    Wake-ups that workers forward may increment it, too.
    """

    def value(self, queue: str) -> int | None:
        """Return a counter, or None if it is unavailable; takes at most 50 ms."""
