"""Stretches of constant offset, and the version of the time zone database."""

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from workbell.domain import cron_zones
from workbell.domain.cron_zones import minute_of, moment_of, stretches, tzdata_version

pytestmark = pytest.mark.unit


def found(zone: str, begin: datetime, end: datetime) -> list[tuple[str, int, int]]:
    """Return the starts, offsets and signed jumps of the stretches in a range."""
    return [
        (f"{moment_of(s.start):%Y-%m-%d %H:%M}", s.offset, s.first_wall - s.seen)
        for s in stretches(
            zone, minute_of(begin.replace(tzinfo=UTC)), minute_of(end.replace(tzinfo=UTC))
        )
    ]


def test_a_gap_jumps_forward_and_an_overlap_back() -> None:
    year = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    assert found("Europe/Berlin", *year) == [
        ("2026-01-01 00:00", 60, 0),
        ("2026-03-29 01:00", 120, 60),
        ("2026-10-25 01:00", 60, -60),
    ]
    assert found("Australia/Lord_Howe", *year)[1:] == [
        ("2026-04-04 15:00", 630, -30),
        ("2026-10-03 15:30", 660, 30),
    ]
    assert found("UTC", *year) == [("2026-01-01 00:00", 0, 0)]


def test_a_whole_day_can_be_missing() -> None:
    december = datetime(2011, 12, 30, tzinfo=UTC), datetime(2012, 1, 2, tzinfo=UTC)
    assert found("Pacific/Apia", *december) == [
        ("2011-09-24 14:00", -600, 60),
        ("2011-12-30 10:00", 840, 1440),
        ("2012-01-01 00:00", 840, 0),
    ]


def test_an_overlap_may_end_with_the_year() -> None:
    """Morocco put its clock back from midnight, an hour before New Year in UTC."""
    new_year = datetime(1985, 12, 31, tzinfo=UTC), datetime(1986, 1, 2, tzinfo=UTC)
    assert found("Africa/Casablanca", *new_year)[1:] == [
        ("1985-12-31 23:00", 0, -60),
        ("1986-01-01 00:00", 0, 0),
    ]


def test_nothing_stretches_over_an_empty_range() -> None:
    assert list(stretches("UTC", 5, 5)) == []


@pytest.fixture(name="path")
def _path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cron_zones, "TZPATH", ("/nowhere", str(tmp_path)))
    tzdata_version.cache_clear()
    return tmp_path


def test_the_database_is_named_by_the_system(path: Path) -> None:
    (path / "tzdata.zi").write_text("# version 2031b\nR x\n")
    assert tzdata_version() == "2031b"


def test_a_database_without_a_name_is_known_by_its_checksum(path: Path) -> None:
    london = path / "Europe" / "London"
    london.parent.mkdir()
    london.write_bytes(b"TZif one")
    first = tzdata_version()
    london.write_bytes(b"TZif two")
    tzdata_version.cache_clear()
    assert first.startswith("crc32-")
    assert tzdata_version() != first


def test_without_a_database_the_package_is_asked(path: Path) -> None:
    assert tzdata_version() == version("tzdata")


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    tzdata_version.cache_clear()
