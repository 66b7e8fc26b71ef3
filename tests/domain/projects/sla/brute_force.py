"""A second implementation of SLA clocks, which counts minute by minute."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from typing import Any
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
SEARCH = 20 * 24 * 60
"""How many minutes ahead deadlines are searched."""
Event = tuple[str, int, datetime]
Calendar = Mapping[str, Any] | None


_seen: dict[tuple[int, datetime], bool] = {}


def is_open(calendar: Calendar, minute: datetime) -> bool:
    """Whether the wall clock shows a time inside an interval of its date."""
    if calendar is None:
        return True
    key = id(calendar), minute
    if key not in _seen:
        _seen[key] = _is_open(calendar, minute)
    return _seen[key]


def _is_open(calendar: Mapping[str, Any], minute: datetime) -> bool:
    local = minute.astimezone(ZoneInfo(calendar["time_zone"]))
    weekday = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][local.weekday()]
    weekly = calendar["intervals"] if weekday in calendar["days"].split() else []
    ranges = calendar.get("exceptions", {}).get(date.isoformat(local.date()), weekly)
    return any(start <= f"{local:%H:%M}" < end for start, end in ranges)


class BruteForceClock:
    """A clock that keeps a list of all minutes that it has counted."""

    def __init__(self, vector: Mapping[str, Any], calendars: Mapping[str, Any]) -> None:
        name = vector.get("calendar")
        self.calendars = calendars
        self.calendar: Calendar = calendars[name] if name else None
        self.target: int | None = vector.get("target")
        self.warn: int = vector.get("warn_percent", 80)
        self.escalation: list[int] = vector.get("escalation", [])
        self.due = parse(vector["due"]) if "due" in vector else None
        self.start, first = parse(vector["steps"][0][0]), vector["steps"][0][1]
        self.phase = "paused" if first == "start paused" else "running"
        self.runs: list[tuple[datetime, datetime | None]] = []
        if self.phase == "running":
            self.runs.append((self.start, None))
        self.events: list[Event] = []
        self.fire(self.start, change=True)
        for step in vector["steps"][1:]:
            self.step(parse(step[0]), *step[1:])
        self.fire(parse(vector["at"]) + MINUTE / 2)

    def step(self, now: datetime, command: str, argument: Any = None) -> None:
        if command == "tick":
            self.fire(now + MINUTE / 2)
            return
        self.fire(now)
        if command == "target":
            self.target = argument
        elif command == "calendar":
            self.calendar = self.calendars[argument]
        else:
            phases = {
                "pause": "paused",
                "resume": "running",
                "stop": "stopped",
                "cancel": "cancelled",
            }
            self.phase = phases[command]
            if self.runs and self.runs[-1][1] is None:
                self.runs[-1] = (self.runs[-1][0], now)
            if self.phase == "running":
                self.runs.append((now, None))
        self.fire(now, change=True)

    def minutes(self) -> Iterator[datetime]:
        """Yield the minutes that count, into the future if the clock runs."""
        for begin, end in self.runs:
            minute = begin
            last = end or begin + SEARCH * MINUTE
            while minute < last:
                if is_open(self.calendar, minute):
                    yield minute
                minute += MINUTE

    def consumed(self, now: datetime) -> int:
        return sum(1 for _ in takewhile(lambda minute: minute < now, self.minutes()))

    def reached(self, amount: float) -> datetime | None:
        """Return when an amount of minutes has been counted."""
        assert amount == int(amount), "vectors use whole minutes"
        for count, minute in enumerate(self.minutes(), 1):
            if count == amount:
                return minute + MINUTE
        return None

    def instants(self) -> list[tuple[str, int, datetime | None]]:
        """Return when each event happens, whether reported or not."""
        if self.due is not None:
            due = None if self.phase == "paused" else self.due
            span = max(self.due - self.start, timedelta())
            return [("warning", 0, due and due - span / 5), ("breach", 0, due)]
        assert self.target is not None
        return [
            ("warning", 0, self.reached(self.target * self.warn / 100)),
            ("breach", 0, self.reached(self.target)),
            *(
                ("escalation", step, self.reached(self.target + after))
                for step, after in enumerate(self.escalation)
            ),
        ]

    def fire(self, before: datetime, *, change: bool = False) -> None:
        """Report what happened before an instant; at a change, what it jumped over."""
        if self.phase in {"stopped", "cancelled"}:
            return
        known = {event[:2] for event in self.events}
        new = [
            (kind, step, at)
            for kind, step, at in self.instants()
            if at is not None and at < before and (kind, step) not in known
        ]
        is_breached = any(kind == "breach" for kind, _, _ in self.events + (new if change else []))
        if is_breached:
            new = [event for event in new if event[0] != "warning"]
        elif change:
            new = [(kind, step, before if kind == "warning" else at) for kind, step, at in new]
        self.events += new

    def state(self) -> str:
        if self.phase == "cancelled":
            return "cancelled"
        if any(kind == "breach" for kind, _, _ in self.events):
            return "breached"
        return "met" if self.phase == "stopped" else self.phase

    def deadline(self) -> datetime | None:
        if self.phase != "running":
            return None
        return next(at for kind, _, at in self.instants() if kind == "breach")


def parse(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
