"""Queue states, worker processes and job statistics in memory."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import attrgetter

from attrs import define

from workbell.adapters.memory.tables import Tables
from workbell.domain import constraints
from workbell.domain.identity.actor import Scope
from workbell.domain.jobs.job import Job, JobState
from workbell.ports.jobs.queues import JobStats, QueueStats, WorkerInfo

_get_id = attrgetter("id")
_FINISHED = (JobState.SUCCEEDED, JobState.FAILED)


@define(eq=False)
class MemoryQueueRepository:
    """Queue states: running, draining or paused."""

    _tables: Tables

    def all(self) -> Sequence[QueueStats]:
        """Return every queue with a state or unfinished jobs, by name."""
        rows: dict[str, list[Job]] = {name: [] for name in self._tables.queues.rows}
        waiting = sorted((job for job in self._tables.jobs if job.state.waiting), key=_get_id)
        oldest = waiting[: constraints.COUNT_CAP + 1]
        ready = [job for job in waiting if job.state is JobState.READY]
        running = [job for job in self._tables.jobs if job.state is JobState.RUNNING]
        counted = [job for job in oldest if job.state is not JobState.READY]
        for job in (*counted, *ready, *running):
            rows.setdefault(job.queue, []).append(job)
        return [self._stats(name, rows[name]) for name in sorted(rows)]

    def set_state(self, name: str, state: str, now: datetime) -> None:  # noqa: ARG002
        """Set a queue's state: 'running', 'draining' or 'paused'."""
        self._tables.queues.put(name, state)

    def any_draining(self) -> bool:
        """Whether any queue is draining."""
        return "draining" in self._tables.queues

    def finish_drains(self, now: datetime) -> int:
        """Pause draining queues without running jobs; return how many."""
        busy = {job.queue for job in self._tables.jobs if job.state is JobState.RUNNING}
        drained = [
            name
            for name, state in self._tables.queues.rows.items()
            if state == "draining" and name not in busy
        ]
        for name in drained:
            self.set_state(name, "paused", now)
        return len(drained)

    def _stats(self, name: str, jobs: Sequence[Job]) -> QueueStats:
        counts = Counter(job.state for job in jobs)
        return QueueStats(
            name=name,
            state=self._tables.queues.get(name) or "running",
            scheduled=_capped(counts[JobState.SCHEDULED]),
            held=_capped(counts[JobState.HELD]),
            ready=_capped(counts[JobState.READY]),
            running=_capped(counts[JobState.RUNNING]),
            oldest_ready_at=_oldest_ready(jobs),
        )


@define(eq=False)
class MemoryWorkerRepository:
    """Running worker processes."""

    _tables: Tables

    def heartbeat(self, worker: WorkerInfo) -> None:
        """Insert or update a process's row."""
        self._tables.workers.put(worker.id, worker)

    def remove(self, worker_id: str) -> None:
        """Delete a process's row."""
        self._tables.workers.delete(worker_id)

    def all(self) -> Sequence[WorkerInfo]:
        """Return the processes, newest first."""
        return sorted(
            self._tables.workers, key=lambda worker: (worker.started_at, worker.id), reverse=True
        )

    def remove_stale(self, before: datetime) -> None:
        """Delete processes whose last heartbeat was before a time."""
        for worker in list(self._tables.workers):
            if worker.seen_at < before:
                self._tables.workers.delete(worker.id)


@define(eq=False)
class MemoryStatisticsRepository:
    """Job statistics of a scope."""

    _tables: Tables

    def jobs(self, scope: Scope, now: datetime) -> JobStats:
        """Return the statistics of the jobs visible to a scope."""
        visible = (job for job in self._tables.jobs if scope.covers(job.owner) and not job.hidden)
        jobs = sorted(visible, key=_get_id)
        searched = jobs if scope.owner is None else jobs[-constraints.SEARCH_WINDOW :]
        counted = [
            *(job for job in jobs if job.state is not JobState.SUCCEEDED),
            *(job for job in searched if job.state is JobState.SUCCEEDED),
        ]
        schedules = [each for each in self._tables.schedules if scope.covers(each.owner)]
        by_status = Counter(str(job.status) for job in counted)
        hour_ago = now - timedelta(hours=1)
        recent = {state: _count_recent(counted, state, hour_ago) for state in _FINISHED}
        active = sum(each.is_active and each.deleted_at is None for each in schedules)
        overdue = sum(each.overdue_since is not None for each in schedules)
        return JobStats(
            by_status={status: _capped(count) for status, count in by_status.items()},
            finished_last_hour=sum(recent.values()),
            failed_last_hour=recent[JobState.FAILED],
            oldest_ready_at=_oldest_ready(jobs),
            schedules_active=_capped(active),
            schedules_overdue=_capped(overdue),
            count_capped=max(active, overdue, *by_status.values(), 0) > constraints.COUNT_CAP,
        )


def _capped(count: int) -> int:
    return min(count, constraints.COUNT_CAP)


def _count_recent(jobs: Sequence[Job], state: JobState, since: datetime) -> int:
    """Count the jobs that ended lately among the newest ones of a state."""
    ended = [job for job in jobs if job.state is state]
    newest = ended[-constraints.COUNT_CAP - 1 :]
    return sum(job.ended_at is not None and job.ended_at > since for job in newest)


def _oldest_ready(jobs: Sequence[Job]) -> datetime | None:
    return min(
        (job.queued_at for job in jobs if job.state is JobState.READY and job.queued_at),
        default=None,
    )
