"""Local days: dates by zone, and periods split at local midnights."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbell.domain.errors import Invalid
from workbell.domain.goals.local_days import local_day, split_by_local_day

pytestmark = pytest.mark.unit

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Havana",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Africa/Casablanca",
]
SECOND = timedelta(seconds=1)
INSTANTS = st.integers(631_152_000, 2_051_222_400).map(lambda s: datetime.fromtimestamp(s, UTC))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_an_instant_has_the_date_of_its_zone() -> None:
    late = at("2026-03-01 23:30")
    assert local_day(late, "UTC") == date(2026, 3, 1)
    assert local_day(late, "Asia/Kolkata") == date(2026, 3, 2)
    assert local_day(late, "America/New_York") == date(2026, 3, 1)


def test_a_period_is_split_at_local_midnight() -> None:
    assert split_by_local_day(at("2026-03-01 22:00"), at("2026-03-02 01:30"), "UTC") == (
        (date(2026, 3, 1), 7200),
        (date(2026, 3, 2), 5400),
    )
    assert split_by_local_day(at("2026-03-01 22:00"), at("2026-03-02 01:30"), "Asia/Kolkata") == (
        (date(2026, 3, 2), 12600),
    )


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
        ("America/Sao_Paulo", date(2018, 11, 4), 23),  # midnight itself was left out
    ],
)
def test_days_of_23_and_25_hours_have_their_actual_length(
    zone: str, day: date, hours: float
) -> None:
    middle = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    result = dict(split_by_local_day(middle - timedelta(days=2), middle + timedelta(days=2), zone))
    assert result[day] == hours * 3600


def test_a_skipped_date_gets_no_seconds() -> None:
    result = split_by_local_day(at("2011-12-28 10:00"), at("2012-01-01 10:00"), "Pacific/Apia")
    assert date(2011, 12, 30) not in dict(result)
    assert sum(seconds for _, seconds in result) == 4 * 86400


def test_a_date_that_occurs_twice_is_merged() -> None:
    """St. John's set its clock back at 00:01, into the previous day."""
    result = split_by_local_day(at("2006-10-29 01:00"), at("2006-10-29 05:00"), "America/St_Johns")
    assert result == ((date(2006, 10, 28), 9000 - 60), (date(2006, 10, 29), 5400 + 60))


def test_an_empty_period_has_no_days() -> None:
    moment = at("2026-03-01 22:00") + timedelta(seconds=30)
    assert split_by_local_day(moment, moment, "Europe/Berlin") == ()


def test_an_unknown_zone_is_rejected() -> None:
    for refused in (
        lambda: local_day(at("2026-03-01 22:00"), "Mars/Base"),
        lambda: split_by_local_day(at("2026-03-01 22:00"), at("2026-03-01 22:00"), "Mars/Base"),
    ):
        with pytest.raises(Invalid, match="time_zone"):
            refused()


@given(
    zone=st.sampled_from(ZONES),
    start=INSTANTS,
    length=st.timedeltas(timedelta(0), timedelta(days=9)),
)
def test_the_seconds_add_up_to_the_length_of_the_period(
    zone: str, start: datetime, length: timedelta
) -> None:
    result = split_by_local_day(start, start + length, zone)
    days = [day for day, _ in result]
    assert sum(seconds for _, seconds in result) == length // SECOND
    assert days == sorted(set(days))
    assert all(seconds > 0 for _, seconds in result)


@given(
    zone=st.sampled_from(ZONES),
    start=INSTANTS,
    minutes=st.integers(1, 3000),
)
def test_each_minute_counts_on_its_own_date(zone: str, start: datetime, minutes: int) -> None:
    start = start.replace(second=0, microsecond=0)
    counted: dict[date, int] = {}
    for passed in range(minutes):
        day = local_day(start + timedelta(minutes=passed), zone)
        counted[day] = counted.get(day, 0) + 60
    assert dict(split_by_local_day(start, start + timedelta(minutes=minutes), zone)) == counted
