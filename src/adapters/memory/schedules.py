"""Schedules and store metadata in memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

from attrs import define, evolve

from workbell.adapters.memory.listing import contains_text, count_rows, in_range, sort_rows
from workbell.adapters.memory.tables import Tables
from workbell.adapters.memory.values import in_utc, isolated_copy
from workbell.domain import constraints
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import ALL_OWNERS, Scope
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.job import JobState
from workbell.domain.jobs.task import TaskId
from workbell.domain.schedules.schedule import ENDED, Schedule, ScheduleId, check_active_limit
from workbell.domain.schedules.ticks import Due, FastPathStep
from workbell.ports.schedules.repository import RECENT_RUNS, Advance
from workbell.ports.schedules.views import (
    ListedSchedule,
    ScheduleFilter,
    SchedulePage,
    ScheduleView,
)

_ORDERINGS: Mapping[str, Callable[[Schedule], Any]] = {
    **{name: attrgetter(name) for name in ("id", "created_at", "updated_at", "name", "is_active")},
    "cron_expression": attrgetter("cron.line"),
    "next_run_time": attrgetter("next_at"),
}


@define(eq=False)
class MemoryScheduleRepository:
    """All schedules that are not deleted."""

    _tables: Tables

    def add(self, schedule: Schedule, *, active_limit: int | None = None) -> Schedule:
        """Insert a schedule and return it with its id; may raise LimitReached."""
        if active_limit is not None:
            active = self.count_active(schedule.owner, limit=active_limit)
            check_active_limit(active, active_limit)
        stored = evolve(schedule, id=ScheduleId(self._tables.schedules.next_id()))
        return self._put(stored)

    def get(self, scope: Scope, schedule_id: ScheduleId) -> Schedule:
        """Return a schedule visible to the scope."""
        found = self._tables.schedules.get(schedule_id)
        if found is None or found.deleted_at is not None or not scope.covers(found.owner):
            raise NotFound(f"There is no schedule {schedule_id}.")
        return found

    def get_view(self, scope: Scope, schedule_id: ScheduleId) -> ScheduleView:
        """Return a view of a schedule visible to the scope."""
        return self._view(self.get(scope, schedule_id))

    get_for_update = get

    def replace(self, schedule: Schedule) -> None:
        """Update a schedule."""
        self.get(ALL_OWNERS, schedule.id)
        self._put(schedule)

    def find(
        self,
        scope: Scope,
        filters: ScheduleFilter,
        *,
        ordering: Sequence[str] = ("-created_at",),
        offset: int = 0,
        limit: int = 20,
    ) -> Sequence[ScheduleView]:
        """Return a page of views of the schedules visible to the scope."""
        found = sort_rows(self._listed(scope, filters, ordering)[0], ordering, _ORDERINGS)
        return [self._view(schedule) for schedule in found[offset : offset + limit]]

    def list_page(
        self,
        scope: Scope,
        filters: ScheduleFilter,
        *,
        ordering: Sequence[str] = ("-created_at",),
        offset: int = 0,
        limit: int = 20,
    ) -> SchedulePage:
        """Return a page of list entries, and the result of `count`."""
        found = self.find(scope, filters, ordering=ordering, offset=offset, limit=limit)
        rows, is_cut = self._listed(scope, filters, ordering)
        listed = [ListedSchedule.from_view(view) for view in found]
        return SchedulePage(listed, count_rows(rows), is_cut)

    def count(self, scope: Scope, filters: ScheduleFilter) -> int:
        """Return the number of matching schedules, at most `COUNT_CAP` + 1."""
        return count_rows(self._listed(scope, filters, ("-created_at",))[0])

    def count_active(self, owner: UserId, *, limit: int) -> int:
        """Return the number of an owner's active schedules, at most `limit`."""
        return min(limit, sum(schedule.owner == owner for schedule in self._active()))

    def due(self, now: datetime, *, limit: int = 500) -> Sequence[Due]:
        """Return the due active schedules, oldest first."""
        due = [s for s in self._active() if s.next_at is not None and s.next_at <= now]
        return [
            Due.from_schedule(each, self._tables.users.get(each.owner))
            for each in sort_rows(due, ("next_run_time",), _ORDERINGS)[:limit]
        ]

    def active_among(self, ids: Sequence[ScheduleId]) -> Sequence[Schedule]:
        """Return the active schedules among ids, in the given order."""
        return list(self._active(ids))

    def next_due(self) -> datetime | None:
        """Return when the earliest schedule is due."""
        return min((s.next_at for s in self._active() if s.next_at is not None), default=None)

    def lock(self, ids: Sequence[ScheduleId]) -> dict[ScheduleId, tuple[datetime | None, int]]:
        """Return {id: (cursor, version)} of the active schedules among ids."""
        return {s.id: (s.cursor, s.version) for s in self._active(ids)}

    def advance(self, steps: Sequence[Advance]) -> None:
        """Advance schedules; rows whose cursor or version has changed are skipped."""
        for step in steps:
            schedule = self._tables.schedules.get(step.id)
            expected = (step.was_cursor, step.version)
            if schedule is None or (schedule.cursor, schedule.version) != expected:
                continue
            reason = step.paused_reason if step.next_at is None else schedule.paused_reason
            moved = evolve(schedule, cursor=step.cursor, next_at=step.next_at, runs=step.runs)
            self._put(evolve(moved, paused_reason=reason))

    def advance_by_one(self, steps: Sequence[FastPathStep]) -> None:
        """Advance schedules by one tick each; changed rows are skipped."""
        for step in steps:
            row = self._tables.schedules.get(step.schedule)
            if row is not None and step.applies_to(row):
                moved = evolve(row, cursor=step.tick, next_at=step.next_at, runs=row.runs + 1)
                self._put(moved)

    def failure_streaks(self, ids: Sequence[ScheduleId]) -> dict[ScheduleId, int]:
        """Return the non-zero failure streaks among ids."""
        rows = (self._tables.schedules.get(each) for each in ids)
        return {row.id: row.fail_streak for row in rows if row is not None and row.fail_streak > 0}

    def clear_failure_streaks(self, ids: Sequence[ScheduleId]) -> None:
        """Set the failure streaks of schedules to 0."""
        for each in ids:
            if (row := self._tables.schedules.get(each)) is not None and row.fail_streak:
                self._put(evolve(row, fail_streak=0))

    def due_alerts(
        self, now: datetime, *, limit: int = 100, only: ScheduleId | None = None
    ) -> Sequence[Schedule]:
        """Return the schedules whose alert check is due, oldest first."""
        due = [(s.alert_at, s.id, s) for s in self._tables.schedules if s.alert_at is not None]
        first = [each for at, _, each in sorted(due, key=lambda d: d[:2])[:limit] if at <= now]
        return [each for each in first if only in {None, each.id}]

    def list_due(self, now: datetime, *, limit: int = 500) -> Sequence[ScheduleId]:
        """Return the ids of the due active schedules, oldest first."""
        due = sorted((s.next_at, s.id) for s in self._active() if s.next_at is not None)
        return [schedule_id for at, schedule_id in due[:limit] if at <= now]

    def list_active(self, after: ScheduleId, *, limit: int = 500) -> Sequence[ScheduleId]:
        """Return the ids of active schedules above an id, in order."""
        return [schedule.id for schedule in self.active_after(after, limit=limit)]

    def purge(self, before: datetime, *, limit: int) -> int:
        """Delete schedules that were deleted before a time; return how many."""
        running = {job.schedule_id for job in self._tables.jobs if job.state < JobState.SUCCEEDED}
        deleted = [
            each.id
            for each in self._tables.schedules
            if each.deleted_at is not None and each.deleted_at < before and each.id not in running
        ]
        for schedule_id in deleted[:limit]:
            self._tables.schedules.delete(schedule_id)
        return len(deleted[:limit])

    def list_due_alerts(self, now: datetime, *, limit: int = 100) -> Sequence[ScheduleId]:
        """Return the ids of the schedules whose alert check is due."""
        return [schedule.id for schedule in self.due_alerts(now, limit=limit)]

    def quarantine(self, schedule_id: ScheduleId, reason: str, now: datetime) -> None:
        """Pause an active schedule whose row cannot be processed."""
        for schedule in self._active([schedule_id]):
            paused = evolve(
                schedule, next_at=None, alert_at=None, cursor=now, updated_at=now,
                paused_reason=reason, version=schedule.version + 1,
            )  # fmt: skip
            self._tables.schedules.put(schedule_id, paused)

    def stop_alerts(self, schedule_id: ScheduleId) -> None:
        """Set no next alert for a schedule."""
        if (schedule := self._tables.schedules.get(schedule_id)) is not None:
            self._tables.schedules.put(schedule_id, evolve(schedule, alert_at=None))

    def save_alert(self, before: Schedule, after: Schedule) -> bool:
        """Write the result of an alert check, unless the row has changed."""
        row = self._tables.schedules.get(before.id)
        if row is None or (row.version, row.alert_at) != (before.version, before.alert_at):
            return False
        self._put(evolve(row, alert_at=after.alert_at, overdue_since=after.overdue_since))
        return True

    def last_success(self, schedule_id: ScheduleId, since: datetime) -> datetime | None:
        """Return when the last successful run ended, or None if that was before `since`."""
        newest = reversed(self._tables.job_index.of("last run", schedule_id)[-RECENT_RUNS:])
        runs = (self._tables.jobs.get(each) for each in newest)
        ends = [run.ended_at for run in runs if run and run.state is JobState.SUCCEEDED]
        return max((at for at in ends if at is not None and at >= since), default=None)

    def active_after(
        self, after: ScheduleId, *, owner: UserId | None = None, limit: int = 500
    ) -> Sequence[Schedule]:
        """Return the active schedules with ids above an id, by id."""
        above = (
            schedule
            for schedule in self._active()
            if schedule.id > after and owner in (None, schedule.owner)
        )
        return sorted(above, key=lambda schedule: schedule.id)[:limit]

    def list_ahead(
        self, bound: datetime, *, after: ScheduleId, limit: int = 500
    ) -> Sequence[Schedule]:
        """Return schedules whose next run, or unreached end, is after a time, by id."""
        rows = (row for row in self._tables.schedules if row.deleted_at is None and row.id > after)
        ahead = (row for row in rows if _is_ahead(row, bound))
        return sorted(ahead, key=lambda schedule: schedule.id)[:limit]

    def _put(self, schedule: Schedule) -> Schedule:
        stored = evolve(in_utc(schedule), parameters=isolated_copy(dict(schedule.parameters)))
        self._tables.schedules.put(stored.id, stored)
        return stored

    def _active(self, ids: Sequence[ScheduleId] | None = None) -> Iterator[Schedule]:
        rows: Iterator[Schedule | None] = iter(self._tables.schedules)
        if ids is not None:
            rows = (self._tables.schedules.get(each) for each in ids)
        return (row for row in rows if row and row.is_active and row.deleted_at is None)

    def _listed(
        self, scope: Scope, filters: ScheduleFilter, ordering: Sequence[str]
    ) -> tuple[list[Schedule], bool]:
        """Return the schedules of a list, and whether its window excludes older ones."""
        found = list(self._matching(scope, filters))
        if not filters.needs_window(ordering):
            return found, False
        visible = list(self._matching(scope, ScheduleFilter(owner=filters.owner)))
        newest = sort_rows(visible, ("-created_at",), _ORDERINGS)[: constraints.SEARCH_WINDOW]
        ids = {row.id for row in newest}
        return [row for row in found if row.id in ids], len(visible) > len(newest)

    def _matching(self, scope: Scope, filters: ScheduleFilter) -> Iterator[Schedule]:
        names = {task.key: task.name for task in self._tables.definitions}
        return (
            row
            for row in self._tables.schedules
            if row.deleted_at is None
            and scope.covers(row.owner)
            and _fits(row, filters, names.get(row.task, ""))
        )

    def _view(self, schedule: Schedule) -> ScheduleView:
        owner = self._tables.users.get(schedule.owner)
        task = next((t for t in self._tables.definitions if t.key == schedule.task), None)
        runs = self._tables.job_index.of("last run", schedule.id)
        run = self._tables.jobs.get(runs[-1]) if runs else None
        return ScheduleView(
            schedule=schedule,
            owner_username=owner.username if owner else "",
            owner_full_name=owner.full_name if owner else "",
            task_id=task.id if task else TaskId(0),
            task_name=task.name if task else "",
            task_description=task.description if task else "",
            last_run_time=run.started_at if run else None,
            last_status=run.status if run else None,
        )


