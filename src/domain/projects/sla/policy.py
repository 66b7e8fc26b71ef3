"""SLA policies: targets by priority, pauses, reopening and escalation."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, NewType, Self

from attrs import Factory, evolve, frozen

from workbell.domain.constraints import NOT_BLANK, Constraints
from workbell.domain.errors import Conflict, Invalid
from workbell.domain.projects.project import ProjectId
from workbell.domain.projects.sla.calendar import BusinessHours, CalendarId
from workbell.domain.projects.sla.clock import ClockKind, ClockRules
from workbell.domain.projects.work_item import WorkItemPriority, WorkItemStatus

PolicyId = NewType("PolicyId", int)
PolicyName = Annotated[
    str,
    Constraints(
        min_length=1, max_length=100, pattern=NOT_BLANK, hint="must not be blank", example="Support"
    ),
]
TargetMinutes = Annotated[int, Constraints(ge=1, le=525_600, example=480)]
AfterMinutes = Annotated[int, Constraints(ge=0, le=525_600, example=60)]
WarnPercent = Annotated[int, Constraints(ge=1, le=99)]
MAX_STEPS: Final = 10
"""How many escalation steps a policy may have."""
MAX_POLICIES: Final = 100
"""How many policies, and how many calendars, a project may have."""


class Reopen(StrEnum):
    """Action of the resolution clock when a done task is reopened."""

    RESUME = "resume"
    RESTART = "restart"
    IGNORE = "ignore"


class Recipient(StrEnum):
    """The users whom an escalation step notifies."""

    ASSIGNEE = "assignee"
    REPORTER = "reporter"
    WATCHERS = "watchers"
    MEMBER = "MEMBER"
    MANAGER = "MANAGER"
    ADMIN = "ADMIN"


@frozen(kw_only=True)
class PriorityTarget:
    """The targets of a priority, in minutes of the calendar; None: no clock."""

    first_response_minutes: TargetMinutes | None = None
    resolution_minutes: TargetMinutes | None = None


@frozen(kw_only=True)
class EscalationStep:
    """
    A notice some minutes of the calendar after the target.

    Members with a role are notified by its name.
    """

    after_minutes: AfterMinutes
    notify: Annotated[Sequence[Recipient], Constraints(min_length=1, max_length=6)]


@frozen(kw_only=True)
class SlaTerms:
    """The terms of a policy. Each version of them is stored, for the clocks that use it."""

    targets: Mapping[WorkItemPriority, PriorityTarget] = Factory(
        dict[WorkItemPriority, PriorityTarget]
    )
    pausing_statuses: Collection[WorkItemStatus] = ()
    reopen: Reopen = Reopen.RESUME
    warn_percent: int = 80
    escalation: Sequence[EscalationStep] = ()

    def target(self, kind: ClockKind, priority: WorkItemPriority) -> timedelta | None:
        """Return the target of a kind of clock for a priority, or None."""
        target = self.targets.get(priority, PriorityTarget())
        minutes = (
            target.first_response_minutes
            if kind is ClockKind.FIRST_RESPONSE
            else target.resolution_minutes
        )
        return None if minutes is None else timedelta(minutes=minutes)

    def rules(self, hours: BusinessHours | None) -> ClockRules:
        """Return the rules of clocks that use a calendar's hours."""
        return ClockRules(
            hours=hours,
            warn_percent=self.warn_percent,
            escalation=[timedelta(minutes=step.after_minutes) for step in self.escalation],
        )

    def to_json(self) -> dict[str, Any]:
        """Return the terms as JSON."""
        return {
            "targets": {
                str(priority): {
                    "first_response_minutes": target.first_response_minutes,
                    "resolution_minutes": target.resolution_minutes,
                }
                for priority, target in self.targets.items()
            },
            "pausing_statuses": [str(status) for status in self.pausing_statuses],
            "reopen": str(self.reopen),
            "warn_percent": self.warn_percent,
            "escalation": [
                {"after_minutes": step.after_minutes, "notify": [str(one) for one in step.notify]}
                for step in self.escalation
            ],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the terms that `to_json` has returned."""
        return cls(
            targets={
                WorkItemPriority(name): PriorityTarget(**target)
                for name, target in value["targets"].items()
            },
            pausing_statuses=tuple(map(WorkItemStatus, value["pausing_statuses"])),
            reopen=Reopen(value["reopen"]),
            warn_percent=value["warn_percent"],
            escalation=tuple(
                EscalationStep(
                    after_minutes=step["after_minutes"],
                    notify=tuple(map(Recipient, step["notify"])),
                )
                for step in value["escalation"]
            ),
        )


@frozen(kw_only=True)
class SlaPolicy:
    """
    The service level of a project; at most one of a project is active.

    Tasks that are created while it is active get its clocks. `calendar_id` is
    None if all time counts. Every change of the terms or the calendar raises
    `version`.
    """

    id: PolicyId = PolicyId(0)
    project_id: ProjectId
    name: str
    is_active: bool = True
    calendar_id: CalendarId | None = None
    terms: SlaTerms
    created_at: datetime
    updated_at: datetime
    version: int = 1

    def touch(self, now: datetime) -> Self:
        """Return the next version, changed now."""
        return evolve(self, version=self.version + 1, updated_at=now)


class OtherPolicyActive(Conflict):
    """Another policy of the project is active; deactivate it first."""

    code = "other_policy_active"


class CalendarInUse(Conflict):
    """A policy uses the calendar; give it another one first."""

    code = "calendar_in_use"


def make_targets(targets: Mapping[str, PriorityTarget]) -> dict[WorkItemPriority, PriorityTarget]:
    """Return the targets by priority; Invalid if a name is not a priority."""
    for name in targets:
        if name not in set(WorkItemPriority):
            choices = ", ".join(reversed(WorkItemPriority))
            raise Invalid.field(f"targets.{name:.20}", f"must be one of {choices}")
    return {WorkItemPriority(name): target for name, target in targets.items()}


def check_terms(terms: SlaTerms) -> None:
    """Raise Invalid if DONE pauses, or the escalation steps are not in order."""
    if WorkItemStatus.DONE in terms.pausing_statuses:
        raise Invalid.field("pausing_statuses", "must not contain DONE, which ends the clocks")
    delays = [step.after_minutes for step in terms.escalation]
    if delays != sorted(set(delays)):
        raise Invalid.field("escalation", "must be in ascending order of after_minutes")
