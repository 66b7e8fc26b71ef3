"""Change counters: whether a queue may have new work since the last read."""

from typing import Protocol


class ChangeCounters(Protocol):
    """
    A counter for each queue, incremented after each commit that gives it work.

    A client that displays a queue reads it again only if the counter has
    changed. A lost increment delays that until the next one. Wake-ups that
    workers pass on may increment it, too.
    """

    def value(self, queue: str) -> int | None:
        """Return a counter's value, or None if it is unavailable; takes at most 50 ms."""
        ...
