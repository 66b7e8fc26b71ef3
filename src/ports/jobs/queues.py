"""Queues, workers and counts: what operators see and switch."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from workbell.domain.identity.actor import Scope


@frozen(kw_only=True)
class QueueStats:
    """A queue: its switch, and how many rows stand where."""

    name: str
    state: str
    scheduled: int = 0
    held: int = 0
    ready: int = 0
    running: int = 0
    oldest_ready_at: datetime | None = None


class QueueRepository(Protocol):
    """The switches of the queues: running, draining or paused."""

    def all(self) -> Sequence[QueueStats]:
        """Return every queue that has a switch or unfinished rows, by name."""
        ...

    def set_state(self, name: str, state: str, now: datetime) -> None:
        """Set a switch: 'running', 'draining' or 'paused'; only running ones are claimed from."""
        ...

    def any_draining(self) -> bool:
        """Whether any queue is draining: a cheap read."""
        ...

    def finish_drains(self, now: datetime) -> int:
        """Turn draining queues without a running row into paused ones."""
        ...


@frozen(kw_only=True)
class WorkerInfo:
    """A process that runs jobs, as it last told of itself."""

    id: str
    host: str
    pid: int
    started_at: datetime
    seen_at: datetime
    threads: int
    running: int
    queues: Sequence[str]


class WorkerRepository(Protocol):
    """Who runs jobs."""

    def heartbeat(self, worker: WorkerInfo) -> None:
        """Write or renew a process's row."""
        ...

    def remove(self, worker_id: str) -> None:
        """Remove a process's row."""
        ...

    def all(self) -> Sequence[WorkerInfo]:
        """Return the processes, the newest first."""
        ...

    def remove_stale(self, before: datetime) -> None:
        """Remove rows that were last seen before a time."""
        ...


@frozen(kw_only=True)
class JobStats:
    """
    How many jobs stand in each state, and how the finished ones went.

    Hidden jobs are left out. Finished are those that succeeded or failed.
    """

    by_status: Mapping[str, int]
    finished_last_hour: int = 0
    failed_last_hour: int = 0
    oldest_ready_at: datetime | None = None
    schedules_active: int = 0
    schedules_overdue: int = 0


class StatisticsRepository(Protocol):
    """Counts over a scope."""

    def jobs(self, scope: Scope, now: datetime) -> JobStats:
        """Return the counts of a scope."""
        ...
