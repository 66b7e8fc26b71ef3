"""Summaries: the buckets add up to the total on any calendar."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workbell.domain.errors import Invalid
from workbell.domain.goals.local_days import split_by_local_day
from workbell.domain.goals.summary import (
    ONE_DAY,
    Bucket,
    Comparison,
    Granularity,
    HeatmapDay,
    Span,
    Streak,
    buckets,
    by_period,
    compare_with_previous,
    heatmap,
    hours,
    make_span,
    period_start,
    streak,
    total,
)

pytestmark = pytest.mark.unit

DAYS = st.dates(date(2023, 1, 1), date(2027, 12, 31))
WORK = st.lists(st.tuples(DAYS, st.integers(0, 90_000)), max_size=40)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia")
NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)


def day(text: str) -> date:
    return date.fromisoformat(text)


def test_weeks_start_on_monday_and_months_on_the_first() -> None:
    assert period_start(day("2026-11-22"), Granularity.WEEK) == day("2026-11-16")
    assert period_start(day("2026-11-16"), Granularity.WEEK) == day("2026-11-16")
    assert period_start(day("2026-11-22"), Granularity.MONTH) == day("2026-11-01")
    assert period_start(day("2026-11-22"), Granularity.DAY) == day("2026-11-22")


def test_empty_periods_are_left_out_and_the_oldest_comes_first() -> None:
    days = [(day("2026-11-22"), 60), (day("2026-11-16"), 40), (day("2026-01-01"), 5)]
    assert by_period(days, Granularity.WEEK) == [(day("2025-12-29"), 5), (day("2026-11-16"), 100)]
    assert by_period(days, Granularity.MONTH) == [(day("2026-01-01"), 5), (day("2026-11-01"), 100)]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, 0.0), (17, 0.0), (18, 0.01), (9000, 2.5), (5400 + 18, 1.51), (-9000, -2.5), (-18, -0.01)],
)
def test_hours_have_two_decimals(seconds: int, shown: float) -> None:
    assert hours(seconds) == shown


def test_the_buckets_add_up_to_the_total_in_10_000_cases() -> None:
    chance = Random(20261121)
    for _ in range(10_000):
        zone, group = chance.choice(ZONES), chance.choice(list(Granularity))
        spells = [
            (NEW_YEAR + timedelta(minutes=chance.randrange(1_200_000)), chance.randrange(200_000))
            for _ in range(chance.randint(1, 3))
        ]
        days = [
            each
            for at, s in spells
            for each in split_by_local_day(at, at + timedelta(seconds=s), zone)
        ]
        first = NEW_YEAR.date() + timedelta(days=chance.randrange(700))
        span = Span(first, first + timedelta(days=chance.randrange(150)))
        result = buckets(days, span, group)
        assert sum(bucket.seconds for bucket in result) == total(days, span.first, span.last)
        assert (result[0].first, result[-1].last) == (span.first, span.last)
        assert all(b.first - a.last == ONE_DAY for a, b in pairwise(result))
        worked = sum(seconds for _, seconds in spells)
        assert sum(seconds for _, seconds in by_period(days, group)) == worked


def test_empty_buckets_are_included_and_edges_are_cut_off() -> None:
    span = Span(day("2026-11-20"), day("2026-12-02"))
    assert buckets([(day("2026-11-24"), 60), (day("2026-11-19"), 99)], span, Granularity.WEEK) == [
        Bucket(day("2026-11-20"), day("2026-11-22"), 0),
        Bucket(day("2026-11-23"), day("2026-11-29"), 60),
        Bucket(day("2026-11-30"), day("2026-12-02"), 0),
    ]
    assert buckets([], span, Granularity.MONTH) == [
        Bucket(day("2026-11-20"), day("2026-11-30"), 0),
        Bucket(day("2026-12-01"), day("2026-12-02"), 0),
    ]


@pytest.mark.parametrize(
    ("first", "last", "field"),
    [
        ("2026-01-02", "2026-01-01", "last"),
        ("2020-01-01", "2026-01-01", "last"),
        ("1969-12-31", "1970-01-01", "first"),
        ("9998-12-31", "9999-01-01", "last"),
        ("9999-01-01", "9999-01-01", "first"),
    ],
)
def test_an_invalid_span_is_rejected_by_field(first: str, last: str, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        Span(day(first), day(last))
    assert list(caught.value.field_errors) == [field]


def test_the_default_span_is_the_30_days_until_today() -> None:
    today = day("2026-11-21")
    assert make_span(None, None, today) == Span(day("2026-10-23"), today)
    assert make_span(day("2026-11-01"), None, today) == Span(day("2026-11-01"), today)
    assert make_span(day("2027-01-01"), None, today) == Span(day("2027-01-01"), day("2027-01-01"))
    assert make_span(None, day("1970-01-05"), today) == Span(day("1970-01-01"), day("1970-01-05"))
    for last in ("0001-01-02", "9999-12-31"):
        with pytest.raises(Invalid, match="last"):
            make_span(None, day(last), today)


def test_a_span_is_compared_with_the_preceding_one() -> None:
    days = [(day("2026-11-03"), 100), (day("2026-11-06"), 150), (day("2026-11-01"), 7)]
    result = compare_with_previous(days, Span(day("2026-11-05"), day("2026-11-07")))
    assert result == Comparison(day("2026-11-02"), day("2026-11-04"), 100, 50)
    assert result.percent == 50.0
    assert compare_with_previous([], Span(day("2026-11-05"), day("2026-11-07"))).percent is None


@pytest.mark.parametrize(
    ("worked", "current", "longest"),
    [
        ("", 0, 0),
        ("21", 1, 1),
        ("20 19", 2, 2),
        ("19", 0, 1),
        ("21 20 19 17 16 15 14", 3, 4),
        ("22 21", 2, 2),
    ],
)
def test_today_adds_to_a_streak_and_never_breaks_it(
    worked: str, current: int, longest: int
) -> None:
    days = [(date(2026, 11, int(number)), 60) for number in worked.split()]
    assert streak(days, day("2026-11-21")) == Streak(current, longest)


def test_a_day_without_time_ends_a_streak() -> None:
    days = [(day("2026-11-21"), 60), (day("2026-11-20"), 0), (day("2026-11-19"), 60)]
    assert streak(days, day("2026-11-21")) == Streak(1, 1)


@given(WORK, DAYS)
@example([], date(2026, 1, 1))
def test_no_current_streak_is_longer_than_the_longest(
    work: list[tuple[date, int]], today: date
) -> None:
    result = streak(work, today)
    assert 0 <= result.current <= result.longest <= len(work)


def test_heat_map_levels_are_quarters_of_the_busiest_day() -> None:
    days = [
        (day("2025-11-17"), 1),
        (day("2025-11-16"), 500),
        (day("2026-11-20"), 100),
        (day("2026-11-21"), 76),
        (day("2026-11-19"), 0),
        (day("2026-11-22"), 900),
    ]
    assert heatmap(days, day("2026-11-21")) == [
        HeatmapDay(day("2025-11-17"), 1, 1),
        HeatmapDay(day("2026-11-20"), 100, 4),
        HeatmapDay(day("2026-11-21"), 76, 4),
    ]
    assert heatmap([], day("2026-11-21")) == []
