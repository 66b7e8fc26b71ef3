"""Cron rules: the ticks of an expression in a time zone, with DST."""

from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import islice, pairwise

from attrs import field, frozen
from croniter import CroniterBadDateError, croniter

from workbell.domain.cron.expression import CronExpression, Field, parse, syntax_error
from workbell.domain.cron.time_zones import (
    DAY,
    MINUTE,
    OffsetPeriod,
    from_minutes,
    load_zone,
    offset_periods,
    to_minutes,
)

HORIZON_YEARS = 40
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_HORIZON = HORIZON_YEARS * 366 * DAY
_END_OF_TIME = to_minutes(datetime(9999, 1, 1, tzinfo=UTC))
_TRIAL_RANGE = (
    to_minutes(datetime(2024, 1, 1, tzinfo=UTC)),
    to_minutes(datetime(2029, 1, 1, tzinfo=UTC)),
)


class DstGap(StrEnum):
    """What happens to a fixed time that the clock skips in spring."""

    RUN_AFTER = "run_after"
    SKIP = "skip"


class DstOverlap(StrEnum):
    """Which occurrences of a fixed time run when it occurs twice in autumn."""

    FIRST = "first"
    BOTH = "both"


class ClockChange(StrEnum):
    """How a clock change affects a tick."""

    NONE = ""
    SHIFTED = "shifted"
    REPEATED = "repeated"


@lru_cache(maxsize=16384)
def _days_of_month(day: str, weekday: str, year: int, month: int) -> tuple[int, ...]:
    """Return the matching days of a month, as days since the epoch."""
    start = datetime(year, month, 1)  # noqa: DTZ001 - a calendar has no zone
    days = croniter(
        f"0 0 {day} * {weekday}",
        start - timedelta(minutes=1),
        ret_type=datetime,
        day_or=False,
        max_years_between_matches=1,
    )
    found = []
    try:
        while (match := days.get_next(datetime)).month == month and match.year == year:
            found.append(match.toordinal() - _EPOCH_DAY)
    except CroniterBadDateError:
        pass
    return tuple(found)


def _to_croniter(field: Field) -> str:
    """Format a day or weekday field for croniter, with ranges written out."""
    if field.is_any:
        return "*"
    numbers = [str(number) for number in field.numbers]
    day_patterns = [
        f"{pattern.number}#{pattern.occurrence}"
        if pattern.sign == "#"
        else f"{pattern.sign}{'' if pattern.number is None else pattern.number}"
        for pattern in field.day_patterns
    ]
    return ",".join(numbers + day_patterns)


