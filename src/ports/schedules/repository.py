"""Schedules and task definitions as the store keeps them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from attrs import frozen

from workbell.domain.audit import AuditEntry
from workbell.domain.cron.rule import DstGap, DstOverlap
from workbell.domain.identity.user import Scope, User, UserId
from workbell.domain.jobs.job import Status
from workbell.domain.jobs.task import TaskDefinition, TaskId
from workbell.domain.schedules.schedule import MisfirePolicy, OverlapPolicy, Schedule, ScheduleId
from workbell.domain.schedules.ticks import Due, Step

NEWEST_RUNS = 100
"""How many runs of a schedule are looked through for a success."""


class TaskDefinitions(Protocol):
    """The tasks that the store knows, by id and by key."""

    def add(self, definition: TaskDefinition) -> TaskDefinition:
        """Keep a new definition, and return it with its id; a known key returns the kept one."""
        ...

    def get(self, task_id: TaskId) -> TaskDefinition:
        """
        Return one definition.

        Raises:
            NotFound: There is none with the id.
        """
        ...

    def by_key(self, key: str) -> TaskDefinition:
        """
        Return one definition.

        Raises:
            NotFound: There is none with the key.
        """
        ...

    def all(self) -> Sequence[TaskDefinition]:
        """Return every definition, by id."""
        ...

    def replace(self, definition: TaskDefinition) -> None:
        """Keep a definition as it now stands."""
        ...


@frozen(kw_only=True)
class ScheduleFilter:
    """
    Which schedules a list shows; None leaves a matter open.

    Times from and to are both included; `..._contains` and `search` do not
    regard case.
    """

    is_active: bool | None = None
    tasks: Sequence[str] | None = None
    owner: UserId | None = None
    name: str | None = None
    name_contains: str | None = None
    cron_expressions: Sequence[str] | None = None
    cron_contains: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    updated_from: datetime | None = None
    updated_to: datetime | None = None
    next_from: datetime | None = None
    next_to: datetime | None = None
    ids: Sequence[int] | None = None
    search: str | None = None


@frozen(kw_only=True)
class ScheduleView:
    """A schedule as it is shown: with its owner's, its task's and its last run's facts."""

    schedule: Schedule
    owner_username: str
    owner_full_name: str
    task_id: TaskId
    task_name: str
    task_description: str
    last_run_time: datetime | None = None
    last_status: Status | None = None

    @classmethod
    def first(cls, schedule: Schedule, owner: User, definition: TaskDefinition) -> "ScheduleView":
        """Return a schedule that was just made, and has not run."""
        return cls(
            schedule=schedule,
            owner_username=owner.username,
            owner_full_name=owner.full_name,
            task_id=definition.id,
            task_name=definition.name,
            task_description=definition.description,
        )


class ListedSchedule(NamedTuple):
    """A schedule as a list shows it: what `ScheduleView` says, without the schedule itself."""

    id: ScheduleId
    owner: UserId
    owner_username: str
    owner_full_name: str
    task_id: TaskId
    task_name: str
    task_description: str
    name: str
    cron_line: str
    zone: str
    parameters: Mapping[str, Any]
    is_active: bool
    misfire_policy: MisfirePolicy
    overlap_policy: OverlapPolicy
    dst_gap: DstGap
    dst_overlap: DstOverlap
    starts_at: datetime | None
    ends_at: datetime | None
    max_runs: int | None
    jitter_seconds: int
    queue: str | None
    priority: int
    max_attempts: int | None
    timeout_seconds: int | None
    alert_after_seconds: int | None
    overdue_since: datetime | None
    next_at: datetime | None
    last_run_time: datetime | None
    paused_reason: str | None
    created_at: datetime
    updated_at: datetime
    version: int
    last_status: Status | None
    task: str

    @classmethod
    def of(cls, view: ScheduleView) -> "ListedSchedule":
        """Return what a list shows of a view."""
        schedule = view.schedule
        rule = schedule.cron
        return cls(
            schedule.id,
            schedule.owner,
            view.owner_username,
            view.owner_full_name,
            view.task_id,
            view.task_name,
            view.task_description,
            schedule.name,
            rule.line,
            rule.zone,
            schedule.parameters,
            schedule.is_active,
            schedule.misfire_policy,
            schedule.overlap_policy,
            rule.dst_gap,
            rule.dst_overlap,
            schedule.starts_at,
            schedule.ends_at,
            schedule.max_runs,
            schedule.jitter_seconds,
            schedule.queue,
            schedule.priority,
            schedule.max_attempts,
            schedule.timeout_seconds,
            schedule.alert_after_seconds,
            schedule.overdue_since,
            schedule.next_at,
            view.last_run_time,
            schedule.paused_reason,
            schedule.created_at,
            schedule.updated_at,
            schedule.version,
            view.last_status,
            schedule.task,
        )


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


class Schedules(Protocol):
    """Every schedule, active or paused; deleted ones are hidden."""

    def add(self, schedule: Schedule) -> Schedule:
        """Keep a new schedule, and return it with its id."""
        ...

    def add_within(
        self, schedule: Schedule, limit: int, entry: AuditEntry
    ) -> tuple[Schedule, User] | None:
        """
        Keep a new, active schedule and its audit entry, if the limit leaves room.

        The owner's row is locked before their active schedules are counted,
        and the entry's `object_id` becomes the new id. Return the schedule
        with its id, and the owner; None, and nothing is kept, where as many
        as the limit are active, or the owner has no row.
        """
        ...

    def get(self, scope: Scope, schedule_id: ScheduleId) -> Schedule:
        """
        Return one schedule that whoever asks may see.

        Raises:
            NotFound: There is none within the scope.
        """
        ...

    def show(self, scope: Scope, schedule_id: ScheduleId) -> ScheduleView:
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
        which: ScheduleFilter,
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

    def page(
        self,
        scope: Scope,
        which: ScheduleFilter,
        *,
        ordering: Sequence[str] = ("-created_at",),
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[ListedSchedule], int]:
        """Return what `find` does, in short, and what `count` does."""
        ...

    def count(self, scope: Scope, which: ScheduleFilter) -> int:
        """Return how many schedules the list has, counting no further than one above `COUNT_CAP`."""
        ...

    def count_active(self, owner: UserId) -> int:
        """Return how many active schedules an owner has."""
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

    def take(self, steps: Sequence[Step]) -> None:
        """
        Move schedules past one tick each, and count a run.

        Rows whose version or next tick has changed are left.
        """
        ...

    def streaks(self, ids: Sequence[ScheduleId]) -> dict[ScheduleId, int]:
        """Return the fail streaks, above 0 only, of some schedules; unlocked."""
        ...

    def clear_streaks(self, ids: Sequence[ScheduleId]) -> None:
        """Set the fail streaks of some schedules to 0."""
        ...

    def to_judge(self, now: datetime, *, limit: int = 100) -> Sequence[Schedule]:
        """Return the schedules whose alert is due, oldest first, unlocked."""
        ...

    def judge(self, before: Schedule, after: Schedule) -> bool:
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


class Facts(Protocol):
    """Small facts about the store itself, by name: such as the tzdata version."""

    def get(self, name: str) -> str | None:
        """Return a fact, if it is known."""
        ...

    def set(self, name: str, value: str) -> None:
        """Keep a fact."""
        ...
