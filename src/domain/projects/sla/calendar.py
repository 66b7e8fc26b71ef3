"""Business hours: which instants count, and arithmetic on them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Annotated, Final, NewType

from attrs import Factory, frozen

from workbell.domain.constraints import FIRST_DAY, LAST_DAY, Constraints
from workbell.domain.cron.time_zones import (
    DAY,
    EPOCH,
    from_minutes,
    load_zone,
    offset_periods,
    to_minutes,
)
from workbell.domain.errors import Invalid
from workbell.domain.projects.project import ProjectId

CalendarId = NewType("CalendarId", int)
CalendarName = Annotated[str, Constraints(min_length=1, max_length=100, example="Office")]

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MAX_EXCEPTIONS: Final = 1_000
OPEN_WITHIN: Final = timedelta(days=400)
"""A calendar must be open at some time within this period from when it is saved."""
HORIZON: Final = timedelta(days=3_660)
"""How far ahead `business_add` searches."""

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_FIRST_DAY = EPOCH.date()
_FIRST_WEEKDAY = _FIRST_DAY.weekday()

TimeText = Annotated[
    str,
    Constraints(
        pattern=r"([01]\d|2[0-3]):[0-5]\d|24:00",
        hint="must be a time from 00:00 to 24:00",
        example="09:00",
    ),
]
TimeRange = Annotated[Sequence[TimeText], Constraints(min_length=2, max_length=2)]
"""From and to; the end, which may be 24:00, is excluded."""
DayRanges = Annotated[Sequence[TimeRange], Constraints(max_length=24)]
ZoneName = Annotated[str, Constraints(max_length=64, example="Europe/Berlin")]
Interval = tuple[int, int]
"""Minutes of a local day, 0 to 1440, the end excluded."""
DayIntervals = tuple[Interval, ...]


@frozen(kw_only=True)
class BusinessHours:
    """
    The hours that count, by weekday from Monday; exceptions replace a date.

    An instant counts if the local wall clock shows a time inside one of the
    intervals of the local date. When clocks are set back, an hour that is shown
    twice counts twice; an hour that is skipped does not count.
    """

    time_zone: str
    weekly: tuple[DayIntervals, ...]
    exceptions: Mapping[date, DayIntervals] = Factory(dict[date, DayIntervals])

    def is_open(self, instant: datetime) -> bool:
        """Whether an instant counts."""
        minute = to_minutes(instant)
        return any(True for _ in self.spans(minute, minute + 1))

    def spans(self, begin: int, end: int) -> Iterator[Interval]:
        """Yield the open spans in [begin, end), in minutes from the epoch, in order."""
        for period in offset_periods(self.time_zone, begin, end):
            low, high = max(period.start, begin), min(period.end, end)
            shift = period.offset
            for day in range((low + shift) // DAY, (high - 1 + shift) // DAY + 1):
                midnight = day * DAY - shift
                for first, last in self._intervals(day):
                    start, stop = max(midnight + first, low), min(midnight + last, high)
                    if start < stop:
                        yield start, stop

    def _intervals(self, day: int) -> DayIntervals:
        """Return the intervals of a local date, given as days from the epoch."""
        weekly = self.weekly[(day + _FIRST_WEEKDAY) % 7]
        if not self.exceptions:
            return weekly
        return self.exceptions.get(_FIRST_DAY + timedelta(days=day), weekly)


@frozen(kw_only=True)
class BusinessCalendar:
    """Named business hours of a project; every change raises `version`."""

    id: CalendarId = CalendarId(0)
    project_id: ProjectId
    name: str
    hours: BusinessHours
    created_at: datetime
    updated_at: datetime
    version: int = 1


def business_between(hours: BusinessHours | None, start: datetime, end: datetime) -> timedelta:
    """Return the time that counts in [start, end); with None all of it counts."""
    if end <= start:
        return timedelta()
    if hours is None:
        return end - start
    total = timedelta()
    for first, last in hours.spans(to_minutes(start), to_minutes(end) + 1):
        counted = min(from_minutes(last), end) - max(from_minutes(first), start)
        total += max(counted, timedelta())  # the last minute may begin at `end`
    return total


def business_add(
    hours: BusinessHours | None, start: datetime, duration: timedelta
) -> datetime | None:
    """
    Return the earliest instant at which a duration has been counted since a start.

    None if that takes longer than ten years (`HORIZON`).
    """
    if hours is None or duration <= timedelta():
        return (start + duration).astimezone(UTC)
    left = duration
    for first, last in hours.spans(to_minutes(start), to_minutes(start + HORIZON)):
        begin = max(from_minutes(first), start)
        length = from_minutes(last) - begin
        if left <= length:
            return begin + left
        left -= length
    return None


def parse_hours(
    time_zone: str,
    intervals: Mapping[str, Sequence[Sequence[str]]],
    exceptions: Mapping[str, Sequence[Sequence[str]]],
    now: datetime,
) -> BusinessHours:
    """
    Parse business hours: intervals by `mon` to `sun`, exceptions by `YYYY-MM-DD`.

    The times have been checked against `TimeText`.

    Raises:
        Invalid: A zone, day or date is wrong, intervals overlap, or nothing is
            open within 400 days from now.
    """
    load_zone(time_zone)
    unknown = sorted(set(intervals) - set(WEEKDAYS))
    if unknown:
        raise Invalid.field(f"intervals.{unknown[0]:.20}", f"must be one of {', '.join(WEEKDAYS)}")
    if len(exceptions) > MAX_EXCEPTIONS:
        raise Invalid.field("exceptions", f"must have at most {MAX_EXCEPTIONS:,} entries")
    hours = BusinessHours(
        time_zone=time_zone,
        weekly=tuple(_parse_day(f"intervals.{day}", intervals.get(day, ())) for day in WEEKDAYS),
        exceptions={
            _parse_date(day): _parse_day(f"exceptions.{day}", ranges)
            for day, ranges in exceptions.items()
        },
    )
    if not any(True for _ in hours.spans(to_minutes(now), to_minutes(now + OPEN_WITHIN))):
        raise Invalid.field("intervals", "must be open at some time within the next 400 days")
    return hours


def format_intervals(intervals: DayIntervals) -> list[list[str]]:
    """Format the intervals of a day as `[["09:00", "17:00"]]`."""
    return [[_format_time(first), _format_time(last)] for first, last in intervals]


def format_weekly(hours: BusinessHours) -> dict[str, list[list[str]]]:
    """Format the intervals by weekday; closed days have an empty list."""
    return {name: format_intervals(day) for name, day in zip(WEEKDAYS, hours.weekly, strict=True)}


def format_exceptions(hours: BusinessHours) -> dict[str, list[list[str]]]:
    """Format the exceptions by date, in order."""
    return {
        day.isoformat(): format_intervals(intervals)
        for day, intervals in sorted(hours.exceptions.items())
    }


def _parse_date(text: str) -> date:
    try:
        if _DATE.fullmatch(text) and FIRST_DAY <= (day := date.fromisoformat(text)) <= LAST_DAY:
            return day
    except ValueError:
        pass
    raise Invalid.field(f"exceptions.{text:.20}", "must be a date such as 2026-12-24")


def _parse_day(path: str, ranges: Sequence[Sequence[str]]) -> DayIntervals:
    found = sorted((_parse_time(first), _parse_time(last)) for first, last in ranges)
    for first, last in found:
        if first >= last:
            raise Invalid.field(
                path, "each interval must end after it starts; split one over midnight at 24:00"
            )
    for (_, end), (start, _) in pairwise(found):
        if start < end:
            raise Invalid.field(path, f"intervals overlap at {_format_time(start)}")
    return tuple(found)


def _parse_time(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


def _format_time(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
