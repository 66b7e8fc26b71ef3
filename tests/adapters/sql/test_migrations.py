"""Schema revisions: applied, complete, and checked."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import text

from tests.adapters.sql.drift import schema_drift
from tests.contract.factories import ManualClock, a_job, keep
from workbell.adapters.sql.schema import upgrade as revisions
from workbell.adapters.sql.schema.tables import TABLE_PREFIX, metadata
from workbell.adapters.sql.store import SqlStore, open_store
from workbell.domain.errors import Unavailable

pytestmark = pytest.mark.unit


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    opened = open_store(f"sqlite:///{tmp_path}/store.db", ManualClock())
    yield opened
    opened.close()


def set_revision(store: SqlStore, revision: str) -> None:
    with store._connections.writing() as db:
        db.execute(text("UPDATE workbell_schema_version SET version_num = :to"), {"to": revision})


def test_an_empty_file_gets_every_table(store: SqlStore, tmp_path: Path) -> None:
    assert store.schema_version() == ""
    store.migrate()
    assert store.schema_version() == revisions.newest()
    store.check_schema()
    with store._connections.reading() as db:
        found = set(
            db.exec_driver_sql("SELECT name FROM sqlite_master WHERE type='table'").scalars()
        )
    assert set(metadata.tables) <= found
    assert [path.name for path in tmp_path.glob("*.bak")] == []


def test_the_revisions_read_are_those_that_alembic_runs() -> None:
    scripts = ScriptDirectory.from_config(revisions._config())
    newest_first = [script.revision for script in scripts.walk_revisions()]
    assert list(revisions.known()) == newest_first[::-1]


def test_every_table_index_and_constraint_is_named_after_the_package() -> None:
    for table in metadata.sorted_tables:
        names = {table.name, *(str(index.name) for index in table.indexes)}
        names |= {str(constraint.name) for constraint in table.constraints}
        assert all(name.startswith(TABLE_PREFIX) for name in names), names


def test_the_revisions_make_what_the_metadata_says(store: SqlStore) -> None:
    store.migrate()
    with store._connections.reading() as db:
        assert schema_drift(db) == []


def test_drift_would_be_found(store: SqlStore) -> None:
    store.migrate()
    with store._connections.writing() as db:
        db.exec_driver_sql("DROP INDEX workbell_jobs_claim_idx")
        db.exec_driver_sql("ALTER TABLE workbell_metadata ADD COLUMN more TEXT")
    with store._connections.reading() as db:
        assert len(schema_drift(db)) == 2


def test_the_indexes_are_exactly_those_of_the_metadata(store: SqlStore, tmp_path: Path) -> None:
    """Alembic compares neither conditions nor the order of columns; this does."""
    store.migrate()
    made = open_store(f"sqlite:///{tmp_path}/made.db", ManualClock())
    with made._connections.writing() as db:
        metadata.create_all(db)
    query = text("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    with store._connections.reading() as ours, made._connections.reading() as theirs:
        migrated: dict[str, str] = dict(ours.execute(query).all())
        declared: dict[str, str] = dict(theirs.execute(query).all())
    made.close()
    assert migrated == {n: sql for n, sql in declared.items() if not n.endswith("_plain")}


def test_migrating_twice_changes_nothing(store: SqlStore, tmp_path: Path) -> None:
    store.migrate()
    keep(store, a_job())
    store.migrate()
    assert keep(store, a_job())[0].id == 2
    assert [path.name for path in tmp_path.glob("*.bak")] == []


def test_a_newer_schema_is_refused_with_an_explanation(store: SqlStore) -> None:
    store.migrate()
    set_revision(store, "9999")
    for refused in (store.migrate, store.check_schema):
        with pytest.raises(Unavailable, match=r"9999.*newer than this program"):
            refused()
    assert store.schema_version() == "9999"


def test_a_schema_that_is_missing_is_named(store: SqlStore) -> None:
    with pytest.raises(Unavailable, match="run `workbell migrate` first"):
        store.check_schema()


def test_a_backup_is_taken_before_a_later_revision(
    store: SqlStore, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    assert store.migrate() == revisions.SchemaMigration(None, "0001")
    keep(store, a_job(name="precious"))
    later = request.getfixturevalue("next_revision")
    with pytest.raises(Unavailable, match=r"0001 and needs next: run `workbell migrate` first"):
        store.check_schema()
    assert store.migrate() == revisions.SchemaMigration("0001", later)
    store.check_schema()
    assert store.migrate() is None
    (backup,) = tmp_path.glob("*.bak")
    assert backup.name == "store.db.0001.20300101T120000Z.bak"
    copy = open_store(f"sqlite:///{backup}", ManualClock())
    with copy.view() as tx:
        assert tx.jobs.next_due() is None
        assert tx.jobs.waiting_queues() == ["default"]
    copy.close()


def test_an_upgrade_that_fails_leaves_nothing_behind(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = command.upgrade

    def failing(*arguments: object) -> None:
        plain(*arguments)  # type: ignore[arg-type]
        raise ZeroDivisionError

    monkeypatch.setattr(command, "upgrade", failing)
    with pytest.raises(ZeroDivisionError):
        store.migrate()
    assert store.schema_version() == ""
    monkeypatch.undo()
    store.migrate()
    assert store.schema_version() == revisions.newest()


def test_rows_without_their_parent_stop_an_upgrade(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.migrate()
    monkeypatch.setattr(revisions, "newest", lambda: "later")

    def orphaning(config: object, to: str) -> None:
        config.attributes["connection"].exec_driver_sql(  # type: ignore[attr-defined]
            "INSERT INTO workbell_artifacts VALUES (99, 'a', 'b', 1, 'c', 'd')"
        )

    monkeypatch.setattr(command, "upgrade", orphaning)
    with pytest.raises(Unavailable, match="without their parent"):
        store.migrate()


def test_processes_that_migrate_at_once_do_it_once(tmp_path: Path) -> None:
    stores = [open_store(f"sqlite:///{tmp_path}/one.db", ManualClock()) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(each.migrate) for each in stores]:
            done.result(30)
    for each in stores:
        each.check_schema()
        each.close()
