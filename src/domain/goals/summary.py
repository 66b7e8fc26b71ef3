"""Summaries of logged time: periods, comparisons, streaks and heat map."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from enum import StrEnum

from attrs import field, frozen

from workbell.domain.constraints import FIRST_DAY, LAST_DAY
from workbell.domain.errors import Invalid

ONE_DAY = timedelta(days=1)
MAX_DAYS = 3 * 366
"""Maximum length of a span."""
DEFAULT_SPAN = 29 * ONE_DAY
"""From the first to the last day, if the client gives no range."""
HEAT_WEEKS = 52
HEAT_LEVELS = 4

DaySeconds = tuple[date, int]
"""A local day, and the seconds that were logged on it."""


class Granularity(StrEnum):
    """The size of the buckets of a summary; weeks start on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def period_start(day: date, group: Granularity) -> date:
    """Return the first day of the period that contains a day."""
    if group is Granularity.WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if group is Granularity.MONTH else day


def hours(seconds: int) -> float:
    """Return seconds as hours, rounded half up to two decimals."""
    hundredths = (abs(seconds) * 100 + 1800) // 3600
    return (hundredths if seconds >= 0 else -hundredths) / 100


def by_period(days: Iterable[DaySeconds], group: Granularity) -> Sequence[DaySeconds]:
    """Return the seconds per period by its first day, without empty periods."""
    sums: dict[date, int] = {}
    for day, seconds in days:
        start = period_start(day, group)
        sums[start] = sums.get(start, 0) + seconds
    return sorted(sums.items())


def _check_span(span: "Span", _: object, last: date) -> None:
    if last < span.first:
        raise Invalid.field("last", "must not be before first")
    if (last - span.first).days >= MAX_DAYS:
        raise Invalid.field("last", f"must be within {MAX_DAYS:,} days of first")
    for name, day in (("first", span.first), ("last", last)):
        if not FIRST_DAY <= day <= LAST_DAY:
            raise Invalid.field(name, f"must be between {FIRST_DAY} and {LAST_DAY}")


@frozen
class Span:
    """A range of local days, both bounds inclusive; at most three years."""

    first: date
    last: date = field(validator=_check_span)

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last

    @property
    def preceding(self) -> tuple[date, date]:
        """First and last day of the equally long range before this one."""
        return self.first - len(self) * ONE_DAY, self.first - ONE_DAY

    def buckets(self, group: Granularity) -> Iterator[tuple[date, date]]:
        """Yield first and last day of each bucket, cut off at both ends."""
        first = self.first
        while first <= self.last:
            last = min(_next_start(first, group) - ONE_DAY, self.last)
            yield first, last
            first = last + ONE_DAY


def _next_start(day: date, group: Granularity) -> date:
    start = period_start(day, group)
    if group is Granularity.MONTH:
        return (start + 31 * ONE_DAY).replace(day=1)
    return start + (7 * ONE_DAY if group is Granularity.WEEK else ONE_DAY)


def make_span(first: date | None, last: date | None, today: date) -> Span:
    """Return the range, by default the 30 days until today, or raise Invalid."""
    if last is None:
        last = today if first is None else max(today, first)
    if first is None and not FIRST_DAY <= last <= LAST_DAY:
        raise Invalid.field("last", f"must be between {FIRST_DAY} and {LAST_DAY}")
    return Span(max(last - DEFAULT_SPAN, FIRST_DAY) if first is None else first, last)


@frozen
class Bucket:
    """The seconds of a range of days."""

    first: date
    last: date
    seconds: int


def buckets(days: Iterable[DaySeconds], span: Span, group: Granularity) -> Sequence[Bucket]:
    """Return all buckets of a span, including empty ones."""
    sums: dict[date, int] = {}
    for day, seconds in days:
        if day in span:
            start = period_start(day, group)
            sums[start] = sums.get(start, 0) + seconds
    return [
        Bucket(first, last, sums.get(period_start(first, group), 0))
        for first, last in span.buckets(group)
    ]


def total(days: Iterable[DaySeconds], first: date, last: date) -> int:
    """Return the seconds of a range of days, both bounds inclusive."""
    return sum(seconds for day, seconds in days if first <= day <= last)


@frozen
class Comparison:
    """The time of a span compared with the equally long span before it."""

    first: date
    last: date
    seconds: int
    delta: int

    @property
    def percent(self) -> float | None:
        """The change in percent with two decimals; None without time before."""
        return round(100 * self.delta / self.seconds, 2) if self.seconds else None


def compare_with_previous(days: Sequence[DaySeconds], span: Span) -> Comparison:
    """Compare a span with the preceding one."""
    first, last = span.preceding
    before = total(days, first, last)
    return Comparison(first, last, before, total(days, span.first, span.last) - before)


@frozen
class Streak:
    """The current and the longest number of consecutive days with time."""

    current: int
    longest: int


def streak(days: Iterable[DaySeconds], today: date) -> Streak:
    """
    Return the current and the longest streak.

    A day counts if it has any time. A streak that ended yesterday is still
    current; days after today (after travelling) count, too.
    """
    current = longest = run = 0
    before: date | None = None
    for day in sorted({day for day, seconds in days if seconds > 0}):
        run = run + 1 if before is not None and day - before == ONE_DAY else 1
        longest, before = max(longest, run), day
    if before is not None and today - before <= ONE_DAY:
        current = run
    return Streak(current, longest)


@frozen
class HeatmapDay:
    """The time of one day and its level, from 1 to 4."""

    day: date
    seconds: int
    level: int


def heatmap(days: Iterable[DaySeconds], last: date) -> Sequence[HeatmapDay]:
    """
    Return the days with time of the year that ends on `last`, ascending.

    The year begins on the Monday 52 weeks before the last day's week. The level
    is the quarter of the busiest day's time that a day reaches.
    """
    first = period_start(last, Granularity.WEEK) - HEAT_WEEKS * 7 * ONE_DAY
    year = sorted((day, seconds) for day, seconds in days if first <= day <= last and seconds > 0)
    peak = max((seconds for _, seconds in year), default=0)
    return [HeatmapDay(day, seconds, -(-HEAT_LEVELS * seconds // peak)) for day, seconds in year]
