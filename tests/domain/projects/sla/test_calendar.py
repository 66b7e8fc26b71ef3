"""Business hours: parsing, and arithmetic in five zones."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbell.domain.errors import Invalid
from workbell.domain.projects.sla.calendar import (
    BusinessHours,
    business_add,
    business_between,
    format_exceptions,
    format_weekly,
    parse_hours,
)

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 9, 12, tzinfo=UTC)
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Asia/Kathmandu",
)
MINUTE = timedelta(minutes=1)
INSTANTS = st.integers(0, 4 * 366 * 86_400 * 1_000_000).map(
    lambda n: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(microseconds=n)
)
DURATIONS = st.integers(0, 14 * 86_400 * 1_000_000).map(lambda n: timedelta(microseconds=n))


@st.composite
def day_intervals(draw: st.DrawFn) -> tuple[tuple[int, int], ...]:
    """Draw up to three intervals of a day, which may touch."""
    bounds = draw(st.lists(st.integers(0, 1440), max_size=6, unique=True))
    ordered = sorted(bounds)[: len(bounds) // 2 * 2]
    return tuple(zip(ordered[::2], ordered[1::2], strict=True))


@st.composite
def business_hours(draw: st.DrawFn) -> BusinessHours:
    """Draw hours that are open on each Wednesday at least."""
    weekly = [draw(day_intervals()) for _ in range(7)]
    weekly[2] = ((540, 1020),)
    days = st.dates(date(2025, 1, 1), date(2028, 12, 31))
    return BusinessHours(
        time_zone=draw(st.sampled_from(ZONES)),
        weekly=tuple(weekly),
        exceptions=draw(st.dictionaries(days, day_intervals(), max_size=5)),
    )


@given(business_hours(), INSTANTS, DURATIONS)
def test_an_added_duration_is_found_between_start_and_end(
    hours: BusinessHours, start: datetime, duration: timedelta
) -> None:
    end = business_add(hours, start, duration)
    assert end is not None
    assert business_between(hours, start, end) == duration


@given(business_hours(), INSTANTS, DURATIONS)
def test_the_end_is_the_earliest_instant(
    hours: BusinessHours, start: datetime, duration: timedelta
) -> None:
    end = business_add(hours, start, duration)
    assert end is not None
    if end > start:
        assert business_between(hours, start, end - timedelta(microseconds=1)) < duration


@given(business_hours(), INSTANTS, DURATIONS, DURATIONS)
def test_periods_that_follow_one_another_add_up(
    hours: BusinessHours, start: datetime, first: timedelta, second: timedelta
) -> None:
    middle, end = start + first, start + first + second
    parts = business_between(hours, start, middle) + business_between(hours, middle, end)
    assert business_between(hours, start, end) == parts


@settings(max_examples=30, deadline=None)
@given(business_hours(), INSTANTS, st.integers(0, 3 * 24 * 60))
def test_counting_minute_by_minute_gives_the_same(
    hours: BusinessHours, instant: datetime, minutes: int
) -> None:
    start = instant.replace(second=0, microsecond=0)
    counted = sum(is_open(hours, start + n * MINUTE) for n in range(minutes))
    assert business_between(hours, start, start + minutes * MINUTE) == counted * MINUTE


@given(st.sampled_from(ZONES), INSTANTS, DURATIONS)
def test_a_calendar_that_is_always_open_loses_no_minute(
    zone: str, start: datetime, duration: timedelta
) -> None:
    always = BusinessHours(time_zone=zone, weekly=(((0, 1440),),) * 7)
    assert business_between(always, start, start + duration) == duration
    assert business_add(always, start, duration) == start + duration


@given(business_hours(), INSTANTS)
def test_a_minute_is_open_as_the_wall_clock_says(hours: BusinessHours, instant: datetime) -> None:
    assert hours.is_open(instant) == is_open(hours, instant)


def is_open(hours: BusinessHours, instant: datetime) -> bool:
    local = instant.astimezone(ZoneInfo(hours.time_zone))
    intervals = hours.exceptions.get(local.date(), hours.weekly[local.weekday()])
    minute = local.hour * 60 + local.minute
    return any(first <= minute < last for first, last in intervals)


def parse(
    intervals: Mapping[str, Sequence[Sequence[str]]],
    exceptions: Mapping[str, Sequence[Sequence[str]]] | None = None,
    zone: str = "Europe/Berlin",
) -> BusinessHours:
    return parse_hours(zone, intervals, exceptions or {}, NOW)


def test_hours_are_formatted_as_they_were_parsed() -> None:
    hours = parse(
        {"fri": [["13:30", "24:00"], ["00:00", "12:30"]]},
        {"2026-12-25": [], "2026-03-15": [["10:00", "11:00"]]},
    )
    assert format_weekly(hours)["fri"] == [["00:00", "12:30"], ["13:30", "24:00"]]
    assert format_weekly(hours)["mon"] == []
    assert format_exceptions(hours) == {"2026-03-15": [["10:00", "11:00"]], "2026-12-25": []}


def test_intervals_may_touch() -> None:
    assert parse({"mon": [["09:00", "12:00"], ["12:00", "17:00"]]}).weekly[0] == (
        (540, 720),
        (720, 1020),
    )


@pytest.mark.parametrize(
    ("intervals", "exceptions", "path"),
    [
        ({"monday": [["09:00", "17:00"]]}, {}, "intervals.monday"),
        ({"mon": [["17:00", "09:00"]]}, {}, "intervals.mon"),
        ({"mon": [["09:00", "09:00"]]}, {}, "intervals.mon"),
        ({"mon": [["09:00", "12:00"], ["11:59", "17:00"]]}, {}, "intervals.mon"),
        ({"mon": [["24:00", "24:00"]]}, {}, "intervals.mon"),
        ({"mon": [["09:00", "17:00"]]}, {"2026-02-30": []}, "exceptions.2026-02-30"),
        ({"mon": [["09:00", "17:00"]]}, {"1969-12-31": []}, "exceptions.1969-12-31"),
        ({"mon": [["09:00", "17:00"]]}, {"9999-01-01": []}, "exceptions.9999-01-01"),
        ({"mon": [["09:00", "17:00"]]}, {"25.12.2026": []}, "exceptions.25.12.2026"),
        ({"mon": [["09:00", "17:00"]]}, {"20261225": []}, "exceptions.20261225"),
        ({}, {}, "intervals"),
        ({"mon": []}, {"2030-01-01": [["09:00", "17:00"]]}, "intervals"),
    ],
)
def test_wrong_hours_are_refused_with_the_field(
    intervals: Mapping[str, Sequence[Sequence[str]]],
    exceptions: Mapping[str, Sequence[Sequence[str]]],
    path: str,
) -> None:
    with pytest.raises(Invalid) as caught:
        parse(intervals, exceptions)
    assert list(caught.value.field_errors) == [path]


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(Invalid) as caught:
        parse({"mon": [["09:00", "17:00"]]}, zone="Europe/Atlantis")
    assert list(caught.value.field_errors) == ["time_zone"]


def test_hours_that_open_once_within_400_days_are_accepted() -> None:
    hours = parse({}, {"2027-04-01": [["09:00", "09:01"]]})
    assert business_add(hours, NOW, MINUTE) == datetime(2027, 4, 1, 7, 1, tzinfo=UTC)
    assert business_add(hours, NOW, 2 * MINUTE) is None


def test_too_many_exceptions_are_refused() -> None:
    first = date(2026, 1, 1)
    days = {f"{first + timedelta(days=n)}": [["09:00", "17:00"]] for n in range(1_001)}
    with pytest.raises(Invalid) as caught:
        parse({}, days)
    assert caught.value.field_errors == {"exceptions": ["must have at most 1,000 entries"]}
