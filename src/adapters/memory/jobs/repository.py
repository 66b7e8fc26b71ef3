"""The job repository in memory: insert, queries and commands."""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

from attrs import define, evolve

from workbell.adapters.memory.jobs.engine import MemoryEngine
from workbell.adapters.memory.listing import count_rows, in_range, sort_rows
from workbell.adapters.memory.values import in_utc, isolated_copy
from workbell.domain import constraints
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import Scope
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.attempt import Attempt
from workbell.domain.jobs.job import Job, JobId, JobState, initial_state
from workbell.domain.jobs.task import Task
from workbell.domain.schedules.schedule import Schedule
from workbell.domain.schedules.ticks import FastPathStep
from workbell.ports.jobs.views import JobFilter, JobPage

_UPDATED_FIELDS = (
    *("state", "due_at", "token", "max_attempts", "cancel_requested", "reason", "progress"),
    *("ended_at", "hidden"),
)

_ORDERINGS: Mapping[str, Callable[[Job], Any]] = {
    **{
        name: attrgetter(name) for name in ("id", "created_at", "priority", "task", "name", "queue")
    },
    "scheduled_time": attrgetter("due_at"),
    "status": attrgetter("state"),
}


@define(eq=False)
class MemoryJobRepository(MemoryEngine):
    """Jobs of the current transaction."""

    def add(self, jobs: Sequence[Job], now: datetime) -> Sequence[Job | None]:
        """Insert jobs and return them with ids; None for each job whose key exists."""
        added: list[JobId | None] = []
        ready: list[Job] = []
        starting: dict[str | None, int] = {}
        for job in jobs:
            if self._key_exists(job):
                added.append(None)
                continue
            new = self._new(job)
            added.append(new.id)
            if new.state.ended:
                self._rows.put(new)
                continue
            if new.concurrency_key is not None:
                self._rows.tables.concurrency_keys.put(new.concurrency_key, new.concurrency_limit)
            free_slots = self._rows.free_slots(new.concurrency_key)
            state = initial_state(
                new,
                now,
                task_active=self._rows.is_active(new.task),
                concurrency_key_free=free_slots is None
                or free_slots > starting.get(new.concurrency_key, 0),
            )
            if state is JobState.READY:
                ready.append(new)
                starting[new.concurrency_key] = starting.get(new.concurrency_key, 0) + 1
            waits = state is JobState.SCHEDULED or state is JobState.READY
            self._rows.put(evolve(new, state=JobState.SCHEDULED if waits else state))
        self._rows.make_ready(ready, now)
        return [None if job_id is None else self._rows.get(job_id) for job_id in added]

    def add_ticks(
        self, task: Task, steps: Sequence[FastPathStep], now: datetime
    ) -> Sequence[FastPathStep]:
        """Insert the jobs of due ticks where possible; return the steps handled."""
        jobs: list[Job] = []
        stored: list[FastPathStep] = []
        for step in steps:
            schedule = self._rows.tables.schedules.get(step.schedule)
            if schedule is not None and step.applies_to(schedule) and self._is_free(task, schedule):
                jobs.append(schedule.job(task, now, due_at=step.tick, tick=step.tick))
                stored.append(step)
        self.add(jobs, now)
        return stored

    def get(self, scope: Scope, job_id: JobId) -> Job:
        """Return a job visible to the scope."""
        job = self._rows.get(job_id)
        if job is None or job.hidden or not scope.covers(job.owner):
            raise NotFound(f"There is no job {job_id}.")
        return job

    get_for_update = get

    def replace(self, before: Job, after: Job) -> bool:
        """Write a job changed by a command, unless its state or token has changed."""
        stored = self._rows.get(before.id)
        if stored is None or (stored.state, stored.token) != (before.state, before.token):
            return False
        now = self._rows.clock.now()
        changes = {name: getattr(after, name) for name in _UPDATED_FIELDS}
        moved = evolve(stored, **changes, result=isolated_copy(after.result))
        if stored.state is JobState.RUNNING and moved.state is not JobState.RUNNING:
            moved = evolve(moved, lease_until=None)
        moved = in_utc(moved)
        self._rows.put(moved)
        key, keys = stored.concurrency_key, self._rows.tables.concurrency_keys
        if key is not None and keys.get(key) is None:  # ended jobs leave no key
            keys.put(key, stored.concurrency_limit)
        if moved.state is JobState.RUNNING and moved.cancel_requested and moved.worker:
            self._rows.stopped.add((moved.worker, moved.id))
        stays = stored.state is JobState.READY and moved.state is JobState.READY
        if moved.state.waiting and moved.due_at <= now and not stays:
            self._rows.stage([moved], now)
        if stored.concurrency_key is not None:
            self._rows.release([stored.concurrency_key], now)
        return True

    def find(
        self,
        scope: Scope,
        filters: JobFilter,
        *,
        ordering: Sequence[str] = ("-id",),
        offset: int = 0,
        limit: int = 20,
    ) -> Sequence[Job]:
        """Return a page of the jobs visible to the scope, without hidden jobs."""
        found = list(self._listed(scope, filters, ordering))
        return sort_rows(found, ordering, _ORDERINGS)[offset : offset + limit]

    def list_page(
        self,
        scope: Scope,
        filters: JobFilter,
        *,
        ordering: Sequence[str] = ("-id",),
        offset: int = 0,
        limit: int = 20,
        is_counted: bool = True,
    ) -> JobPage:
        """Return a page as `find`, with the count and the end of the window."""
        return JobPage(
            jobs=self.find(scope, filters, ordering=ordering, offset=offset, limit=limit),
            count=count_rows(self._listed(scope, filters, ordering)) if is_counted else 0,
            next_before=self._end_of_window(scope, filters)
            if filters.needs_window(scope, ordering)
            else None,
        )

    def count(self, scope: Scope, filters: JobFilter) -> int:
        """Return the number of matching jobs, at most `COUNT_CAP` + 1."""
        return count_rows(self._listed(scope, filters, ("-id",)))

    def by_idempotency_key(self, owner: UserId, key: str) -> Job | None:
        """Return an owner's job with an idempotency key."""
        return next(self._rows.by_index("idempotency", owner, key), None)

    def count_waiting(self, owner: UserId, *, limit: int) -> int:
        """Return the number of an owner's waiting jobs, at most `limit`."""
        return min(len(self._rows.tables.job_index.of("waiting", owner)), limit)

    def unfinished(self, schedule_ids: Sequence[int]) -> Mapping[int, Sequence[Job]]:
        """Return the waiting and running jobs of each schedule, oldest first."""
        return {each: list(self._rows.by_index("unfinished", each)) for each in schedule_ids}

    def attempts(self, job_id: JobId) -> Sequence[Attempt]:
        """Return a job's finished attempts, oldest first."""
        return self._rows.tables.attempts.get(job_id) or ()

    def _is_free(self, task: Task, schedule: Schedule) -> bool:
        """Whether the task is active and the schedule has no unfinished run."""
        if not self._rows.is_active(task.key):
            return False
        index, concurrency_key = self._rows.tables.job_index, schedule.concurrency_key
        return concurrency_key is None or not (
            index.of("unfinished", schedule.id) or index.of("busy", concurrency_key)
        )

    def _new(self, job: Job) -> Job:
        return evolve(
            in_utc(job),
            id=JobId(self._rows.tables.jobs.next_id()),
            parameters=isolated_copy(dict(job.parameters)),
            result=isolated_copy(job.result),
        )

    def _key_exists(self, job: Job) -> bool:
        index = self._rows.tables.job_index
        tick = job.tick is not None and job.schedule_id is not None
        key = job.idempotency_key is not None
        return bool(
            (tick and index.of("tick", job.schedule_id, job.tick))
            or (key and index.of("idempotency", job.owner, job.idempotency_key))
        )

    def _listed(self, scope: Scope, filters: JobFilter, ordering: Sequence[str]) -> Iterator[Job]:
        """Yield the jobs of a list, in its window if it needs one."""
        is_windowed = filters.needs_window(scope, ordering)
        end = self._end_of_window(scope, filters) if is_windowed else None
        return (
            job
            for job in self._rows.tables.jobs
            if not job.hidden
            and scope.covers(job.owner)
            and _fits(job, filters)
            and (end is None or job.id >= end)
        )

    def _end_of_window(self, scope: Scope, filters: JobFilter) -> JobId | None:
        """Return the id with which the window of a list ends, if there are older jobs."""
        selected = (
            job.id
            for job in self._rows.tables.jobs
            if not job.hidden and _is_selected(job, scope, filters)
        )
        newest = heapq.nlargest(constraints.SEARCH_WINDOW + 1, selected)
        return JobId(newest[-1] + 1) if len(newest) > constraints.SEARCH_WINDOW else None


def _is_selected(job: Job, scope: Scope, filters: JobFilter) -> bool:
    """Whether an index selects a job, see `JobFilter.needs_window`."""
    if filters.before_id is not None and job.id >= filters.before_id:
        return False
    if filters.schedule_id is not None:
        return job.schedule_id == filters.schedule_id
    return (
        scope.covers(job.owner)
        and (filters.owner is None or job.owner == filters.owner)
        and (not filters.is_by_status(scope) or job.status in (filters.statuses or ()))
    )


def _fits(job: Job, filters: JobFilter) -> bool:
    text = f"{job.name}\n{job.task}\n{job.description}".casefold()
    return (filters.statuses is None or job.status in filters.statuses) and (
        (filters.task is None or job.task == filters.task)
        and (filters.queue is None or job.queue == filters.queue)
        and (filters.origins is None or job.origin in filters.origins)
        and (filters.schedule_id is None or job.schedule_id == filters.schedule_id)
        and (filters.owner is None or job.owner == filters.owner)
        and in_range(job.created_at, filters.created_from, filters.created_to)
        and in_range(job.due_at, filters.due_from, filters.due_to)
        and (filters.search is None or filters.search.casefold() in text)
        and (filters.before_id is None or job.id < filters.before_id)
    )
