"""Change counters: in one process, or in Redis for many."""

from threading import Lock
from typing import Final

from attrs import define, field, frozen

from ..ports.changes import Changes
from ..ports.jobs import Waker
from .redis_link import RedisLink, packed

PREFIX: Final = "workbell:changes"


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
class RedisChanges:
    """The counters that many processes share; while Redis is away, nobody knows them."""

    _link: RedisLink

    def rise(self, queue: str) -> None:
        """Raise a counter."""
        self._link.tell(packed("INCR", f"{PREFIX}:{queue}"))

    def count(self, queue: str) -> int | None:
        """Return how far a counter has risen, None where Redis is away."""
        return self._link.ask(lambda redis: int(redis.get(f"{PREFIX}:{queue}") or 0))


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
