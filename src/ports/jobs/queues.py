"""Repositories of queues, workers and statistics, for operators."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from attrs import Factory, frozen

from workbell.domain.identity.actor import Scope


@frozen(kw_only=True)
class QueueStats:
    """
    A queue: its state, and how many jobs are in which state, up to `COUNT_CAP` each.

    Scheduled and held jobs are counted, and the oldest ready job is looked for, among
    the `COUNT_CAP` + 1 waiting jobs of all queues with the lowest ids.
    """

    name: str
    state: str
    scheduled: int = 0
    held: int = 0
    ready: int = 0
    running: int = 0
    oldest_ready_at: datetime | None = None


class QueueRepository(Protocol):
    """The states of queues: running, draining or paused."""

    def all(self) -> Sequence[QueueStats]:
        """Return every queue that has a stored state or unfinished jobs, by name."""

    def set_state(self, name: str, state: str, now: datetime) -> None:
        """Set the state; jobs are claimed from running queues only."""

    def any_draining(self) -> bool:
        """Whether any queue is draining; a cheap read."""

    def finish_drains(self, now: datetime) -> int:
        """Pause draining queues without running jobs; return how many."""


@frozen(kw_only=True)
class WorkerInfo:
    """
    A worker process, as of its last heartbeat.

    `running` counts its busy threads, `written_off` those that run a body whose
    attempt was closed at its deadline or after a cancellation.

    Attributes:
        knows: Keys of the tasks that the process can run.
        excluded: Keys of tasks that it has claimed and does not know, each with
            the time since which its claims leave them out.
    """

    id: str
    host: str
    pid: int
    started_at: datetime
    seen_at: datetime
    threads: int
    running: int
    written_off: int = 0
    queues: Sequence[str]
    knows: Sequence[str] = ()
    excluded: Mapping[str, datetime] = Factory(dict[str, datetime])


class WorkerRepository(Protocol):
    """The worker processes."""

    def heartbeat(self, worker: WorkerInfo) -> None:
        """Insert or update a worker's row."""

    def remove(self, worker_id: str) -> None:
        """Delete a worker's row."""

    def all(self) -> Sequence[WorkerInfo]:
        """Return the workers, newest first."""

    def remove_stale(self, before: datetime) -> None:
        """Delete workers whose last heartbeat is before a time."""


@frozen(kw_only=True)
class JobStats:
    """
    How many jobs are in each state, and how many finished lately.

    Hidden jobs are not counted. Finished jobs are those that succeeded or failed.
    Counts stop at `COUNT_CAP`; those of the last hour stop there for the jobs without a
    schedule of each state, for all runs of schedules, and for each state of one owner; `count_capped` is whether a status or the
    schedules exceed it. The succeeded jobs of one owner are counted among their
    newest `SEARCH_WINDOW` jobs.
    """

    by_status: Mapping[str, int]
    finished_last_hour: int = 0
    failed_last_hour: int = 0
    oldest_ready_at: datetime | None = None
    schedules_active: int = 0
    schedules_overdue: int = 0
    count_capped: bool = False


class StatisticsRepository(Protocol):
    """Aggregate counts."""

    def jobs(self, scope: Scope, now: datetime) -> JobStats:
        """Return the job statistics of a scope."""
