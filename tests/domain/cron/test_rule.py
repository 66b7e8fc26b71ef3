"""Ticks of cron rules, including clock changes."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbell.domain.cron import rule as cron
from workbell.domain.cron.rule import CronRule, DstGap, DstOverlap, min_interval
from workbell.domain.cron.time_zones import load_zone
from workbell.domain.errors import Invalid

pytestmark = pytest.mark.unit

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OPTIONS = [(gap, overlap) for gap in DstGap for overlap in DstOverlap]


def local_runs(rule: CronRule, day: str, days: int = 1) -> list[str]:
    """Return the runs of some local days, as local times with offset."""
    zone = load_zone(rule.zone)
    start = datetime.fromisoformat(day).replace(tzinfo=zone)
    end = (start.replace(tzinfo=None) + timedelta(days=days)).replace(tzinfo=zone)
    resolution = datetime.resolution
    ticks = rule.ticks(start.astimezone(UTC) - resolution, end.astimezone(UTC) - resolution)
    return [f"{tick.astimezone(zone):%d %H:%M%z}" for tick in ticks]


@pytest.mark.parametrize(("gap", "overlap"), OPTIONS)
def test_a_fixed_time_in_a_gap_runs_at_its_end_or_is_skipped(
    gap: DstGap, overlap: DstOverlap
) -> None:
    rule = CronRule("30 2 * * *", "Europe/Berlin", gap, overlap)
    moved = ["29 03:00+0200"] if gap is DstGap.RUN_AFTER else []
    assert local_runs(rule, "2026-03-28", 3) == ["28 02:30+0100", *moved, "30 02:30+0200"]


@pytest.mark.parametrize(("gap", "overlap"), OPTIONS)
def test_a_fixed_time_in_an_overlap_runs_once_or_twice(gap: DstGap, overlap: DstOverlap) -> None:
    rule = CronRule("30 1 * * *", "America/New_York", gap, overlap)
    again = ["01 01:30-0500"] if overlap is DstOverlap.BOTH else []
    assert local_runs(rule, "2026-11-01") == ["01 01:30-0400", *again]


@pytest.mark.parametrize(("gap", "overlap"), OPTIONS)
@pytest.mark.parametrize("line", ["*/30 2 * * *", "@hourly", "0 */1 * * *"])
def test_wildcards_run_at_the_same_intervals_with_any_option(
    line: str, gap: DstGap, overlap: DstOverlap
) -> None:
    rule = CronRule(line, "Europe/Berlin", gap, overlap)
    if line == "*/30 2 * * *":
        assert local_runs(rule, "2026-03-29") == []
        assert local_runs(rule, "2026-10-25") == [
            "25 02:00+0200",
            "25 02:30+0200",
            "25 02:00+0100",
            "25 02:30+0100",
        ]
    else:
        assert len(local_runs(rule, "2026-03-29")) == 23
        assert len(local_runs(rule, "2026-10-25")) == 25


@pytest.mark.parametrize(
    ("line", "zone", "day", "runs"),
    [
        ("15,45 2 * * *", "Europe/Berlin", "2026-03-29", ["29 03:00+0200"]),
        ("0 2,3 * * *", "Europe/Berlin", "2026-03-29", ["29 03:00+0200"]),
        ("@daily", "America/Santiago", "2026-09-06", ["06 01:00-0300"]),
        ("@hourly", "America/Santiago", "2026-09-06", None),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-04", ["04 02:30+1100"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-05", ["05 01:45+1100"]),
        ("45 * 5 4 *", "Australia/Lord_Howe", "2026-04-05", None),
        ("0 9 * * *", "Pacific/Apia", "2011-12-31", ["31 00:00+1400", "31 09:00+1400"]),
        ("@daily", "Pacific/Apia", "2011-12-31", ["31 00:00+1400"]),
    ],
)
def test_odd_clock_changes(line: str, zone: str, day: str, runs: list[str] | None) -> None:
    result = local_runs(CronRule(line, zone), day)
    if runs is None:
        assert len(result) == {"America/Santiago": 23, "Australia/Lord_Howe": 25}[zone]
    else:
        assert result == runs


def test_the_half_hour_overlap_of_lord_howe_runs_twice_only_on_request() -> None:
    rule = CronRule("45 1 * * *", "Australia/Lord_Howe", dst_overlap=DstOverlap.BOTH)
    assert local_runs(rule, "2026-04-05") == ["05 01:45+1100", "05 01:45+1030"]


@pytest.mark.parametrize(
    ("line", "days"),
    [
        ("0 0 13 * FRI", [3, 10, 13, 17, 24, 31]),
        ("0 0 */10 * FRI", [31]),
        ("0 0 1-31 * 5", list(range(1, 32))),
        ("0 0 13 * FRI#2", [10, 13]),
        ("0 0 L * L5", [31]),
        ("0 0 * * L5", [31]),
        ("0 0 15W * *", [15]),
        ("0 0 11W * *", [10]),
        ("0 0 12W * *", [13]),
        ("0 0 15W * 0", [5, 12, 15, 19, 26]),
        ("0 0 ? * 7", [5, 12, 19, 26]),
        ("0 0 *,5 * 1", [6, 13, 20, 27]),
    ],
)
def test_days_match_either_field_unless_one_begins_with_an_asterisk(
    line: str, days: list[int]
) -> None:
    """Checked for July 2026, which begins on a Wednesday."""
    july = datetime(2026, 7, 1, tzinfo=UTC)
    ticks = CronRule(line).ticks(july - datetime.resolution, july + 30 * DAY)
    assert [tick.day for tick in ticks] == days


def test_february_29_waits_for_a_leap_year_even_past_2100() -> None:
    rule = CronRule("0 0 29 2 *")
    assert rule.next_after(NOON) == datetime(2028, 2, 29, tzinfo=UTC)
    assert rule.next_after(datetime(2096, 3, 1, tzinfo=UTC)) == datetime(2104, 2, 29, tzinfo=UTC)


def test_ticks_are_limited_to_1970_and_the_horizon() -> None:
    rule = CronRule("@yearly", "Pacific/Kiritimati")
    first = rule.next_after(datetime.min.replace(tzinfo=UTC))
    assert first == datetime(1970, 1, 1, 10, 40, tzinfo=UTC)
    assert rule.next_after(datetime.max.replace(tzinfo=UTC)) is None
    assert list(rule.ticks(datetime(9997, 6, 1, tzinfo=UTC))) == [
        datetime(9997, 12, 31, 10, tzinfo=UTC),
        datetime(9998, 12, 31, 10, tzinfo=UTC),
    ]


def test_no_tick_of_a_range_is_cut() -> None:
    rule, start, end = (
        CronRule("@yearly"),
        datetime(1979, 12, 31, 23, tzinfo=UTC),
        datetime(2026, 1, 2, tzinfo=UTC),
    )
    ticks = list(rule.ticks(start, end))
    assert [tick.year for tick in ticks] == list(range(1980, 2027))
    assert rule.summarise_range(start, end) == (ticks[0], ticks[-1], 47)
    open_ended = rule.ticks(start)
    assert [next(open_ended).year for _ in range(200)] == list(range(1980, 2180))


def test_an_unknown_time_zone_is_rejected() -> None:
    for zone in ("Mars/Olympus", "", "../etc/passwd", "localtime", "America", "right/UTC", "a\0b"):
        with pytest.raises(Invalid) as refused:
            CronRule("@daily", zone)
        assert list(refused.value.field_errors) == ["time_zone"]


def test_naive_datetimes_raise_an_error() -> None:
    with pytest.raises(TypeError):
        CronRule("@daily").next_after(NOON.replace(tzinfo=None))


def test_the_next_run_is_cached_per_minute() -> None:
    rule = CronRule("17 4 * * *", "Europe/Berlin")
    rule.next_after(NOON)
    before = cron._next_tick.cache_info()
    assert rule.next_after(NOON + timedelta(seconds=59)) is CronRule(
        "17 4 * * *", "Europe/Berlin"
    ).next_after(NOON)
    after = cron._next_tick.cache_info()
    assert (after.hits - before.hits, after.misses - before.misses) == (2, 0)
    assert after.maxsize is not None


def test_the_cache_distinguishes_options_and_zones() -> None:
    at = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    assert CronRule("30 2 * * *", "Europe/Berlin").next_after(at) == at + HOUR / 2
    assert CronRule("30 2 * * *", "Europe/Berlin", DstGap.SKIP).next_after(at) == at + DAY
    assert CronRule("30 2 * * *", "UTC").next_after(at) == at + 2 * HOUR


def test_concurrent_threads_get_equal_results() -> None:
    rule = CronRule("3-59/7 */5 * * MON-FRI", "America/Havana")
    answers: list[list[datetime]] = []
    threads = [
        Thread(target=lambda: answers.append(list(islice(rule.ticks(NOON), 300)))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert all(answer == answers[0] for answer in answers)


def test_missed_ticks_are_counted_without_iterating_over_them() -> None:
    rule = CronRule("* * * * *", "Europe/Berlin")
    assert rule.summarise_range(NOON, NOON + DAY) == (NOON + timedelta(minutes=1), NOON + DAY, 1440)
    year = rule.summarise_range(NOON, NOON + 365 * DAY)
    assert year is not None
    assert year[2] == 365 * 1440
    assert rule.summarise_range(NOON, NOON) is None
    assert rule.summarise_range(NOON, NOON - DAY) is None
    assert CronRule("0 0 29 2 *").summarise_range(NOON, NOON + DAY) is None


def test_the_minimum_interval_considers_later_runs() -> None:
    assert min_interval(CronRule("0,1 9 * * *"), NOON) == timedelta(minutes=1)
    assert min_interval(CronRule("@daily", "Europe/Berlin"), NOON) == 23 * HOUR
    assert min_interval(CronRule("@daily", "Europe/Berlin"), NOON, n=5) == DAY
    assert min_interval(CronRule("0 0 29 2 *"), NOON) is None
    assert min_interval(CronRule("@daily"), datetime.max.replace(tzinfo=UTC)) is None


LINES = st.sampled_from(
    [
        "* * * * *",
        "*/20 * * * *",
        "30 2 * * *",
        "15,45 0-3 * * *",
        "0 */3 * * *",
        "0 0 * * *",
        "0 9 13 * FRI",
        "0 12 L * *",
        "30 1 */2 * SUN",
        "0 0 * * FRI#5",
    ]
)
ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "America/Santiago",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "Asia/Gaza",
        "Pacific/Apia",
        "Antarctica/Troll",
    ]
)
RULES = st.builds(CronRule, LINES, ZONES, st.sampled_from(DstGap), st.sampled_from(DstOverlap))
INSTANTS = st.datetimes(
    datetime(2009, 1, 1),  # noqa: DTZ001
    datetime(2060, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@settings(deadline=None)
@given(RULES, INSTANTS)
def test_ticks_ascend_and_agree_with_next_after(rule: CronRule, moment: datetime) -> None:
    ticks = list(islice(rule.ticks(moment), 20))
    assert moment < ticks[0] == rule.next_after(moment)
    for one, following in pairwise(ticks):
        assert one < following == rule.next_after(one)
        assert rule.next_after(following - datetime.resolution) == following


@settings(deadline=None)
@given(RULES, INSTANTS, st.integers(0, 40 * 1440))
def test_the_range_summary_agrees_with_the_ticks(
    rule: CronRule, moment: datetime, minutes: int
) -> None:
    until = moment + timedelta(minutes=minutes)
    ticks = list(rule.ticks(moment, until))
    summary = (ticks[0], ticks[-1], len(ticks)) if ticks else None
    assert rule.summarise_range(moment, until) == summary
    assert all(moment < tick <= until for tick in ticks)


@settings(deadline=None)
@given(RULES, INSTANTS)
def test_rules_with_equal_fields_are_equal(rule: CronRule, moment: datetime) -> None:
    again = CronRule(rule.line, rule.zone, rule.dst_gap, rule.dst_overlap)
    assert again == rule
    assert hash(again) == hash(rule)
    assert again.next_after(moment) == rule.next_after(moment)
