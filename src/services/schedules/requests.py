"""Requests for schedules, before validation."""

from collections.abc import Mapping
from typing import Annotated, Any

from attrs import Factory, frozen

from workbell.domain.constraints import Constraints, Instant
from workbell.domain.cron.rule import DstGap, DstOverlap
from workbell.domain.jobs.fields import Attempts, Name, Priority, QueueName, Seconds
from workbell.domain.schedules.schedule import MisfirePolicy, OverlapPolicy
from workbell.ports.schedules.views import ScheduleView

Expression = Annotated[str, Constraints(min_length=1, max_length=256, example="0 9 * * 1-5")]
ZoneName = Annotated[str, Constraints(min_length=1, max_length=64, example="Europe/Berlin")]
Jitter = Annotated[int, Constraints(ge=0, le=3600, description="Random delay, in seconds.")]
AlertSeconds = Annotated[
    int,
    Constraints(
        ge=60,
        le=31_536_000,
        description="Email the owner if a tick has no success within this many seconds.",
    ),
]

COPIED_FIELDS = (
    "name",
    "misfire_policy",
    "overlap_policy",
    "starts_at",
    "ends_at",
    "max_runs",
    "jitter_seconds",
    "queue",
    "priority",
    "max_attempts",
    "timeout_seconds",
    "alert_after_seconds",
)
"""Fields that a request and its schedule share under one name."""


@frozen(kw_only=True)
class NewSchedule:
    """Fields of a schedule; None means the task's or owner's default."""

    task_definition: int | str
    cron_expression: Expression
    parameters: Mapping[str, Any] = Factory(dict[str, Any])
    is_active: bool = True
    name: Name = ""
    time_zone: ZoneName | None = None
    misfire_policy: MisfirePolicy = MisfirePolicy.LATEST
    overlap_policy: OverlapPolicy = OverlapPolicy.SKIP
    dst_gap: DstGap = DstGap.RUN_AFTER
    dst_overlap: DstOverlap = DstOverlap.FIRST
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    max_runs: Annotated[int, Constraints(ge=1, le=1_000_000_000)] | None = None
    jitter_seconds: Jitter = 0
    queue: QueueName | None = None
    priority: Priority = 0
    max_attempts: Attempts | None = None
    timeout_seconds: Seconds | None = None
    alert_after_seconds: AlertSeconds | None = None

    @classmethod
    def of(cls, view: ScheduleView) -> "NewSchedule":
        """Return a schedule's current fields, to merge a change into."""
        schedule = view.schedule
        return cls(
            task_definition=view.task_id,
            cron_expression=schedule.cron.line,
            parameters=schedule.parameters,
            is_active=schedule.is_active,
            time_zone=schedule.cron.zone,
            dst_gap=schedule.cron.dst_gap,
            dst_overlap=schedule.cron.dst_overlap,
            **{name: getattr(schedule, name) for name in COPIED_FIELDS},
        )


@frozen(kw_only=True)
class BackfillRange:
    """A range of past runs, both ends included."""

    start: Instant
    end: Instant
