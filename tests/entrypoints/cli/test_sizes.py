"""`workbell check` names what is large."""

from pathlib import Path

import pytest

from tests.contract.factories import ManualClock, a_schedule
from workbell.adapters.sql.schema.tables import metadata
from workbell.adapters.sql.store import open_store
from workbell.entrypoints.cli import sizes

pytestmark = pytest.mark.unit


def test_large_tables_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "MANY_ROWS", 2)
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}", ManualClock())
    store.migrate()
    for expected in ([], [], ["workbell_schedules"]):
        with store.begin() as tx:
            tx.schedules.add(a_schedule())
        assert [table for table, _ in sizes.find_large_tables(store)] == expected
    store.close()


def test_every_named_table_exists() -> None:
    assert set(metadata.tables) >= set(sizes.LARGE_TABLES)


def test_a_folder_of_many_files_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "MANY_FILES", 1)
    assert not sizes.has_many_files(tmp_path / "missing")
    for expected, name in ((False, "a"), (True, "b")):
        (tmp_path / name).touch()
        assert sizes.has_many_files(tmp_path) is expected
