"""Views and filters of lists of schedules."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from attrs import evolve, frozen

from workbell.domain.cron.rule import DstGap, DstOverlap
from workbell.domain.identity.user import User, UserId
from workbell.domain.jobs.job import Status
from workbell.domain.jobs.task import TaskDefinition, TaskId
from workbell.domain.schedules.schedule import MisfirePolicy, OverlapPolicy, Schedule, ScheduleId


@frozen(kw_only=True)
class ScheduleFilter:
    """
    Conditions of a list of schedules; None means any.

    Time bounds are inclusive; `..._contains` and `search` are case-insensitive.
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

    def needs_window(self, ordering: Sequence[str]) -> bool:
        """
        Whether a list reads the newest `SEARCH_WINDOW` rows instead of following an index.

        Owner and time of creation are served by an index in the order of creation;
        the other conditions and orderings apply to the window. `ids` are read directly.
        """
        by_creation = tuple(ordering) in {("-created_at",), ("created_at",)}
        times = {"created_from": None, "created_to": None}
        is_plain = evolve(self, owner=None, **times) == ScheduleFilter()
        return self.ids is None and not (by_creation and is_plain)


@frozen(kw_only=True)
class ScheduleView:
    """A schedule with the names of its owner and task, and its last run."""

    schedule: Schedule
    owner_username: str
    owner_full_name: str
    task_id: TaskId
    task_name: str
    task_description: str
    last_run_time: datetime | None = None
    last_status: Status | None = None

    @classmethod
    def without_runs(
        cls, schedule: Schedule, owner: User, definition: TaskDefinition
    ) -> "ScheduleView":
        """Build the view of a new schedule, which has no runs."""
        return cls(
            schedule=schedule,
            owner_username=owner.username,
            owner_full_name=owner.full_name,
            task_id=definition.id,
            task_name=definition.name,
            task_description=definition.description,
        )


class ListedSchedule(NamedTuple):
    """A row of a list of schedules: the fields of `ScheduleView`, flattened."""

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
    def from_view(cls, view: ScheduleView) -> "ListedSchedule":
        """Build the row of a view."""
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


class SchedulePage(NamedTuple):
    """
    A page of a list of schedules.

    `total` is how many match, up to `COUNT_CAP` + 1. `is_cut` is whether only the
    newest `SEARCH_WINDOW` schedules were searched, and there are older ones.
    """

    schedules: Sequence[ListedSchedule]
    total: int
    is_cut: bool = False
