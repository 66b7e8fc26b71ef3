"""The golden file of SLA clocks, checked by two implementations."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tests.domain.projects.sla.brute_force import BruteForceClock, parse
from workbell.domain.projects.project import ProjectId
from workbell.domain.projects.sla.calendar import WEEKDAYS, BusinessHours, parse_hours
from workbell.domain.projects.sla.clock import (
    ClockKind,
    ClockPhase,
    ClockRules,
    SlaClock,
    SlaEvent,
    advance,
    change_phase,
    consumed_time,
    new_segments,
    retarget,
    start_clock,
    warning_instant,
)
from workbell.domain.projects.work_item import WorkItemId

pytestmark = pytest.mark.unit

GOLDEN = json.loads((Path(__file__).parent / "clock_vectors.json").read_text("utf-8"))
CALENDARS: Mapping[str, Any] = GOLDEN["calendars"]
VECTORS: list[dict[str, Any]] = GOLDEN["vectors"]
MINUTE = timedelta(minutes=1)
PHASES = {
    "pause": ClockPhase.PAUSED,
    "resume": ClockPhase.RUNNING,
    "stop": ClockPhase.STOPPED,
    "cancel": ClockPhase.CANCELLED,
}

each_vector = pytest.mark.parametrize("vector", VECTORS, ids=[v["name"] for v in VECTORS])


def load_hours(name: str | None) -> BusinessHours | None:
    if name is None:
        return None
    calendar = CALENDARS[name]
    days = calendar["days"].split()
    intervals = {day: calendar["intervals"] for day in WEEKDAYS if day in days}
    exceptions = calendar.get("exceptions", {})
    return parse_hours(calendar["time_zone"], intervals, exceptions, parse("2026-01-01T00:00Z"))


class Run:
    """A clock that has gone through the steps of a vector."""

    def __init__(self, vector: Mapping[str, Any]) -> None:
        self.rules = ClockRules(
            hours=load_hours(vector.get("calendar")),
            warn_percent=vector.get("warn_percent", 80),
            escalation=[minutes * MINUTE for minutes in vector.get("escalation", ())],
        )
        self.events: list[SlaEvent] = []
        (first, command), *steps = vector["steps"]
        started = parse(first)
        phase = ClockPhase.PAUSED if command == "start paused" else ClockPhase.RUNNING
        self.clock = SlaClock(
            work_item_id=WorkItemId(1),
            project_id=ProjectId(1),
            kind=ClockKind.DUE if "due" in vector else ClockKind.RESOLUTION,
            phase=phase,
            target=vector["target"] * MINUTE if "target" in vector else None,
            due_date=parse(vector["due"]) if "due" in vector else None,
            started_at=started,
            segments=new_segments(phase, "counting" if command == "start" else "waiting", started),
        )
        self.take(start_clock(self.clock, self.rules, started))
        for at, command, *arguments in steps:
            self.step(parse(at), command, *arguments)
        self.step(parse(vector["at"]), "tick")

    def step(self, now: datetime, command: str, argument: Any = None) -> None:
        if command == "tick":
            self.take(advance(self.clock, self.rules, now))
        elif command == "target":
            target = argument * MINUTE
            self.take(retarget(self.clock, self.rules, self.rules, target, now))
        elif command == "calendar":
            before, self.rules = self.rules, evolve(self.rules, hours=load_hours(argument))
            assert self.clock.target is not None
            self.take(retarget(self.clock, before, self.rules, self.clock.target, now))
        else:
            phase = PHASES[command]
            reason = "waiting" if command == "pause" else "counting"
            self.take(change_phase(self.clock, self.rules, phase, reason, now))

    def take(self, advanced: tuple[SlaClock, tuple[SlaEvent, ...]]) -> None:
        self.clock, events = advanced
        self.events += events


def test_the_golden_file_has_at_least_sixty_vectors() -> None:
    assert len({vector["name"] for vector in VECTORS}) == len(VECTORS) >= 60


@each_vector
def test_a_clock_behaves_as_the_golden_file_says(vector: dict[str, Any]) -> None:
    run = Run(vector)
    clock, now = run.clock, parse(vector["at"])
    assert clock.state == vector["state"]
    assert clock.deadline == (vector["deadline"] and parse(vector["deadline"]))
    assert [(e.kind, e.step, e.at) for e in run.events] == [
        (kind, step, parse(at)) for kind, step, at in vector["events"]
    ]
    assert clock.breached_at == (parse(vector["breached_at"]) if "breached_at" in vector else None)
    if "consumed" in vector:
        assert consumed_time(clock, run.rules, now) == vector["consumed"] * MINUTE
    if "warn_at" in vector:
        assert warning_instant(clock, run.rules) == (vector["warn_at"] and parse(vector["warn_at"]))
    if "segments" in vector:
        assert len(clock.segments) == vector["segments"]


@each_vector
def test_counting_minute_by_minute_gives_the_same(vector: dict[str, Any]) -> None:
    clock = BruteForceClock(vector, CALENDARS)
    assert clock.state() == vector["state"]
    assert clock.deadline() == (vector["deadline"] and parse(vector["deadline"]))
    assert clock.events == [(kind, step, parse(at)) for kind, step, at in vector["events"]]
    if "consumed" in vector:
        assert clock.consumed(parse(vector["at"])) == vector["consumed"]


@each_vector
def test_the_next_event_of_a_clock_is_never_in_the_past(vector: dict[str, Any]) -> None:
    run = Run(vector)
    is_running = run.clock.phase is ClockPhase.RUNNING
    if run.clock.next_event_at is not None:
        assert is_running and run.clock.next_event_at > parse(vector["at"])
    again, events = advance(run.clock, run.rules, parse(vector["at"]))
    assert again == run.clock and events == ()
