"""SLA clocks: how much of a target is consumed, and what happens when."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Final, NewType

from attrs import evolve, frozen

from workbell.domain.projects.project import ProjectId
from workbell.domain.projects.sla.calendar import BusinessHours, business_add, business_between
from workbell.domain.projects.work_item import WorkItemId

ClockId = NewType("ClockId", int)

DUE_WARN_PERCENT: Final = 80
"""When a due-date clock warns, in percent of the span since the date was set."""
COUNTING: Final = "counting"
DONE: Final = "done"
NO_TARGET: Final = "no target"


class ClockKind(StrEnum):
    """Kind of time that a clock measures."""

    DUE = "due"
    FIRST_RESPONSE = "first_response"
    RESOLUTION = "resolution"


class ClockPhase(IntEnum):
    """Whether a clock counts; the numbers are stored."""

    RUNNING = 0
    PAUSED = 1
    STOPPED = 2
    CANCELLED = 3

    @property
    def is_open(self) -> bool:
        """Whether the clock may still be breached."""
        return self <= ClockPhase.PAUSED


class ClockState(StrEnum):
    """The state as the API presents it."""

    RUNNING = "running"
    PAUSED = "paused"
    MET = "met"
    BREACHED = "breached"
    CANCELLED = "cancelled"


class SlaEventKind(StrEnum):
    """Kind of event that a clock reports, each once per cycle and step."""

    WARNING = "warning"
    BREACH = "breach"
    ESCALATION = "escalation"


@frozen
class SlaEvent:
    """
    A warning, a breach or an escalation step of a clock.

    `at` is when it was due, not when it was detected. `step` is 0 except for
    escalations, which count from 0 in the order of the policy.
    """

    kind: SlaEventKind
    step: int
    at: datetime


@frozen
class Segment:
    """A period of a clock; `end` is None for the current one."""

    start: datetime
    end: datetime | None
    counts: bool
    reason: str


@frozen(kw_only=True)
class ClockRules:
    """
    Rules by which a clock counts and reports: its pinned calendar and policy.

    `hours` is None if all time counts. Escalation steps are delays after the
    target, in the same hours.
    """

    hours: BusinessHours | None = None
    warn_percent: int = DUE_WARN_PERCENT
    escalation: Sequence[timedelta] = ()


DUE_RULES: Final = ClockRules()
"""The rules of due-date clocks, which belong to no policy."""


@frozen(kw_only=True)
class Pins:
    """The versions of the policy and the calendar that a clock uses."""

    policy_id: int | None = None
    policy_version: int | None = None
    calendar_id: int | None = None
    calendar_version: int | None = None


@frozen(kw_only=True)
class SlaClock:
    """
    One cycle of a clock of a work item.

    A due-date clock has a `due_date` and no `target`: pauses do not move its
    deadline. The others have a `target`, or none while the priority of the item
    has none (then they are cancelled). `escalated` is how many escalation steps
    have been reported. `deadline` and `next_event_at` are computed by every
    transition; both are None while the clock does not run.
    """

    id: ClockId = ClockId(0)
    work_item_id: WorkItemId
    project_id: ProjectId
    kind: ClockKind
    cycle: int = 1
    phase: ClockPhase
    pins: Pins = Pins()
    target: timedelta | None = None
    due_date: datetime | None = None
    started_at: datetime
    stopped_at: datetime | None = None
    warned_at: datetime | None = None
    breached_at: datetime | None = None
    escalated: int = 0
    segments: tuple[Segment, ...]
    deadline: datetime | None = None
    next_event_at: datetime | None = None

    @property
    def state(self) -> ClockState:
        """The state in the API: a breach outlasts pauses and a late end."""
        if self.phase is ClockPhase.CANCELLED:
            return ClockState.CANCELLED
        if self.breached_at is not None:
            return ClockState.BREACHED
        if self.phase is ClockPhase.STOPPED:
            return ClockState.MET
        return ClockState.RUNNING if self.phase is ClockPhase.RUNNING else ClockState.PAUSED


Advanced = tuple[SlaClock, tuple[SlaEvent, ...]]
"""A clock and the events that its transition reports, in order."""


def start_clock(clock: SlaClock, rules: ClockRules, now: datetime) -> Advanced:
    """Return a new clock; a due date that has passed already is breached at once."""
    return _report(clock, rules, clock.started_at, now, is_change=True)


def new_segments(phase: ClockPhase, reason: str, now: datetime) -> tuple[Segment, ...]:
    """Return the first segment of a clock that starts in a phase."""
    if not phase.is_open:
        return ()
    return (Segment(now, None, phase is ClockPhase.RUNNING, reason),)


def advance(clock: SlaClock, rules: ClockRules, now: datetime) -> Advanced:
    """Report what has become due until now, including now."""
    return _report(clock, rules, now + timedelta(microseconds=1), now)


def change_phase(
    clock: SlaClock, rules: ClockRules, phase: ClockPhase, reason: str, now: datetime
) -> Advanced:
    """
    Run, pause, stop or cancel a clock, or reopen it with what it has consumed.

    What was due before is reported first, so a clock that is stopped at its
    deadline is met, and one that is stopped later is breached at its deadline.
    A running clock that reopens after its due date is breached at that date.
    """
    clock, events = _report(clock, rules, now, now)
    if clock.phase is phase and (not phase.is_open or clock.segments[-1].reason == reason):
        return clock, events
    segments = clock.segments
    if clock.phase.is_open:
        segments = _close(segments, now)
    elif phase.is_open and clock.stopped_at is not None:
        gap = DONE if clock.phase is ClockPhase.STOPPED else NO_TARGET
        segments = (*segments, Segment(clock.stopped_at, now, False, gap))
    if phase.is_open:
        segments = _open(segments, phase is ClockPhase.RUNNING, reason, now)
    changed = evolve(
        clock,
        phase=phase,
        segments=segments,
        stopped_at=None if phase.is_open else clock.stopped_at or now,
    )
    changed, more = _report(changed, rules, now, now, is_change=True)
    return changed, (*events, *more)


def retarget(
    clock: SlaClock,
    rules: ClockRules,
    new_rules: ClockRules,
    target: timedelta,
    now: datetime,
    pins: Pins | None = None,
) -> Advanced:
    """
    Give an open clock another target, and with `pins` other rules.

    What is consumed stays consumed. If that exceeds the new target, the clock is
    breached at the instant at which it reached it. A warning that the change
    jumps over is reported at the change.
    """
    clock, events = _report(clock, rules, now, now)
    changed = evolve(clock, target=target, pins=pins or clock.pins)
    changed, more = _report(changed, new_rules, now, now, is_change=True)
    return changed, (*events, *more)


def consumed_time(clock: SlaClock, rules: ClockRules, now: datetime) -> timedelta:
    """Return how much of the target is consumed."""
    return sum((time for _, time in counted_segments(clock, rules, now)), timedelta())


def counted_segments(
    clock: SlaClock, rules: ClockRules, now: datetime
) -> Iterator[tuple[Segment, timedelta]]:
    """Yield the segments and how much of each counts, until now."""
    for segment in clock.segments:
        if segment.counts:
            yield segment, business_between(rules.hours, segment.start, segment.end or now)
        else:
            yield segment, timedelta()


def instant_of(clock: SlaClock, rules: ClockRules, amount: timedelta) -> datetime | None:
    """Return when a clock has consumed an amount, or will; None while it does not run."""
    for segment in clock.segments:
        if not segment.counts:
            continue
        if segment.end is None:
            return business_add(rules.hours, segment.start, amount)
        counted = business_between(rules.hours, segment.start, segment.end)
        if amount <= counted:
            return business_add(rules.hours, segment.start, amount)
        amount -= counted
    return None


def warning_instant(clock: SlaClock, rules: ClockRules) -> datetime | None:
    """Return when a clock warns, or None while it does not run."""
    if clock.due_date is not None:
        if clock.phase is ClockPhase.PAUSED:
            return None
        span = max(clock.due_date - clock.started_at, timedelta())
        return clock.due_date - span * (100 - DUE_WARN_PERCENT) / 100
    if clock.target is None:
        return None
    return instant_of(clock, rules, clock.target * rules.warn_percent / 100)


def deadline_instant(clock: SlaClock, rules: ClockRules) -> datetime | None:
    """Return when a clock is breached unless it stops, or None while it does not run."""
    if clock.due_date is not None:
        return None if clock.phase is ClockPhase.PAUSED else clock.due_date
    return None if clock.target is None else instant_of(clock, rules, clock.target)


def _report(
    clock: SlaClock, rules: ClockRules, before: datetime, now: datetime, *, is_change: bool = False
) -> Advanced:
    """Record the events that are due before an instant, and compute the next one."""
    if not clock.phase.is_open:
        return evolve(clock, deadline=None, next_event_at=None), ()
    events: list[SlaEvent] = []
    coming: datetime | None = None
    for kind, step, at in _pending_events(clock, rules):
        if at is None or at >= before:
            coming = at
            break
        events.append(SlaEvent(kind, step, at))
    if is_change:
        events = _jumped(events, now)
    for event in events:
        clock = _record(clock, event)
    is_running = clock.phase is ClockPhase.RUNNING
    deadline = deadline_instant(clock, rules) if is_running else None
    next_event = coming if is_running else None
    return evolve(clock, deadline=deadline, next_event_at=next_event), tuple(events)


def _pending_events(
    clock: SlaClock, rules: ClockRules
) -> Iterator[tuple[SlaEventKind, int, datetime | None]]:
    """Yield the events that have not been reported, in order, and their instants."""
    if clock.warned_at is None and clock.breached_at is None:
        yield SlaEventKind.WARNING, 0, warning_instant(clock, rules)
    if clock.breached_at is None:
        yield SlaEventKind.BREACH, 0, deadline_instant(clock, rules)
    if clock.target is None:
        return
    for step in range(clock.escalated, len(rules.escalation)):
        at = instant_of(clock, rules, clock.target + rules.escalation[step])
        yield SlaEventKind.ESCALATION, step, at


def _jumped(events: list[SlaEvent], now: datetime) -> list[SlaEvent]:
    """Return the events of a change: a warning at the change, none beside a breach."""
    if any(event.kind is SlaEventKind.BREACH for event in events):
        return [event for event in events if event.kind is not SlaEventKind.WARNING]
    return [
        evolve(event, at=now) if event.kind is SlaEventKind.WARNING else event for event in events
    ]


def _record(clock: SlaClock, event: SlaEvent) -> SlaClock:
    if event.kind is SlaEventKind.WARNING:
        return evolve(clock, warned_at=event.at)
    if event.kind is SlaEventKind.BREACH:
        return evolve(clock, breached_at=event.at)
    return evolve(clock, escalated=event.step + 1)


def _close(segments: tuple[Segment, ...], now: datetime) -> tuple[Segment, ...]:
    """Return the segments with the current one ended; an empty one is left out."""
    *earlier, current = segments
    if current.start == now:
        return tuple(earlier)
    return (*earlier, evolve(current, end=now))


def _open(
    segments: tuple[Segment, ...], counts: bool, reason: str, now: datetime
) -> tuple[Segment, ...]:
    """Return the segments with a current one; it continues an equal last one."""
    if segments:
        *earlier, last = segments
        if (last.end, last.counts, last.reason) == (now, counts, reason):
            return (*earlier, evolve(last, end=None))
    return (*segments, Segment(now, None, counts, reason))
