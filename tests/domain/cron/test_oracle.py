"""Cron rules agree with two oracles at every clock change of every zone."""

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from cronsim import CronSim

from workbell.domain.cron.expression import parse
from workbell.domain.cron.rule import CronRule, DstGap, DstOverlap
from workbell.domain.cron.time_zones import from_minutes, load_zone, offset_periods, to_minutes

pytestmark = pytest.mark.unit

FULL = os.environ.get("WORKBELL_TEST_FULL") == "1"
BEGIN, END = (to_minutes(datetime(year, 1, 1, tzinfo=UTC)) for year in (2020, 2038))
TWO_DAYS = timedelta(days=2)
MINUTE = timedelta(minutes=1)
NOTHING = timedelta()
LINES = (
    "30 2 * * *",
    "*/15 * * * *",
    "0 0 * * *",
    "0 3 * * *",
    "0 */2 * * *",
    "15,45 0-3 * * *",
    "15 1 * * *",
    "0 * * * *",
    "30 1,2 * * 0",
    "*/20 2 * * *",
    "0 9 * * 1-5",
    "30 */6 * * *",
    "0-59/30 0-23 * * *",
    "5 0 1 * *",
    "45 23 31 * 5",
    "59 23 L * *",
    "30 2 1-7 * SUN",
    "30 2 */2 * SUN",
    "30 0 * * SUN#2",
    "30 0 * * L0",
)

Window = tuple[str, datetime]


@lru_cache(maxsize=1)
def _windows() -> Sequence[Window]:
    """
    Return a zone and an instant for each clock change from 2020 to 2037.

    Zones with the same change and equal offsets for two days around it are
    represented by one of them, unless WORKBELL_TEST_FULL is set.
    """
    chosen: dict[object, Window] = {}
    for name in sorted(available_timezones() - {"localtime", "Factory"}):
        zone = load_zone(name)
        for stretch in offset_periods(name, BEGIN, END):
            change = from_minutes(stretch.start)
            offsets = tuple(
                (change + timedelta(hours=h)).astimezone(zone).utcoffset()
                for h in range(-48, 49, 2)
            )
            if len(set(offsets)) > 1:
                chosen.setdefault((change, name if FULL else offsets), (name, change))
    return tuple(chosen.values())


def _cronsim(line: str, zone: str, after: datetime, until: datetime) -> list[datetime]:
    """Return cronsim's distinct ticks; it spells the last Sunday `0L`."""
    result = set()
    for tick in CronSim(line.replace("L0", "0L"), after.astimezone(load_zone(zone))):
        at = tick.astimezone(UTC)
        if at > until:
            break
        result.add(at)
    return sorted(result)


def _odd(zone: str, change: datetime) -> bool:
    """Whether the clock changes off the hour, or by a fraction of an hour."""
    clock = load_zone(zone)
    walls = [at.astimezone(clock).replace(tzinfo=None) for at in (change - MINUTE, change)]
    return walls[1].minute != 0 or (walls[1] - walls[0] - MINUTE) % timedelta(hours=1) != NOTHING


def _explained(line: str, zone: str, change: datetime, ours: list[datetime]) -> bool:
    """
    Whether a difference from cronsim is known and intended.

    cronsim steps through wildcards by whole hours of real time. If the clock
    changes by half an hour (Lord Howe, in autumn) or off the hour (Casey, 2020 to
    2022), it misses hours that the local clock shows. Only for these zones and
    wildcards, our ticks may differ if they are exactly the matching local
    minutes. cronsim does not support `W`; `test_rule.py` covers it.
    """
    known = ("Australia/Lord_Howe", "Australia/LHI", "Antarctica/Casey")
    wild = any(part.startswith("*") for part in line.split()[:2])
    return (
        zone in known
        and wild
        and _odd(zone, change)
        and ours == _local_matches(line, zone, change - TWO_DAYS, change + TWO_DAYS)
    )


