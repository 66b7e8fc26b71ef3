"""What is asked for: new schedules and jobs, before they are checked."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from attrs import Factory, frozen

from workbell.domain.constraints import Limits
from workbell.domain.cron.rule import DstGap, DstOverlap
from workbell.domain.errors import Invalid
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, may
from workbell.domain.schedules.schedule import MisfirePolicy, OverlapPolicy
from workbell.ports.schedules.repository import ScheduleView

Name = Annotated[str, Limits(max_length=255)]
Expression = Annotated[str, Limits(min_length=1, max_length=256, example="0 9 * * 1-5")]
ZoneName = Annotated[str, Limits(min_length=1, max_length=64, example="Europe/Berlin")]
QueueName = Annotated[str, Limits(min_length=1, max_length=64, pattern="[a-z0-9][a-z0-9_.-]*")]
Priority = Annotated[int, Limits(ge=-100, le=100)]
Attempts = Annotated[int, Limits(ge=1, le=100)]
Seconds = Annotated[int, Limits(ge=1, le=86_400)]
AlertSeconds = Annotated[
    int,
    Limits(
        ge=60,
        le=31_536_000,
        description="Tell the owner when a tick has no success within so many seconds after it.",
    ),
]


@frozen(kw_only=True)
class NewSchedule:
    """What is asked of a schedule; None means the task's or the owner's default."""

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
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    max_runs: Annotated[int, Limits(ge=1, le=1_000_000_000)] | None = None
    jitter_seconds: Annotated[int, Limits(ge=0, le=3600)] = 0
    queue: QueueName | None = None
    priority: Priority = 0
    max_attempts: Attempts | None = None
    timeout_seconds: Seconds | None = None
    alert_after_seconds: AlertSeconds | None = None

    @classmethod
    def of(cls, shown: ScheduleView) -> "NewSchedule":
        """Return what a schedule was asked to be, to be merged with a change."""
        schedule = shown.schedule
        return cls(
            task_definition=shown.task_id,
            cron_expression=schedule.cron.line,
            parameters=schedule.parameters,
            is_active=schedule.is_active,
            name=schedule.name,
            time_zone=schedule.cron.zone,
            misfire_policy=schedule.misfire_policy,
            overlap_policy=schedule.overlap_policy,
            dst_gap=schedule.cron.dst_gap,
            dst_overlap=schedule.cron.dst_overlap,
            starts_at=schedule.starts_at,
            ends_at=schedule.ends_at,
            max_runs=schedule.max_runs,
            jitter_seconds=schedule.jitter_seconds,
            queue=schedule.queue,
            priority=schedule.priority,
            max_attempts=schedule.max_attempts,
            timeout_seconds=schedule.timeout_seconds,
            alert_after_seconds=schedule.alert_after_seconds,
        )


@frozen(kw_only=True)
class NewJob:
    """A one-off job that is asked for; without a time it is due at once."""

    name: Name = ""
    description: Annotated[str, Limits(max_length=10_000)] = ""
    task_definition: int | str = "echo"
    parameters: Mapping[str, Any] = Factory(dict[str, Any])
    scheduled_time: datetime | None = None
    queue: QueueName | None = None
    priority: Priority = 0
    max_attempts: Attempts | None = None
    timeout_seconds: Seconds | None = None


def check_priority(actor: Actor, priority: int) -> None:
    """
    Refuse a raised priority to ordinary users.

    Raises:
        Invalid: The priority is above 0 and the actor is no superuser.
    """
    if priority > 0 and not may(actor, Action.HURRY_JOBS):
        raise Invalid.field("priority", "Only superusers may raise the priority above 0.")


def check_queue(queue: str | None, known: Sequence[str]) -> None:
    """
    Refuse a queue that nobody works on.

    Raises:
        Invalid: The queue is not among the known ones.
    """
    if queue is not None and queue not in known:
        raise Invalid.field("queue", f"There is no queue {queue!r}; known: {', '.join(known)}.")
