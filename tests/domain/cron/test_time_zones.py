"""Periods of constant UTC offset, and the version of the database."""

from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo, reset_tzpath

import pytest

from workbell.domain.cron.time_zones import (
    from_minutes,
    load_zone,
    offset_periods,
    to_minutes,
    tzdata_version,
)
from workbell.domain.errors import Invalid

pytestmark = pytest.mark.unit


def list_periods(zone: str, begin: datetime, end: datetime) -> list[tuple[str, int, int]]:
    """Return the starts, offsets and signed jumps of the periods in a range."""
    return [
        (f"{from_minutes(s.start):%Y-%m-%d %H:%M}", s.offset, s.wall_start - s.wall_seen)
        for s in offset_periods(
            zone, to_minutes(begin.replace(tzinfo=UTC)), to_minutes(end.replace(tzinfo=UTC))
        )
    ]


def test_wall_clocks_jump_forward_at_gaps_and_back_at_overlaps() -> None:
    year = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    assert list_periods("Europe/Berlin", *year) == [
        ("2026-01-01 00:00", 60, 0),
        ("2026-03-29 01:00", 120, 60),
        ("2026-10-25 01:00", 60, -60),
    ]
    assert list_periods("Australia/Lord_Howe", *year)[1:] == [
        ("2026-04-04 15:00", 630, -30),
        ("2026-10-03 15:30", 660, 30),
    ]
    assert list_periods("UTC", *year) == [("2026-01-01 00:00", 0, 0)]


def test_a_zone_can_skip_a_whole_day() -> None:
    december = datetime(2011, 12, 30, tzinfo=UTC), datetime(2012, 1, 2, tzinfo=UTC)
    assert list_periods("Pacific/Apia", *december) == [
        ("2011-09-24 14:00", -600, 60),
        ("2011-12-30 10:00", 840, 1440),
        ("2012-01-01 00:00", 840, 0),
    ]


def test_an_overlap_can_end_at_new_year() -> None:
    """Morocco set its clock back at midnight, an hour before New Year in UTC."""
    new_year = datetime(1985, 12, 31, tzinfo=UTC), datetime(1986, 1, 2, tzinfo=UTC)
    assert list_periods("Africa/Casablanca", *new_year)[1:] == [
        ("1985-12-31 23:00", 0, -60),
        ("1986-01-01 00:00", 0, 0),
    ]


def test_an_empty_range_has_no_periods() -> None:
    assert list(offset_periods("UTC", 5, 5)) == []


def test_zones_come_from_the_tzdata_package_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utc = (files("tzdata") / "zoneinfo" / "UTC").read_bytes()
    (tmp_path / "Europe").mkdir()
    (tmp_path / "Europe" / "Berlin").write_bytes(utc)
    (tmp_path / "Mars").write_bytes(utc)
    summer = datetime(2026, 7, 1, tzinfo=UTC)
    reset_tzpath([tmp_path])
    load_zone.cache_clear()
    try:
        assert summer.astimezone(ZoneInfo.no_cache("Europe/Berlin")).hour == 0
        assert summer.astimezone(load_zone("Europe/Berlin")).hour == 2
        with pytest.raises(Invalid):
            load_zone("Mars")
    finally:
        reset_tzpath()
    assert tzdata_version() == version("tzdata")


@pytest.mark.parametrize("name", ["../zones", "Europe", "Factory", "localtime", "", "/etc/passwd"])
def test_unknown_zone_names_are_rejected(name: str) -> None:
    with pytest.raises(Invalid, match="not a known time zone"):
        load_zone(name)
