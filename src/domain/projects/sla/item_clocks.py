"""The clocks of one work item: what its state makes of them."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import frozen

from workbell.domain.projects.sla.clock import (
    COUNTING,
    DONE,
    NO_TARGET,
    ClockKind,
    ClockPhase,
    ClockState,
    SlaClock,
)
from workbell.domain.projects.sla.policy import Reopen, SlaTerms
from workbell.domain.projects.work_item import WorkItem, WorkItemStatus

ARCHIVED: Final = "project archived"
POLICY_KINDS: Final = (ClockKind.FIRST_RESPONSE, ClockKind.RESOLUTION)


@frozen
class Phase:
    """The phase that a clock should be in, and why."""

    phase: ClockPhase
    reason: str


def due_phase(item: WorkItem) -> Phase:
    """Return the phase of the due-date clock; statuses that pause do not pause it."""
    if item.due_date is None:
        return Phase(ClockPhase.CANCELLED, "no due date")
    if item.is_done:
        return Phase(ClockPhase.STOPPED, DONE)
    return Phase(ClockPhase.RUNNING, COUNTING)


def policy_phase(
    kind: ClockKind, item: WorkItem, terms: SlaTerms, target: timedelta | None
) -> Phase:
    """Return the phase of a first-response or resolution clock that has not been met."""
    if target is None:
        return Phase(ClockPhase.CANCELLED, NO_TARGET)
    if item.is_done:
        is_over = kind is ClockKind.RESOLUTION
        return Phase(ClockPhase.STOPPED if is_over else ClockPhase.PAUSED, DONE)
    if item.status in terms.pausing_statuses:
        return Phase(ClockPhase.PAUSED, status_reason(item.status))
    return Phase(ClockPhase.RUNNING, COUNTING)


def status_reason(status: WorkItemStatus) -> str:
    """Return the reason of a segment in a pausing status."""
    return f"status {status}"


def stays_ended(clock: SlaClock, item: WorkItem, terms: SlaTerms) -> bool:
    """Whether a clock of a policy has ended and does not go on with the item's state."""
    if clock.phase is not ClockPhase.STOPPED:
        return False
    if clock.kind is ClockKind.FIRST_RESPONSE or item.is_done:
        return True
    return terms.reopen is Reopen.IGNORE


def present_clocks(clocks: Iterable[SlaClock]) -> Sequence[SlaClock]:
    """Return the newest cycle of each kind; clocks come by kind and cycle."""
    return list({clock.kind: clock for clock in clocks}.values())


def earliest_deadline(clocks: Iterable[SlaClock]) -> datetime | None:
    """Return the earliest deadline of the clocks that run, also if it has passed."""
    deadlines = (clock.deadline for clock in clocks if clock.deadline is not None)
    return min(deadlines, default=None)


def is_breached(clocks: Iterable[SlaClock]) -> bool:
    """Whether one of the clocks is breached."""
    return any(clock.state is ClockState.BREACHED for clock in clocks)
