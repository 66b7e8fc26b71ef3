"""Local days: dates in a time zone, and durations split by date."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from workbell.domain.cron.time_zones import (
    DAY,
    EPOCH,
    MINUTE,
    load_zone,
    offset_periods,
    to_minutes,
)

_SECOND = timedelta(seconds=1)
_FIRST_DAY = EPOCH.date()


def local_day(instant: datetime, zone: str) -> date:
    """Return the date of an aware instant in a time zone."""
    return instant.astimezone(load_zone(zone)).date()


def split_by_local_day(start: datetime, end: datetime, zone: str) -> tuple[tuple[date, int], ...]:
    """
    Split a period at local midnights; return the elapsed seconds by date.

    Dates are ascending and unique, without empty ones. The seconds add up to the
    length of the period, rounded down; days of 23 or 25 hours count their actual
    length.
    """
    load_zone(zone)
    seconds_by_day: dict[date, int] = {}
    before = 0
    for day, until in _split_at_midnight(start.astimezone(UTC), end.astimezone(UTC), zone):
        passed = (until - start) // _SECOND
        seconds_by_day[day] = seconds_by_day.get(day, 0) + passed - before
        before = passed
    return tuple((day, seconds) for day, seconds in sorted(seconds_by_day.items()) if seconds)


def _split_at_midnight(
    start: datetime, end: datetime, zone: str
) -> Iterator[tuple[date, datetime]]:
    """Yield local dates and the instants at which they end, in order."""
    for period in offset_periods(zone, to_minutes(start), to_minutes(end) + 1):
        minute = max(period.start, to_minutes(start))
        while minute < period.end and (at := EPOCH + minute * MINUTE) < end:
            number = (minute + period.offset) // DAY
            minute = min((number + 1) * DAY - period.offset, period.end)
            if (until := min(EPOCH + minute * MINUTE, end)) > max(at, start):
                yield _FIRST_DAY + timedelta(days=number), until
