"""Changes of a work item's clocks by its state."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from attrs import evolve, frozen

from workbell.domain.projects.sla.clock import (
    DUE_RULES,
    Advanced,
    ClockKind,
    ClockPhase,
    Pins,
    SlaClock,
    SlaEvent,
    change_phase,
    new_segments,
    retarget,
    start_clock,
)
from workbell.domain.projects.sla.item_clocks import (
    POLICY_KINDS,
    Phase,
    due_phase,
    policy_phase,
    stays_ended,
)
from workbell.domain.projects.sla.policy import Reopen
from workbell.domain.projects.work_item import WorkItem
from workbell.services.projects.sla.versions import PinnedVersions

ANSWERED = "answered"
Present = Mapping[ClockKind, SlaClock]
"""The newest cycle of each kind of clock of a work item."""


@frozen
class ClockUpdate:
    """A new or changed clock, and the events that it reports."""

    clock: SlaClock
    events: Sequence[SlaEvent] = ()


def start_clocks(
    item: WorkItem, pins: Pins, versions: PinnedVersions, now: datetime
) -> Iterator[ClockUpdate]:
    """
    Yield the clocks of a new item.

    Under a policy both of its clocks are stored, also without a target: they note
    whether there was a response, and which version they use.
    """
    if item.due_date is not None:
        yield _start_due(item, 1, now)
    if pins.policy_id is not None:
        for kind in POLICY_KINDS:
            yield _start(kind, item, 1, pins, versions, now)


def follow_item(
    item: WorkItem,
    present: Present,
    versions: PinnedVersions,
    now: datetime,
    *,
    is_answered: bool = False,
) -> Iterator[ClockUpdate]:
    """Yield the changes that an item's status, priority and due date make to its clocks."""
    yield from follow_due(item, present.get(ClockKind.DUE), now)
    for kind in POLICY_KINDS:
        clock = present.get(kind)
        if clock is None:
            continue
        if is_answered and kind is ClockKind.FIRST_RESPONSE:
            yield from answer(clock, versions, now)
        else:
            yield from _follow_policy(item, clock, versions, now)


def answer(clock: SlaClock, versions: PinnedVersions, now: datetime) -> Iterator[ClockUpdate]:
    """Yield the first-response clock as answered, unless it was before."""
    if clock.phase is ClockPhase.STOPPED:
        return
    rules = versions.rules(clock.pins)
    yield from _changed(clock, change_phase(clock, rules, ClockPhase.STOPPED, ANSWERED, now))


def set_phase(
    clock: SlaClock, versions: PinnedVersions, want: Phase, now: datetime
) -> Iterator[ClockUpdate]:
    """Yield a clock in another phase, if that changes it."""
    rules = versions.rules(clock.pins)
    yield from _changed(clock, change_phase(clock, rules, want.phase, want.reason, now))


def move_to_policy(
    item: WorkItem, clock: SlaClock, pins: Pins, versions: PinnedVersions, now: datetime
) -> Iterator[ClockUpdate]:
    """Yield a clock that has not ended under other versions of a policy and calendar."""
    if clock.phase is ClockPhase.STOPPED:
        return
    target = versions.terms(pins).target(clock.kind, item.priority)
    rules, new_rules = versions.rules(clock.pins), versions.rules(pins)
    events: tuple[SlaEvent, ...] = ()
    moved = evolve(clock, pins=pins)
    if target is not None:
        moved, events = retarget(clock, rules, new_rules, target, now, pins)
    want = policy_phase(clock.kind, item, versions.terms(pins), target)
    moved, more = change_phase(moved, new_rules, want.phase, want.reason, now)
    yield from _changed(clock, (moved, (*events, *more)))


def follow_due(item: WorkItem, clock: SlaClock | None, now: datetime) -> Iterator[ClockUpdate]:
    """Yield the changes that an item makes to its due-date clock; another date, another cycle."""
    is_same = clock is not None and clock.due_date == item.due_date
    if clock is not None and (item.due_date is None or not is_same):
        cancelled = change_phase(clock, DUE_RULES, ClockPhase.CANCELLED, "no due date", now)
        yield from _changed(clock, cancelled)
    if item.due_date is None:
        return
    if clock is None or not is_same or clock.phase is ClockPhase.CANCELLED:
        yield _start_due(item, 1 if clock is None else clock.cycle + 1, now)
        return
    want = due_phase(item)
    yield from _changed(clock, change_phase(clock, DUE_RULES, want.phase, want.reason, now))


def _follow_policy(
    item: WorkItem, clock: SlaClock, versions: PinnedVersions, now: datetime
) -> Iterator[ClockUpdate]:
    terms, rules = versions.terms(clock.pins), versions.rules(clock.pins)
    if stays_ended(clock, item, terms):
        return
    if clock.phase is ClockPhase.STOPPED and terms.reopen is Reopen.RESTART:
        yield _start(clock.kind, item, clock.cycle + 1, clock.pins, versions, now)
        return
    target = terms.target(clock.kind, item.priority)
    want = policy_phase(clock.kind, item, terms, target)
    events: tuple[SlaEvent, ...] = ()
    changed = clock
    if clock.phase.is_open and target is not None and target != clock.target:
        changed, events = retarget(clock, rules, rules, target, now)
    changed, more = change_phase(changed, rules, want.phase, want.reason, now)
    events = (*events, *more)
    if changed.phase.is_open and target is not None and target != changed.target:
        changed, more = retarget(changed, rules, rules, target, now)
        events = (*events, *more)
    yield from _changed(clock, (changed, events))


def _start_due(item: WorkItem, cycle: int, now: datetime) -> ClockUpdate:
    want = due_phase(item)
    clock = SlaClock(
        work_item_id=item.id,
        project_id=item.project_id,
        kind=ClockKind.DUE,
        cycle=cycle,
        phase=want.phase,
        due_date=item.due_date,
        started_at=now,
        stopped_at=None if want.phase.is_open else now,
        segments=new_segments(want.phase, want.reason, now),
    )
    return ClockUpdate(*start_clock(clock, DUE_RULES, now))


def _start(
    kind: ClockKind,
    item: WorkItem,
    cycle: int,
    pins: Pins,
    versions: PinnedVersions,
    now: datetime,
) -> ClockUpdate:
    terms = versions.terms(pins)
    target = terms.target(kind, item.priority)
    want = policy_phase(kind, item, terms, target)
    clock = SlaClock(
        work_item_id=item.id,
        project_id=item.project_id,
        kind=kind,
        cycle=cycle,
        phase=want.phase,
        pins=pins,
        target=target,
        started_at=now,
        stopped_at=None if want.phase.is_open else now,
        segments=new_segments(want.phase, want.reason, now),
    )
    return ClockUpdate(*start_clock(clock, versions.rules(pins), now))


def _changed(before: SlaClock, advanced: Advanced) -> Iterator[ClockUpdate]:
    """Yield a change, unless it changes nothing."""
    if advanced[0] != before:
        yield ClockUpdate(*advanced)
