"""Requests of calendars and SLA policies, before validation."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from attrs import field, frozen

from workbell.domain.constraints import Constraints
from workbell.domain.projects.sla.calendar import (
    MAX_EXCEPTIONS,
    BusinessCalendar,
    CalendarName,
    DayRanges,
    ZoneName,
    format_exceptions,
    format_weekly,
)
from workbell.domain.projects.sla.policy import (
    MAX_STEPS,
    EscalationStep,
    PolicyName,
    PriorityTarget,
    Reopen,
    SlaPolicy,
    SlaTerms,
    WarnPercent,
    make_targets,
)
from workbell.domain.projects.work_item import WorkItemStatus

Intervals = Annotated[
    Mapping[str, DayRanges],
    Constraints(
        max_length=7,
        description=(
            'By day, `mon` to `sun`, such as `[["09:00", "12:30"], ["13:30", "24:00"]]`; '
            "days that are left out are closed."
        ),
    ),
]
Exceptions = Annotated[
    Mapping[str, DayRanges],
    Constraints(
        max_length=MAX_EXCEPTIONS,
        description="By date; they replace the intervals of that date.",
    ),
]
Targets = Annotated[
    Mapping[str, PriorityTarget],
    Constraints(
        max_length=4,
        description="By priority; a priority or kind without a target has no clock.",
    ),
]
PausingStatuses = Annotated[Sequence[WorkItemStatus], Constraints(max_length=4)]
Escalation = Annotated[Sequence[EscalationStep], Constraints(max_length=MAX_STEPS)]
NullableId = Annotated[int, Constraints(ge=1)]


@frozen(kw_only=True)
class NewCalendar:
    """Business hours of a project."""

    name: CalendarName
    project: NullableId
    time_zone: ZoneName = "UTC"
    intervals: Intervals
    exceptions: Exceptions = field(factory=dict[str, DayRanges])

    @classmethod
    def of(cls, calendar: BusinessCalendar) -> "NewCalendar":
        """Return a calendar's current fields, to merge a change into."""
        return cls(
            name=calendar.name,
            project=calendar.project_id,
            time_zone=calendar.hours.time_zone,
            intervals=format_weekly(calendar.hours),
            exceptions=format_exceptions(calendar.hours),
        )


@frozen(kw_only=True)
class NewPolicy:
    """
    The service level of a project.

    `calendar` is null if all time counts. `escalation` notifies users some minutes
    of the calendar after a target.
    """

    name: PolicyName
    project: NullableId
    is_active: bool = True
    targets: Targets = field(factory=dict[str, PriorityTarget])
    calendar: NullableId | None = None
    pausing_statuses: PausingStatuses = ()
    reopen: Reopen = Reopen.RESUME
    warn_percent: WarnPercent = 80
    escalation: Escalation = ()

    @classmethod
    def of(cls, policy: SlaPolicy) -> "NewPolicy":
        """Return a policy's current fields, to merge a change into."""
        terms = policy.terms
        return cls(
            name=policy.name,
            project=policy.project_id,
            is_active=policy.is_active,
            targets={str(priority): target for priority, target in terms.targets.items()},
            calendar=policy.calendar_id,
            pausing_statuses=tuple(terms.pausing_statuses),
            reopen=terms.reopen,
            warn_percent=terms.warn_percent,
            escalation=tuple(terms.escalation),
        )

    def terms(self) -> SlaTerms:
        """Return the terms; Invalid if a priority does not exist."""
        return SlaTerms(
            targets=make_targets(self.targets),
            pausing_statuses=tuple(dict.fromkeys(self.pausing_statuses)),
            reopen=self.reopen,
            warn_percent=self.warn_percent,
            escalation=self.escalation,
        )
