"""Change counters of one process."""

from threading import Lock

from attrs import define, field, frozen

from workbell.domain.jobs.job import JobId
from workbell.ports.jobs.repository import Waker


@define(eq=False)
class LocalChangeCounters:
    """Change counters by queue."""

    _values: dict[str, int] = field(factory=dict[str, int])
    _lock: Lock = field(factory=Lock)

    def increment(self, queue: str) -> None:
        """Increment the counter of a queue."""
        with self._lock:
            self._values[queue] = self._values.get(queue, 0) + 1

    def value(self, queue: str) -> int | None:
        """Return the counter of a queue."""
        return self._values.get(queue, 0)


@frozen
class NotifyingWaker:
    """Wakes local workers and increments counters; satisfies `Waker`."""

    counters: LocalChangeCounters
    waker: Waker | None = None

    def wake(self, queue: str) -> None:
        """Wake a worker and increment the queue's counter."""
        if self.waker is not None:
            self.waker.wake(queue)
        self.counters.increment(queue)

    def stop_job(self, worker: str, job_id: JobId) -> None:
        """Notify the worker of a running job that it was cancelled."""
        if self.waker is not None:
            self.waker.stop_job(worker, job_id)