@frozen
class Calendar:
    """
    The wall-clock minutes that match an expression, ignoring clock changes.

    Wall-clock minutes count from 1970-01-01 00:00 local time.
    """

    minutes: tuple[int, ...]
    months: frozenset[int]
    days: tuple[tuple[str, str], ...]

    @classmethod
    def from_expression(cls, fields: CronExpression) -> "Calendar":
        """Build the calendar of an expression."""
        hours, minutes = fields.hour.numbers, fields.minute.numbers
        day, weekday = _to_croniter(fields.day), _to_croniter(fields.weekday)
        return cls(
            tuple(hour * 60 + minute for hour in hours for minute in minutes),
            frozenset(fields.month.numbers),
            ((day, "*"), ("*", weekday)) if fields.matches_either_day else ((day, weekday),),
        )

    def between(self, begin: int, end: int) -> Iterator[int]:
        """Yield the matching minutes in [begin, end)."""
        for midnight, low, high in self._matching_slices(begin, end):
            for minute in self.minutes[low:high]:
                yield midnight + minute

    def any_between(self, begin: int, end: int) -> bool:
        """Whether any minute in [begin, end) matches."""
        return next(self.between(begin, end), None) is not None

    def summary(self, begin: int, end: int) -> tuple[int, int, int] | None:
        """Return the first and last matching minute and their number, or None."""
        first = last = count = 0
        for midnight, low, high in self._matching_slices(begin, end):
            first = first if count else midnight + self.minutes[low]
            last = midnight + self.minutes[high - 1]
            count += high - low
        return (first, last, count) if count else None

    def _matching_slices(self, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Yield the midnight of each matching day, and the slice of its minutes."""
        for day in self._matching_days(begin // DAY, (end - 1) // DAY):
            midnight = day * DAY
            low = bisect_left(self.minutes, begin - midnight)
            high = bisect_left(self.minutes, end - midnight)
            if low < high:
                yield midnight, low, high

    def _matching_days(self, first: int, last: int) -> Iterator[int]:
        """Yield the matching days from first to last, both inclusive."""
        if last < first:
            return
        start = date.fromordinal(first + _EPOCH_DAY)
        end = date.fromordinal(last + _EPOCH_DAY)
        for index in range(start.year * 12 + start.month - 1, end.year * 12 + end.month):
            year, month = divmod(index, 12)
            if month + 1 in self.months:
                days = self._matching_days_of_month(year, month + 1)
                yield from days[bisect_left(days, first) : bisect_left(days, last + 1)]

    def _matching_days_of_month(self, year: int, month: int) -> tuple[int, ...]:
        if len(self.days) == 1:
            return _days_of_month(*self.days[0], year, month)
        either = {d for pair in self.days for d in _days_of_month(*pair, year, month)}
        return tuple(sorted(either))


@frozen
class ZonedCalendar:
    """A calendar in a time zone, with Debian's rules for clock changes."""

    calendar: Calendar
    zone: str
    is_fixed_time: bool
    skips_gaps: bool
    repeats_overlaps: bool

    def ticks(self, begin: int, end: int) -> Iterator[tuple[int, ClockChange]]:
        """Yield the ticks in [begin, end), as UTC minutes."""
        for period, low, high in self._wall_ranges(begin, end):
            if self._shifts_to_start(period, begin):
                yield period.start, ClockChange.SHIFTED
            for wall in self.calendar.between(low, high):
                again = wall < period.wall_seen
                yield wall - period.offset, ClockChange.REPEATED if again else ClockChange.NONE

    def summary(self, begin: int, end: int) -> tuple[int, int, int] | None:
        """Return the first and last tick in [begin, end) and their number."""
        first = last = count = 0
        for period, low, high in self._wall_ranges(begin, end):
            if self._shifts_to_start(period, begin):
                first = first if count else period.start
                last = period.start
                count += 1
            if (plain := self.calendar.summary(low, high)) is not None:
                first = first if count else plain[0] - period.offset
                last = plain[1] - period.offset
                count += plain[2]
        return (first, last, count) if count else None

    def skipped(self, begin: int, end: int) -> Iterator[int]:
        """Yield the clock changes in the range that cause a run to be skipped."""
        if self.is_fixed_time and self.skips_gaps:
            for period in offset_periods(self.zone, begin, end):
                gap = (period.wall_seen, period.wall_start)
                if begin <= period.start and self.calendar.any_between(*gap):
                    yield period.start

    def _wall_ranges(self, begin: int, end: int) -> Iterator[tuple[OffsetPeriod, int, int]]:
        """Yield each offset period with the wall-clock minutes that count."""
        for period in offset_periods(self.zone, begin, end):
            low = max(begin, period.start) + period.offset
            if self.is_fixed_time and not self.repeats_overlaps:
                low = max(low, period.wall_seen)
            yield period, low, min(end, period.end) + period.offset

    def _shifts_to_start(self, period: OffsetPeriod, begin: int) -> bool:
        """Whether a time in the gap before a period runs at its start."""
        if self.skips_gaps or not self.is_fixed_time or period.start < begin:
            return False
        wall = period.wall_start
        runs_there_anyway = self.calendar.any_between(wall, wall + 1)
        return self.calendar.any_between(period.wall_seen, wall) and not runs_there_anyway


@lru_cache(maxsize=8192)
def _parse_and_check(line: str) -> tuple[CronExpression, Calendar]:
    fields = parse(line)
    calendar = Calendar.from_expression(fields)
    if not calendar.any_between(*_TRIAL_RANGE):
        syntax_error("it does not run once in five years.")
    return fields, calendar


@lru_cache(maxsize=8192)
def _zoned_calendar(line: str, zone: str, skip: bool, both: bool) -> ZonedCalendar:
    fields, calendar = _parse_and_check(line)
    return ZonedCalendar(calendar, zone, fields.is_fixed_time, skip, both)


@lru_cache(maxsize=50_000)
def _next_tick(line: str, zone: str, skip: bool, both: bool, minute: int) -> datetime | None:
    begin, end = _search_range(minute)
    tick = next(_zoned_calendar(line, zone, skip, both).ticks(begin, end), None)
    return None if tick is None else from_minutes(tick[0])


def _search_range(after: int, until: int | None = None) -> tuple[int, int]:
    """Return the minutes of a range from 1970 on; without an end, up to the horizon."""
    begin = max(after + 1, 0)
    return begin, min(begin + _HORIZON if until is None else until + 1, _END_OF_TIME)


def _normalise_line(line: str) -> str:
    return _parse_and_check(line)[0].text


def _check_zone(zone: str) -> str:
    load_zone(zone)
    return zone


@frozen
class CronRule:
    """
    A cron expression, its time zone and its DST options.

    Spaces and the case of macros are normalised. Results are aware, in UTC, on
    whole minutes, and from 1970 to 9998. A search without an end gives up after 40
    years without a tick: such a rule runs only at times that clock changes skip.

    Raises:
        Invalid: The expression is not supported or never runs (under
            `cron_expression`), or the zone is unknown (under `time_zone`).
    """

    line: str = field(converter=_normalise_line)
    zone: str = field(default="UTC", converter=_check_zone)
    dst_gap: DstGap = DstGap.RUN_AFTER
    dst_overlap: DstOverlap = DstOverlap.FIRST

    @property
    def fields(self) -> CronExpression:
        """The five fields of the expression."""
        return _parse_and_check(self.line)[0]

    @property
    def calendar(self) -> ZonedCalendar:
        """The ticks of the rule, as minutes."""
        skip, both = self.dst_gap == DstGap.SKIP, self.dst_overlap == DstOverlap.BOTH
        return _zoned_calendar(self.line, self.zone, skip, both)

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the first tick after an instant, or None within 40 years."""
        return _next_tick(
            self.line,
            self.zone,
            self.dst_gap == DstGap.SKIP,
            self.dst_overlap == DstOverlap.BOTH,
            to_minutes(instant),
        )

    def ticks(self, after: datetime, until: datetime | None = None) -> Iterator[datetime]:
        """Yield the ticks in (after, until], ascending."""
        for minute, _ in self.annotated_ticks(after, until):
            yield from_minutes(minute)

    def annotated_ticks(
        self, after: datetime, until: datetime | None = None
    ) -> Iterator[tuple[int, ClockChange]]:
        """Yield the same ticks as minutes since the epoch, with clock changes."""
        if until is None:
            return _open_ended_ticks(self.calendar, to_minutes(after))
        return self.calendar.ticks(*_search_range(to_minutes(after), to_minutes(until)))

    def summarise_range(
        self, after: datetime, until: datetime
    ) -> tuple[datetime, datetime, int] | None:
        """
        Return the first and last tick in (after, until] and their exact number.

        The cost depends on the days in the range, not on the ticks. None if there is
        no tick.
        """
        summary = self.calendar.summary(*_search_range(to_minutes(after), to_minutes(until)))
        if summary is None:
            return None
        first, last, count = summary
        return from_minutes(first), from_minutes(last), count


def _open_ended_ticks(calendar: ZonedCalendar, after: int) -> Iterator[tuple[int, ClockChange]]:
    """Yield all later ticks; the search ends after a horizon without one."""
    begin, end = _search_range(after)
    while begin < end:
        found = False
        for tick in calendar.ticks(begin, end):
            found = True
            yield tick
        if not found:
            return
        begin, end = _search_range(end - 1)


def min_interval(rule: CronRule, now: datetime, n: int = 500) -> timedelta | None:
    """Return the shortest time between the next n ticks, within five years."""
    begin, end = _search_range(to_minutes(now))
    ticks = rule.calendar.ticks(begin, min(end, begin + 5 * 366 * DAY))
    minutes = [minute for minute, _ in islice(ticks, n)]
    return min(((b - a) * MINUTE for a, b in pairwise(minutes)), default=None)
