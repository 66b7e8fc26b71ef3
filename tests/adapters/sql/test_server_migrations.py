"""Revisions on servers: complete, applied once, repeatable."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import op
from sqlalchemy import insert, inspect

from tests.adapters.sql.drift import schema_drift
from tests.contract.factories import (
    ManualClock,
    a_job,
    a_schedule,
    a_user,
    claim,
    ended,
    keep,
    write,
)
from tests.contract.servers import SERVERS, address, drop_database, new_database
from workbell.adapters.sql.identity.users import _user_values as user_values
from workbell.adapters.sql.schedules.rows import schedule_values
from workbell.adapters.sql.schema import upgrade as revisions
from workbell.adapters.sql.schema.tables import metadata, schedules, users
from workbell.adapters.sql.store import SqlStore, open_store
from workbell.domain.errors import Unavailable

pytestmark = pytest.mark.integration


@pytest.fixture(params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    """Return each kind of server."""
    kind: str = request.param
    return kind


@pytest.fixture
def url(kind: str) -> Iterator[str]:
    """Return the address of a database without tables."""
    made = new_database(kind)
    yield address(made)
    assert made.database is not None
    drop_database(kind, made.database)


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    """Return a store that was not migrated yet."""
    opened = open_store(url, ManualClock(), pool_size=4)
    yield opened
    opened.close()


def tables(store: SqlStore) -> set[str]:
    with store._connections.reading() as db:
        return set(inspect(db).get_table_names())


def run(store: SqlStore, *statements: str) -> None:
    with store._connections.migrating() as db:
        for statement in statements:
            db.exec_driver_sql(statement)


def test_the_revisions_make_what_the_metadata_says(store: SqlStore) -> None:
    assert store.schema_version() == ""
    with pytest.raises(Unavailable, match="run `workbell migrate` first"):
        store.check_schema()
    store.migrate()
    store.check_schema()
    assert set(metadata.tables) <= tables(store)
    with store._connections.migrating() as db:
        assert schema_drift(db) == []


def test_drift_would_be_found(store: SqlStore, kind: str) -> None:
    store.migrate()
    if kind == "postgresql":
        run(
            store,
            "DROP INDEX workbell_jobs_claim_idx",
            "ALTER TABLE workbell_metadata ADD COLUMN more TEXT",
        )
    else:
        run(
            store,
            "DROP INDEX workbell_jobs_claim_idx_plain ON workbell_jobs",
            "ALTER TABLE workbell_metadata ADD more TEXT",
        )
    with store._connections.migrating() as db:
        assert len(schema_drift(db)) == 2


def test_a_later_revision_is_applied_to_tables_with_rows(
    store: SqlStore, request: pytest.FixtureRequest
) -> None:
    store.migrate()
    with store._connections.writing() as db:
        db.execute(insert(schedules).values(schedule_values(a_schedule())))
        db.execute(insert(users).values(user_values(a_user())))
    keep(store, a_job(), a_job())
    write(store, *[ended(each) for each in claim(store, limit=1)])
    later = request.getfixturevalue("next_revision")
    assert store.migrate() == revisions.SchemaMigration("0001", later)
    store.check_schema()
    with store._connections.migrating() as db:
        assert len(schema_drift(db)) == 1  # the column that the metadata lacks
        assert db.exec_driver_sql("SELECT COUNT(*) FROM workbell_jobs").scalar() == 2
    assert len(claim(store)) == 1


def test_migrating_twice_changes_nothing(store: SqlStore) -> None:
    store.migrate()
    keep(store, a_job())
    store.migrate()
    assert len(claim(store)) == 1


def test_a_newer_schema_is_refused(store: SqlStore) -> None:
    store.migrate()
    run(store, "UPDATE workbell_schema_version SET version_num = '9999'")
    for refused in (store.migrate, store.check_schema):
        with pytest.raises(Unavailable, match=r"9999.*newer than this program"):
            refused()


def test_processes_that_migrate_at_once_do_it_once(url: str) -> None:
    stores = [open_store(url, ManualClock(), pool_size=2) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(each.migrate) for each in stores]:
            done.result(60)
    for each in stores:
        each.check_schema()
        each.close()


@pytest.mark.parametrize("after", [1, 5, 14, 29, 30, 37])
def test_an_interrupted_upgrade_is_repeated(
    store: SqlStore, kind: str, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL rolls back an interrupted upgrade; on MySQL its empty tables are recreated."""
    left = after
    with monkeypatch.context() as patch:

        def counting(name: str) -> None:
            plain = getattr(op, name)

            def maybe(*arguments: object, **more: object) -> object:
                nonlocal left
                if not left:
                    raise KeyboardInterrupt
                left -= 1
                return plain(*arguments, **more)

            patch.setattr(op, name, maybe)

        counting("create_table")
        counting("create_index")
        with pytest.raises(KeyboardInterrupt):
            store.migrate()
    if kind == "postgresql":
        assert tables(store) == set()
    store.migrate()
    store.check_schema()
    with store._connections.migrating() as db:
        assert schema_drift(db) == []


def test_unrecorded_tables_with_rows_are_not_dropped(store: SqlStore, kind: str) -> None:
    store.migrate()
    keep(store, a_job())
    run(store, "DELETE FROM workbell_schema_version")
    with pytest.raises(Exception, match=r"has rows, but no recorded|already exists"):
        store.migrate()
    assert len(claim(store)) == 1
