"""Cron rules against two oracles, at every clock change of every zone."""

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
    Return a zone and a moment for each clock change from 2020 to 2037.

    Zones that change by the same amount at the same moment, and agree two
    days round it, are represented by one of them, unless all are asked for.
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
    """Return cronsim's ticks; it spells the last Sunday `0L`, and repeats what collapses."""
    found = set()
    for tick in CronSim(line.replace("L0", "0L"), after.astimezone(load_zone(zone))):
        at = tick.astimezone(UTC)
        if at > until:
            break
        found.add(at)
    return sorted(found)


def _odd(zone: str, change: datetime) -> bool:
    """Return whether the clock changes off the hour, or by a part of an hour."""
    clock = load_zone(zone)
    walls = [at.astimezone(clock).replace(tzinfo=None) for at in (change - MINUTE, change)]
    return walls[1].minute != 0 or (walls[1] - walls[0] - MINUTE) % timedelta(hours=1) != NOTHING


def _explained(line: str, zone: str, change: datetime, ours: list[datetime]) -> bool:
    """
    Return whether a difference from cronsim is known and meant.

    cronsim steps through wildcards by whole hours of real time. Where the
    clock changes by half an hour (Lord Howe, in autumn) or at a minute past
    the hour (Casey, 2020 to 2022), it passes over hours that the wall does
    show. Such a difference is excused only for these zones, only for
    wildcards, and only if ours are exactly the minutes the wall clock shows.
    `W` is not in cronsim at all, and is checked in `test_cron.py`.
    """
    known = ("Australia/Lord_Howe", "Australia/LHI", "Antarctica/Casey")
    wild = any(part.startswith("*") for part in line.split()[:2])
    return (
        zone in known
        and wild
        and _odd(zone, change)
        and ours == _on_the_wall(line, zone, change - TWO_DAYS, change + TWO_DAYS)
    )


def _on_the_wall(line: str, zone: str, after: datetime, until: datetime) -> list[datetime]:
    """Return every minute after one, up to another, whose wall clock matches; any day."""
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
    """Yield every line at every odd window, and two lines in turn at each of the others."""
    for index, (zone, change) in enumerate(_windows()):
        every = FULL or _odd(zone, change)
        two = [LINES[(2 * index + i) % len(LINES)] for i in range(2)]
        for line in LINES if every else two:
            yield line, (zone, change)


def test_ticks_are_those_of_cronsim_at_every_clock_change() -> None:
    differences = []
    for line, (zone, change) in _sampled():
        after, until = change - TWO_DAYS, change + TWO_DAYS
        ours = list(CronRule(line, zone).ticks(after, until))
        if ours != _cronsim(line, zone, after, until) and not _explained(line, zone, change, ours):
            differences.append((line, zone, change.isoformat()))
    assert differences == []


def _by_the_wall(
    hour: int, minute: int, zone: str, gap: DstGap, overlap: DstOverlap, change: datetime
) -> list[datetime]:
    """Return a daily time's runs round a change, by PEP 495's folds alone."""
    clock = load_zone(zone)
    found = set()
    middle = change.astimezone(clock).date()
    for day in (middle + timedelta(days=days) for days in range(-4, 5)):
        wall = datetime(day.year, day.month, day.day, hour, minute, tzinfo=clock)
        first, second = (wall.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
        if first.astimezone(clock).replace(tzinfo=None) == wall.replace(tzinfo=None):
            found |= {first, second} if overlap is DstOverlap.BOTH else {first}
        elif gap is DstGap.RUN_AFTER:
            found.add(_first_instant_after_the_gap(second, first, clock))
    return sorted(at for at in found if abs(at - change) <= TWO_DAYS)


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
def test_daily_times_obey_both_options_at_every_clock_change(
    gap: DstGap, overlap: DstOverlap
) -> None:
    differences = []
    for zone, change in _windows():
        for hour, minute in ((2, 30), (0, 0), (1, 45), (23, 30)):
            rule = CronRule(f"{minute} {hour} * * *", zone, gap, overlap)
            ours = list(rule.ticks(change - TWO_DAYS - MINUTE, change + TWO_DAYS))
            summary = rule.summarise_range(change - TWO_DAYS - MINUTE, change + TWO_DAYS)
            assert summary == (ours[0], ours[-1], len(ours))
            if ours != _by_the_wall(hour, minute, zone, gap, overlap, change):
                differences.append((rule, change.isoformat()))
    assert differences == []


@pytest.mark.parametrize("line", ["*/15 * * * *", "0 */2 * * *", "*/20 2 * * *", "30 */6 * * *"])
def test_wildcards_fire_whenever_the_wall_clock_matches_at_odd_changes(line: str) -> None:
    """Both copies of a minute fire, and none in a gap; no cronsim is needed to say so."""
    odd = [window for window in _windows() if _odd(*window)]
    assert {"Antarctica/Casey", "Australia/LHI"} <= {zone for zone, _ in odd}
    for zone, change in odd:
        after, until = change - TWO_DAYS, change + TWO_DAYS
        ours = list(CronRule(line, zone).ticks(after, until))
        assert ours == _on_the_wall(line, zone, after, until), (zone, change)


def test_the_windows_cover_what_they_claim() -> None:
    """Thousands of changes, or one for each group of zones that agree."""
    assert len(_windows()) > (5000 if FULL else 400)
    assert {"Africa/Casablanca", "Asia/Gaza"} & {zone for zone, _ in _windows()}
