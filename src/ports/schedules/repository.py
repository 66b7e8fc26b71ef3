"""Repository of schedules, and their transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from workbell.domain.identity.actor import Scope
from workbell.domain.identity.user import UserId
from workbell.domain.schedules.schedule import Schedule, ScheduleId
from workbell.domain.schedules.ticks import Due, FastPathStep
from workbell.ports.jobs.repository import JobsTx
from workbell.ports.schedules.views import ScheduleFilter, SchedulePage, ScheduleView
from workbell.ports.store import StoreMetadata

RECENT_RUNS = 100
"""How many runs of a schedule are searched for the last success."""


@frozen(kw_only=True)
class Advance:
    """Moves a schedule past its due ticks, guarded by cursor and version."""

    id: ScheduleId
    version: int
    was_cursor: datetime | None
    cursor: datetime
    next_at: datetime | None
    runs: int
    paused_reason: str | None = None


class ScheduleRepository(Protocol):
    """Active and paused schedules; deleted ones are hidden."""

    def add(self, schedule: Schedule, *, active_limit: int | None = None) -> Schedule:
        """
        Insert a schedule and return it with its id.

        With `active_limit` the owner's row must be locked, so that concurrent
        transactions count one after another.

        Raises:
            LimitReached: The owner has `active_limit` active schedules.
        """

    def get(self, scope: Scope, schedule_id: ScheduleId) -> Schedule:
        """Return a schedule in the scope, or raise NotFound."""

    def get_view(self, scope: Scope, schedule_id: ScheduleId) -> ScheduleView:
        """Return the view of a schedule in the scope, or raise NotFound."""

    def get_for_update(self, scope: Scope, schedule_id: ScheduleId) -> Schedule:
        """Return a schedule in the scope and lock its row, or raise NotFound."""

    def replace(self, schedule: Schedule) -> None:
        """Update a schedule; the caller holds its row."""

    def find(
        self,
        scope: Scope,
        filters: ScheduleFilter,
        *,
        ordering: Sequence[str] = ("-created_at",),
        offset: int = 0,
        limit: int = 20,
    ) -> Sequence[ScheduleView]:
        """
        Return one page of schedules, by one query.

        The last run is the newest job (by id) that was started, its time the start of
        its last attempt. The names of an owner without a row are empty. `search`
        matches part of name, expression and task name, case-insensitively. `ordering`
        holds `id`, `created_at`, `updated_at`, `name`, `cron_expression`,
        `next_run_time` or `is_active`, with a leading minus for descending; ties are
        ordered by id, descending if the first name is. Schedules without a next run
        come last in both directions. Lists that need a window contain only schedules
        of it, see `ScheduleFilter.needs_window`.
        """

    def list_page(
        self,
        scope: Scope,
        filters: ScheduleFilter,
        *,
        ordering: Sequence[str] = ("-created_at",),
        offset: int = 0,
        limit: int = 20,
    ) -> SchedulePage:
        """Return the rows of `find` as `ListedSchedule`, and their `count`."""

    def count(self, scope: Scope, filters: ScheduleFilter) -> int:
        """Return how many schedules match, counting up to `COUNT_CAP` + 1."""

    def count_active(self, owner: UserId, *, limit: int) -> int:
        """Return how many active schedules an owner has, counting up to `limit`."""

    def due(self, now: datetime, *, limit: int = 500) -> Sequence[Due]:
        """Return the due active schedules, oldest first, unlocked."""

    def active_among(self, ids: Sequence[ScheduleId]) -> Sequence[Schedule]:
        """Return the active schedules with these ids, in the same order, unlocked."""

    def next_due(self) -> datetime | None:
        """Return when the earliest schedule is due."""

    def lock(self, ids: Sequence[ScheduleId]) -> dict[ScheduleId, tuple[datetime | None, int]]:
        """
        Lock rows that are not locked by another transaction, by id.

        Returns cursor and version of each locked row that is active.
        """

    def advance(self, steps: Sequence[Advance]) -> None:
        """
        Advance schedules; rows whose cursor or version has changed are skipped.

        Without a `next_at` the schedule becomes inactive, with `paused_reason`.
        """

    def advance_by_one(self, steps: Sequence[FastPathStep]) -> None:
        """
        Advance schedules by one tick each and increment their runs.

        Rows whose version or next tick has changed are skipped.
        """

    def failure_streaks(self, ids: Sequence[ScheduleId]) -> dict[ScheduleId, int]:
        """Return the failure streaks above 0 of schedules, unlocked."""

    def clear_failure_streaks(self, ids: Sequence[ScheduleId]) -> None:
        """Reset the failure streaks of schedules to 0."""

    def due_alerts(
        self, now: datetime, *, limit: int = 100, only: ScheduleId | None = None
    ) -> Sequence[Schedule]:
        """
        Return the schedules whose alert is due, oldest first, unlocked.

        `only` limits it to one schedule.
        """

    def list_due(self, now: datetime, *, limit: int = 500) -> Sequence[ScheduleId]:
        """Return the ids of `due`; nothing else of the rows is decoded."""

    def list_active(self, after: ScheduleId, *, limit: int = 500) -> Sequence[ScheduleId]:
        """Return the ids of `active_after`; nothing else of the rows is decoded."""

    def purge(self, before: datetime, *, limit: int) -> int:
        """
        Delete up to `limit` schedules that were deleted before a time; count them.

        Schedules with unfinished runs are left.
        """

    def list_due_alerts(self, now: datetime, *, limit: int = 100) -> Sequence[ScheduleId]:
        """Return the ids of `due_alerts`; nothing else of the rows is decoded."""

    def quarantine(self, schedule_id: ScheduleId, reason: str, now: datetime) -> None:
        """
        Pause an active schedule whose row cannot be processed.

        No value of the row is decoded; the cursor becomes `now`.
        """

    def stop_alerts(self, schedule_id: ScheduleId) -> None:
        """Set no next alert for a schedule; no value of the row is decoded."""

    def save_alert(self, before: Schedule, after: Schedule) -> bool:
        """Store alert_at and overdue_since, unless changed since; return whether."""

    def last_success(self, schedule_id: ScheduleId, since: datetime) -> datetime | None:
        """
        Return when the newest successful run ended, if not before `since`.

        Searches the last `RECENT_RUNS` started runs only.
        """

    def active_after(
        self, after: ScheduleId, *, owner: UserId | None = None, limit: int = 500
    ) -> Sequence[Schedule]:
        """Return active schedules above an id, in order of id, to iterate all."""

    def list_ahead(
        self, bound: datetime, *, after: ScheduleId, limit: int = 500
    ) -> Sequence[Schedule]:
        """
        Return schedules whose next run is after a time, by id, above an id.

        Also those without a next run because they have ended (`ENDED`), although
        their end is after that time.
        """


class SchedulesTx(JobsTx, Protocol):
    """The repositories that schedules use within one transaction."""

    @property
    def schedules(self) -> ScheduleRepository:
        """The schedules."""

    @property
    def metadata(self) -> StoreMetadata:
        """Metadata of the store."""
