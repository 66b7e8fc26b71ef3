"""Response bodies of calendars, SLA policies and clocks."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from attrs import frozen

from workbell.adapters.http.web.mapping import copy_fields
from workbell.domain.constraints import Constraints
from workbell.domain.projects.sla.calendar import (
    BusinessCalendar,
    format_exceptions,
    format_weekly,
)
from workbell.domain.projects.sla.clock import ClockKind, ClockState
from workbell.domain.projects.sla.explanation import ClockExplanation
from workbell.domain.projects.sla.policy import EscalationStep, PriorityTarget, Reopen, SlaPolicy
from workbell.domain.projects.work_item import WorkItemStatus

Ranges = Sequence[Sequence[str]]
# A class cannot have a field that is named `from`.
Segments = Annotated[
    Sequence[Mapping[str, Any]],
    Constraints(
        description=(
            "Periods as `{from, to, counts, reason, counted_seconds}`; `to` is null for the "
            "current one."
        ),
    ),
]


@frozen(kw_only=True, slots=False)
class CalendarBody:
    """Business hours of a project; intervals are half-open and may end at 24:00."""

    id: int
    name: str
    project: int
    time_zone: str
    intervals: Mapping[str, Ranges]
    exceptions: Mapping[str, Ranges]
    created_at: datetime
    updated_at: datetime
    version: int


@frozen(kw_only=True, slots=False)
class SlaPolicyBody:
    """The service level of a project; `calendar` is null if all time counts."""

    id: int
    name: str
    project: int
    is_active: bool
    targets: Mapping[str, PriorityTarget]
    calendar: int | None
    pausing_statuses: Sequence[WorkItemStatus]
    reopen: Reopen
    warn_percent: int
    escalation: Sequence[EscalationStep]
    created_at: datetime
    updated_at: datetime
    version: int


@frozen(kw_only=True, slots=False)
class AppliedBody:
    """How many open clocks have moved to the present versions."""

    changed: int


@frozen(kw_only=True, slots=False)
class ClockBody:
    """A clock of a task. `deadline` is null while it is paused."""

    kind: ClockKind
    state: ClockState
    cycle: int
    target_minutes: int
    started_at: datetime
    deadline: datetime | None
    consumed_seconds: int
    warn_at: datetime | None
    breached_at: datetime | None
    stopped_at: datetime | None
    policy: int | None
    policy_version: int | None
    calendar: int | None
    calendar_version: int | None
    segments: Segments
    explanation: str


@frozen(kw_only=True, slots=False)
class TaskSlaBody:
    """The clocks of a task in their present cycles."""

    clocks: Sequence[ClockBody]


def calendar_body(calendar: BusinessCalendar) -> CalendarBody:
    """Return the body of a calendar."""
    return copy_fields(
        CalendarBody,
        calendar,
        project=calendar.project_id,
        time_zone=calendar.hours.time_zone,
        intervals=format_weekly(calendar.hours),
        exceptions=format_exceptions(calendar.hours),
    )


def policy_body(policy: SlaPolicy) -> SlaPolicyBody:
    """Return the body of a policy."""
    terms = policy.terms
    return copy_fields(
        SlaPolicyBody,
        policy,
        project=policy.project_id,
        calendar=policy.calendar_id,
        targets={str(priority): target for priority, target in terms.targets.items()},
        pausing_statuses=terms.pausing_statuses,
        reopen=terms.reopen,
        warn_percent=terms.warn_percent,
        escalation=terms.escalation,
    )


def clock_body(explained: ClockExplanation) -> ClockBody:
    """Return the body of a clock."""
    clock = explained.clock
    return copy_fields(
        ClockBody,
        explained,
        kind=clock.kind,
        cycle=clock.cycle,
        started_at=clock.started_at,
        breached_at=clock.breached_at,
        stopped_at=clock.stopped_at,
        policy=clock.pins.policy_id,
        policy_version=clock.pins.policy_version,
        calendar=clock.pins.calendar_id,
        calendar_version=clock.pins.calendar_version,
        segments=[
            {
                "from": one.segment.start,
                "to": one.segment.end,
                "counts": one.segment.counts,
                "reason": one.segment.reason,
                "counted_seconds": one.counted_seconds,
            }
            for one in explained.segments
        ],
        explanation=explained.text,
    )