def _local_matches(line: str, zone: str, after: datetime, until: datetime) -> list[datetime]:
    """Return every minute in (after, until] whose local time matches."""
    clock, fields = load_zone(zone), parse(line)
    assert fields.day.is_any
    assert fields.weekday.is_any
    minutes, hours = set(fields.minute.numbers), set(fields.hour.numbers)
    count = (until - after) // MINUTE
    moments = (after + n * MINUTE for n in range(1, count + 1))
    return [
        at
        for at in moments
        if (wall := at.astimezone(clock)).minute in minutes and wall.hour in hours
    ]


def _sampled() -> Iterator[tuple[str, Window]]:
    """Yield each expression at odd windows, and two in turn at the others."""
    for index, (zone, change) in enumerate(_windows()):
        every = FULL or _odd(zone, change)
        two = [LINES[(2 * index + i) % len(LINES)] for i in range(2)]
        for line in LINES if every else two:
            yield line, (zone, change)


def test_ticks_equal_those_of_cronsim_at_every_clock_change() -> None:
    differences = []
    for line, (zone, change) in _sampled():
        after, until = change - TWO_DAYS, change + TWO_DAYS
        ours = list(CronRule(line, zone).ticks(after, until))
        if ours != _cronsim(line, zone, after, until) and not _explained(line, zone, change, ours):
            differences.append((line, zone, change.isoformat()))
    assert differences == []


def _local_runs(
    hour: int, minute: int, zone: str, gap: DstGap, overlap: DstOverlap, change: datetime
) -> list[datetime]:
    """Return a daily time's runs around a change, by the folds of PEP 495."""
    clock = load_zone(zone)
    result = set()
    middle = change.astimezone(clock).date()
    for day in (middle + timedelta(days=days) for days in range(-4, 5)):
        wall = datetime(day.year, day.month, day.day, hour, minute, tzinfo=clock)
        first, second = (wall.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
        if first.astimezone(clock).replace(tzinfo=None) == wall.replace(tzinfo=None):
            result |= {first, second} if overlap is DstOverlap.BOTH else {first}
        elif gap is DstGap.RUN_AFTER:
            result.add(_first_instant_after_the_gap(second, first, clock))
    return sorted(at for at in result if abs(at - change) <= TWO_DAYS)


def _first_instant_after_the_gap(low: datetime, high: datetime, clock: ZoneInfo) -> datetime:
    before = low.astimezone(clock).utcoffset()
    while high - low > MINUTE:
        middle = low + (high - low) // 2 // MINUTE * MINUTE
        if middle.astimezone(clock).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


@pytest.mark.parametrize("gap", DstGap)
@pytest.mark.parametrize("overlap", DstOverlap)
def test_daily_times_follow_both_options_at_every_clock_change(
    gap: DstGap, overlap: DstOverlap
) -> None:
    differences = []
    for zone, change in _windows():
        for hour, minute in ((2, 30), (0, 0), (1, 45), (23, 30)):
            rule = CronRule(f"{minute} {hour} * * *", zone, gap, overlap)
            ours = list(rule.ticks(change - TWO_DAYS - MINUTE, change + TWO_DAYS))
            summary = rule.summarise_range(change - TWO_DAYS - MINUTE, change + TWO_DAYS)
            assert summary == (ours[0], ours[-1], len(ours))
            if ours != _local_runs(hour, minute, zone, gap, overlap, change):
                differences.append((rule, change.isoformat()))
    assert differences == []


@pytest.mark.parametrize("line", ["*/15 * * * *", "0 */2 * * *", "*/20 2 * * *", "30 */6 * * *"])
def test_wildcards_fire_at_every_matching_minute_at_odd_changes(line: str) -> None:
    """Both occurrences of a minute, none in a gap; checked without cronsim."""
    odd = [window for window in _windows() if _odd(*window)]
    assert {"Antarctica/Casey", "Australia/LHI"} <= {zone for zone, _ in odd}
    for zone, change in odd:
        after, until = change - TWO_DAYS, change + TWO_DAYS
        ours = list(CronRule(line, zone).ticks(after, until))
        assert ours == _local_matches(line, zone, after, until), (zone, change)


def test_the_windows_cover_all_clock_changes() -> None:
    """Thousands of changes, or one for each group of zones that agree."""
    assert len(_windows()) > (5000 if FULL else 400)
    assert {"Africa/Casablanca", "Asia/Gaza"} & {zone for zone, _ in _windows()}
