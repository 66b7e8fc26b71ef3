"""Change counters of one process, and who announces changes."""

from threading import Lock

from attrs import define, field, frozen

from workbell.ports.change_counters import Changes
from workbell.ports.jobs.repository import Waker


@define(eq=False)
class LocalChanges:
    """The counters of one process."""

    _counts: dict[str, int] = field(factory=dict[str, int])
    _lock: Lock = field(factory=Lock)

    def rise(self, queue: str) -> None:
        """Raise a counter."""
        with self._lock:
            self._counts[queue] = self._counts.get(queue, 0) + 1

    def count(self, queue: str) -> int | None:
        """Return how far a counter has risen."""
        return self._counts.get(queue, 0)


@frozen
class Announcer:
    """Wakes workers, if there are any to wake, and raises the counters; satisfies `Waker`."""

    changes: Changes
    waker: Waker | None = None

    def wake(self, queue: str) -> None:
        """Wake some worker, and tell who looks at the queue."""
        if self.waker is not None:
            self.waker.wake(queue)
        self.changes.rise(queue)
