"""Time zones as periods of constant UTC offset; version of the database."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from zoneinfo import ZoneInfo

from attrs import frozen

from workbell.domain.errors import Invalid

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = 24 * 60


@frozen
class OffsetPeriod:
    """
    A period in which a zone's UTC offset is constant, in minutes.

    `start` and `end` count from the epoch, `offset` is east of UTC. `wall_seen` is
    the wall-clock minute up to which the clock had already advanced when the
    period began: later than the wall clock at `start` if the clock was set back,
    earlier if it was set forward.
    """

    start: int
    end: int
    offset: int
    wall_seen: int

    @property
    def wall_start(self) -> int:
        """The wall-clock minute at its start."""
        return self.start + self.offset


def to_minutes(instant: datetime) -> int:
    """Return the minutes from the epoch to an aware instant, rounded down."""
    return (instant - EPOCH) // MINUTE


def from_minutes(minute: int) -> datetime:
    """Return the UTC instant a number of minutes after the epoch."""
    return EPOCH + minute * MINUTE


@lru_cache(maxsize=1024)
def load_zone(name: str) -> ZoneInfo:
    """
    Return a zone of the IANA database; Invalid (`time_zone`) if unknown.

    Always from the `tzdata` package, so all machines that share a store agree on
    when a schedule is due.
    """
    if name not in _zone_names():
        raise Invalid.field("time_zone", f"{name!r:.80} is not a known time zone.")
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def offset_periods(zone: str, begin: int, end: int) -> Iterator[OffsetPeriod]:
    """Yield the periods that overlap the minutes in [begin, end)."""
    if begin >= end:
        return
    for year in range(from_minutes(begin).year, from_minutes(end - 1).year + 1):
        for period in _offset_periods_of_year(zone, year):
            if begin < period.end and period.start < end:
                yield period


@lru_cache(maxsize=1)
def tzdata_version() -> str:
    """Return the version of the time zone database, such as `2026.2`."""
    return version("tzdata")


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    names = (files("tzdata") / "zones").read_text("ascii").split()
    return frozenset(names) - {"Factory"}


@lru_cache(maxsize=4096)
def _offset_periods_of_year(zone: str, year: int) -> tuple[OffsetPeriod, ...]:
    first, end = (to_minutes(datetime(y, 1, 1, tzinfo=UTC)) for y in (year, year + 1))
    clock = load_zone(zone)
    start = first - DAY
    offset = _offset(clock, start)
    seen = start + offset
    found = []
    for change in (*_changes(clock, start, end), end):
        if change > first:
            begin = max(start, first)
            unclipped = seen if begin == start else max(seen, begin + offset)
            found.append(OffsetPeriod(begin, change, offset, unclipped))
        seen = max(seen, change + offset)
        start, offset = change, _offset(clock, change)
    return tuple(found)


def _changes(clock: ZoneInfo, begin: int, end: int) -> Iterator[int]:
    """Yield the minutes at which the offset changes."""
    before = _offset(clock, begin)
    for day in range(begin, end, DAY):
        low, high = day, min(day + DAY, end - 1)
        after = _offset(clock, high)
        if after == before:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _offset(clock, middle) == before else (low, middle)
        yield high
        before = after


def _offset(clock: ZoneInfo, minute: int) -> int:
    """Return the offset in minutes; seconds, used before 1973, are cut off."""
    offset = from_minutes(minute).astimezone(clock).utcoffset()
    return (offset or timedelta()) // MINUTE
