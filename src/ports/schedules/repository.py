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
from workbell.ports.schedules.views import ListedSchedule, ScheduleFilter, ScheduleView
from workbell.ports.store import StoreMetadata

NEWEST_RUNS = 100
"""How many runs of a schedule are looked through for a success."""


@frozen(kw_only=True)
class Advance:
    """A schedule's step past its due ticks, guarded by cursor and version."""

    id: ScheduleId
    version: int
    was_cursor: datetime | None
    cursor: datetime
    next_at: datetime | None
    runs: int
    paused_reason: str | None = None


class ScheduleRepository(Protocol):
    """Every schedule, active or paused; deleted ones are hidden."""

    def add(self, schedule: Schedule) -> Schedule:
        """Keep a new schedule, and return it with its id."""
        ...

    def get(self, scope: Scope, schedule_id: ScheduleId) -> Schedule:
        """
        Return one schedule that whoever asks may see.

        Raises:
            NotFound: There is none within the scope.
        """
        ...

    def get_view(self, scope: Scope, schedule_id: ScheduleId) -> ScheduleView:
        """
        Return one schedule as it is shown.

        Raises:
            NotFound: There is none within the scope.
        """
        ...

    def get_for_update(self, scope: Scope, schedule_id: ScheduleId) -> Schedule:
        """
        Return one schedule and lock its row.

        Raises:
            NotFound: There is none within the scope.
        """
        ...

    def replace(self, schedule: Schedule) -> None:
        """Keep a schedule as it now stands; its row is locked already."""
        ...

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
        Return a part of a list, filled by one query.

        An owner without a users row has empty names. The last run is the
        newest job of the schedule (by id) that was started; its time is the
        start of its last attempt. `search` looks in name, expression and
        task name, regardless of case. `ordering` holds names of `id, created_at, updated_at, name,
        cron_expression, next_run_time, is_active`, a minus before descending
        ones; id breaks ties, descending where the first name is. Schedules without
        a next run come last in both directions.
        """
        ...

    def list_page(
        self,
        scope: Scope,
        filters: ScheduleFilter,
        *,
        ordering: Sequence[str] = ("-created_at",),
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[ListedSchedule], int]:
        """Return what `find` does, in short, and what `count` does."""
        ...

    def count(self, scope: Scope, filters: ScheduleFilter) -> int:
        """Return how many schedules the list has, counting no further than one above `COUNT_CAP`."""
        ...

    def count_active(self, owner: UserId, *, limit: int) -> int:
        """Return how many active schedules an owner has, counting up to a limit."""
        ...

    def due(self, now: datetime, *, limit: int = 500) -> Sequence[Due]:
        """Return the active schedules whose time has come, in short, oldest first, unlocked."""
        ...

    def active_among(self, ids: Sequence[ScheduleId]) -> Sequence[Schedule]:
        """Return the active ones of some schedules, in the order of the ids, unlocked."""
        ...

    def next_due(self) -> datetime | None:
        """Return when the earliest schedule is due."""
        ...

    def lock(self, ids: Sequence[ScheduleId]) -> dict[ScheduleId, tuple[datetime | None, int]]:
        """
        Lock rows that nobody else has locked, by id; return cursor and
        version of each that is locked, active and not deleted.
        """
        ...

    def advance(self, steps: Sequence[Advance]) -> None:
        """
        Move schedules on; rows whose cursor or version has changed are left.

        Where `next_at` is None the schedule becomes inactive and
        `paused_reason` is written.
        """
        ...

    def advance_by_one(self, steps: Sequence[FastPathStep]) -> None:
        """
        Move schedules past one tick each, and count a run.

        Rows whose version or next tick has changed are left.
        """
        ...

    def failure_streaks(self, ids: Sequence[ScheduleId]) -> dict[ScheduleId, int]:
        """Return the fail streaks, above 0 only, of some schedules; unlocked."""
        ...

    def clear_failure_streaks(self, ids: Sequence[ScheduleId]) -> None:
        """Set the fail streaks of some schedules to 0."""
        ...

    def due_alerts(self, now: datetime, *, limit: int = 100) -> Sequence[Schedule]:
        """Return the schedules whose alert is due, oldest first, unlocked."""
        ...

    def save_alert(self, before: Schedule, after: Schedule) -> bool:
        """
        Keep what an alert came to: when to look again, and since when it is overdue.

        Return whether the row still stood as before; else it is left.
        """
        ...

    def last_success(self, schedule_id: ScheduleId, since: datetime) -> datetime | None:
        """
        Return when the newest successful run ended, if that is not before a time.

        Only the newest hundred runs that were started are looked at.
        """
        ...

    def active_after(self, after: ScheduleId, *, limit: int = 500) -> Sequence[Schedule]:
        """Return active schedules by id, above an id: to walk over all of them."""
        ...


class SchedulesTx(JobsTx, Protocol):
    """The repositories that schedules use within one transaction."""

    @property
    def schedules(self) -> ScheduleRepository:
        """The schedules."""
        ...

    @property
    def metadata(self) -> StoreMetadata:
        """Facts about the store itself."""
        ...
