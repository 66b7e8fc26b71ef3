"""Cancellations of many jobs in memory."""

from collections.abc import Collection, Sequence
from datetime import datetime

from attrs import define, evolve

from workbell.adapters.memory.jobs.staging import MemoryJobTable
from workbell.domain.identity.actor import Scope
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.cancellation import Cancellation
from workbell.domain.jobs.job import Job, JobId


@define(eq=False)
class MemoryCancellationRepository:
    """Unfinished cancellations of many jobs."""

    _rows: MemoryJobTable

    def last_job_id(self, owner: UserId, schedule_id: int | None) -> JobId:
        """Return the highest id of an unfinished run of a schedule, or a job of an owner."""
        if schedule_id is None:
            ids = [job.id for job in self._rows.tables.jobs if job.owner == owner]
        else:
            ids = [job.id for job in self._rows.by_index("unfinished", schedule_id)]
        return max(ids, default=JobId(0))

    def cancel_jobs(
        self,
        cancellation: Cancellation,
        now: datetime,
        *,
        excluded_tasks: Collection[str] = (),
        limit: int = 500,
    ) -> int:
        """Cancel waiting jobs; return how many were read."""
        waiting = self._waiting(cancellation)
        jobs = [job for job in waiting if job.task not in excluded_tasks][:limit]
        for job in jobs:
            self._rows.put(job.cancel(now, cancellation.reason))
        self._rows.release({job.concurrency_key for job in jobs}, now)
        return len(jobs)

    def count_left(self, cancellation: Cancellation, *, limit: int) -> int:
        """Return how many jobs are to be cancelled, at most `limit`."""
        return min(len(self._waiting(cancellation)), limit)

    def add(self, cancellation: Cancellation) -> Cancellation:
        """Insert a cancellation and return it with its id."""
        table = self._rows.tables.cancellations
        stored = evolve(cancellation, id=table.next_id())
        table.put(stored.id, stored)
        return stored

    def lock_next(self) -> Cancellation | None:
        """Return the oldest cancellation."""
        return next(iter(self._rows.tables.cancellations), None)

    def record(self, cancellation: Cancellation, cancelled: int) -> None:
        """Add to the number of cancelled jobs."""
        table = self._rows.tables.cancellations
        if (stored := table.get(cancellation.id)) is not None:
            table.put(stored.id, evolve(stored, cancelled=stored.cancelled + cancelled))

    def remove(self, cancellation: Cancellation) -> None:
        """Delete a finished cancellation."""
        self._rows.tables.cancellations.delete(cancellation.id)

    def all(self, scope: Scope, *, limit: int = 1_000) -> Sequence[Cancellation]:
        """Return the cancellations in a scope, oldest first."""
        found = [each for each in self._rows.tables.cancellations if scope.covers(each.owner)]
        return found[:limit]

    def _waiting(self, cancellation: Cancellation) -> list[Job]:
        if cancellation.schedule_id is None:
            found = self._rows.by_index("waiting", cancellation.owner)
        else:
            found = self._rows.by_index("unfinished", cancellation.schedule_id)
        waiting = [job for job in found if job.state.waiting and job.id <= cancellation.last_job_id]
        return sorted(waiting, key=lambda job: job.id)