def _is_ahead(row: Schedule, bound: datetime) -> bool:
    if row.next_at is None:
        return row.paused_reason == ENDED and row.ends_at is not None and row.ends_at > bound
    return row.next_at > bound


def _fits(row: Schedule, filters: ScheduleFilter, task_name: str) -> bool:
    lines = filters.cron_expressions
    return (
        (filters.is_active is None or row.is_active is filters.is_active)
        and (filters.tasks is None or row.task in filters.tasks)
        and (filters.owner is None or row.owner == filters.owner)
        and (filters.name is None or row.name == filters.name)
        and contains_text(row.name, filters.name_contains)
        and (lines is None or row.cron.line in lines)
        and contains_text(row.cron.line, filters.cron_contains)
        and in_range(row.created_at, filters.created_from, filters.created_to)
        and in_range(row.updated_at, filters.updated_from, filters.updated_to)
        and in_range(row.next_at, filters.next_from, filters.next_to)
        and (filters.ids is None or row.id in filters.ids)
        and contains_text(f"{row.name}\n{row.cron.line}\n{task_name}", filters.search)
    )


@define(eq=False)
class MemoryStoreMetadata:
    """Named values about the store itself."""

    _tables: Tables

    def get(self, name: str) -> str | None:
        """Return a value, or None."""
        return self._tables.metadata.get(name)

    def set(self, name: str, value: str) -> None:
        """Insert or update a value."""
        self._tables.metadata.put(name, value)
