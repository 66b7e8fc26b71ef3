"""Explanation of a clock: what counted, and why it is due when it is due."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import frozen

from workbell.domain.projects.sla.clock import (
    ClockKind,
    ClockPhase,
    ClockRules,
    ClockState,
    Segment,
    SlaClock,
    consumed_time,
    counted_segments,
    deadline_instant,
    warning_instant,
)

_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)


@frozen
class ExplainedSegment:
    """A segment and how many of its seconds count."""

    segment: Segment
    counted_seconds: int


@frozen(kw_only=True)
class ClockExplanation:
    """
    A clock as it is at an instant.

    `deadline` and `warn_at` are None while it is paused; once a warning has been
    given, `warn_at` is when that was due. `hours` is true if a calendar counts.
    """

    clock: SlaClock
    state: ClockState
    target_minutes: int
    deadline: datetime | None
    consumed_seconds: int
    warn_at: datetime | None
    segments: Sequence[ExplainedSegment]
    text: str


def explain(clock: SlaClock, rules: ClockRules, now: datetime) -> ClockExplanation:
    """Explain a clock at an instant."""
    until = clock.stopped_at or now
    consumed = consumed_time(clock, rules, until)
    is_paused = clock.phase is ClockPhase.PAUSED
    deadline = None if is_paused else deadline_instant(clock, rules) or clock.breached_at
    target = _target(clock)
    return ClockExplanation(
        clock=clock,
        state=clock.state,
        target_minutes=target // _MINUTE,
        deadline=deadline,
        consumed_seconds=consumed // _SECOND,
        warn_at=clock.warned_at or warning_instant(clock, rules),
        segments=[
            ExplainedSegment(segment, counted // _SECOND)
            for segment, counted in counted_segments(clock, rules, until)
        ],
        text=" ".join(_sentences(clock, rules, consumed, deadline)),
    )


def _target(clock: SlaClock) -> timedelta:
    if clock.due_date is not None:
        return max(clock.due_date - clock.started_at, timedelta())
    return clock.target or timedelta()


def _sentences(
    clock: SlaClock, rules: ClockRules, consumed: timedelta, deadline: datetime | None
) -> list[str]:
    if clock.kind is ClockKind.DUE:
        assert clock.due_date is not None
        return [f"Due at {_format(clock.due_date)}; pauses do not move a due date.", _end(clock)]
    hours = f"in the hours of {rules.hours.time_zone}" if rules.hours else "around the clock"
    target = _target(clock)
    sentences = [
        f"The target is {_minutes(target)} min {hours};",
        f"{_minutes(consumed)} min are consumed.",
        _end(clock),
    ]
    if clock.phase is ClockPhase.RUNNING and clock.breached_at is None and deadline is not None:
        left = max(target - consumed, timedelta())
        sentences[-1] = f"The remaining {_minutes(left)} min end at {_format(deadline)}."
    return sentences


def _end(clock: SlaClock) -> str:
    if clock.phase is ClockPhase.CANCELLED:
        return "The clock is cancelled."
    if clock.breached_at is not None:
        return f"It was breached at {_format(clock.breached_at)}."
    if clock.stopped_at is not None:
        return f"It was met at {_format(clock.stopped_at)}."
    if clock.phase is ClockPhase.PAUSED:
        return f"It is paused: {clock.segments[-1].reason}."
    return "It is running."


def _minutes(duration: timedelta) -> str:
    return f"{duration / _MINUTE:g}" if duration % _MINUTE else f"{duration // _MINUTE}"


def _format(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"
