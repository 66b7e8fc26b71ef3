"""Conversion between rows and the objects of service levels."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from attrs import asdict

from workbell.domain.projects.sla.calendar import BusinessCalendar, BusinessHours
from workbell.domain.projects.sla.clock import (
    ClockKind,
    ClockPhase,
    Pins,
    Segment,
    SlaClock,
    SlaEvent,
    SlaEventKind,
)
from workbell.domain.projects.sla.policy import SlaPolicy, SlaTerms
from workbell.ports.projects.sla import StoredEvent

_KINDS = tuple(ClockKind)
_EVENT_KINDS = tuple(SlaEventKind)
_PHASES = {int(phase): phase for phase in ClockPhase}
_PINS = ("policy_id", "policy_version", "calendar_id", "calendar_version")
_HOURS = ("time_zone", "weekly", "exceptions")


def hours_from_row(values: Mapping[str, Any]) -> BusinessHours:
    """Convert the columns of business hours."""
    return BusinessHours(
        time_zone=values["time_zone"],
        weekly=tuple(_intervals(day) for day in values["weekly"]),
        exceptions={
            date.fromisoformat(day): _intervals(intervals)
            for day, intervals in values["exceptions"].items()
        },
    )


def hours_values(hours: BusinessHours) -> dict[str, Any]:
    """Return the columns of business hours."""
    return {
        "time_zone": hours.time_zone,
        "weekly": hours.weekly,
        "exceptions": {
            day.isoformat(): intervals for day, intervals in sorted(hours.exceptions.items())
        },
    }


def calendar_from_row(values: dict[str, Any]) -> BusinessCalendar:
    """Convert a row's columns to a calendar; the dictionary is modified."""
    hours = hours_from_row(values)
    for name in _HOURS:
        del values[name]
    return BusinessCalendar(hours=hours, **values)


def calendar_values(calendar: BusinessCalendar) -> dict[str, Any]:
    """Return the columns of a calendar, except its id."""
    values = asdict(calendar, recurse=False)
    del values["id"], values["hours"]
    return values | hours_values(calendar.hours)


def policy_from_row(values: dict[str, Any]) -> SlaPolicy:
    """Convert a row's columns to a policy; the dictionary is modified."""
    return SlaPolicy(terms=SlaTerms.from_json(values.pop("terms")), **values)


def policy_values(policy: SlaPolicy) -> dict[str, Any]:
    """Return the columns of a policy, except its id."""
    values = asdict(policy, recurse=False) | {"terms": policy.terms.to_json()}
    del values["id"]
    return values


def clock_from_row(values: dict[str, Any]) -> SlaClock:
    """Convert a row's columns to a clock; the dictionary is modified."""
    target = values.pop("target_seconds")
    values["kind"] = _KINDS[values["kind"]]
    values["phase"] = _PHASES[values["phase"]]
    values["segments"] = tuple(
        Segment(_instant(start), end and _instant(end), counts, reason)
        for start, end, counts, reason in values["segments"]
    )
    return SlaClock(
        pins=Pins(**{name: values.pop(name) for name in _PINS}),
        target=None if target is None else timedelta(seconds=target),
        **values,
    )


def clock_values(clock: SlaClock) -> dict[str, Any]:
    """Return the columns of a clock, except its id."""
    values = asdict(clock, recurse=False)
    del values["id"], values["pins"]
    target = values.pop("target")
    return values | {
        **asdict(clock.pins),
        "kind": _KINDS.index(clock.kind),
        "phase": int(clock.phase),
        "target_seconds": None if target is None else target // timedelta(seconds=1),
        "segments": [
            (one.start.isoformat(), one.end and one.end.isoformat(), one.counts, one.reason)
            for one in clock.segments
        ],
    }


def event_from_row(values: Mapping[str, Any]) -> StoredEvent:
    """Convert a row's columns to an event."""
    kind = _EVENT_KINDS[values["kind"]]
    return StoredEvent(
        clock_id=values["clock_id"],
        cycle=values["cycle"],
        event=SlaEvent(kind, values["step"], values["at"]),
        detected_at=values["detected_at"],
    )


def event_values(stored: StoredEvent) -> dict[str, Any]:
    """Return the columns of an event."""
    return {
        "clock_id": stored.clock_id,
        "cycle": stored.cycle,
        "kind": _EVENT_KINDS.index(stored.event.kind),
        "step": stored.event.step,
        "at": stored.event.at,
        "detected_at": stored.detected_at,
    }


def _intervals(pairs: Any) -> tuple[tuple[int, int], ...]:
    return tuple((first, last) for first, last in pairs)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
