"""Change counters: whether work may have changed since somebody looked."""

from typing import Protocol


class Changes(Protocol):
    """
    A counter for each queue, raised after commits that gave it work.

    They are for who shows work and would rather not read it again; nothing
    depends on them, so a lost change shows up late, and not never.
    """

    def rise(self, queue: str) -> None:
        """Raise a counter; never raises an error and takes at most 50 ms."""
        ...

    def count(self, queue: str) -> int | None:
        """Return how far a counter has risen, None where nobody knows."""
        ...
