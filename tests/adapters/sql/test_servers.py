"""Server databases: pools, isolation, lost connections and server time."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from sqlalchemy import make_url

from tests.contract.factories import (
    ALICE,
    NOON,
    ManualClock,
    a_job,
    a_schedule,
    a_user,
    claim,
    keep,
    see,
)
from tests.contract.servers import SERVERS, Server, address, administration, server
from workbell.adapters.sql.database import server as servers
from workbell.adapters.sql.database.server import ServerConnections
from workbell.adapters.sql.jobs.repository import SqlJobRepository
from workbell.adapters.sql.store import SqlStore, open_store
from workbell.adapters.sql.strategies import STRATEGIES
from workbell.adapters.system import AnchoredClock, SystemClock
from workbell.domain.errors import Conflict, Contended, Invalid, Unavailable
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.jobs.job import JobState
from workbell.domain.jobs.task import Task
from workbell.domain.schedules.ticks import FastPathStep
from workbell.ports.jobs.views import JobFilter
from workbell.ports.schedules.views import ScheduleFilter

pytestmark = pytest.mark.integration


@pytest.fixture(params=SERVERS)
def database(request: pytest.FixtureRequest) -> Server:
    """Return a database on each kind of server."""
    return server(request.param)


@pytest.fixture
def store(database: Server) -> Iterator[SqlStore]:
    """Return an empty store with connections of its own."""
    database.store(ManualClock())
    opened = open_store(address(database.url), ManualClock(), pool_size=4)
    yield opened
    opened.close()


def scalar(store: SqlStore, statement: str, *, writing: bool = True) -> Any:
    connections = store._connections
    with connections.writing() if writing else connections.reading() as db:
        return db.exec_driver_sql(statement).scalar()


def cut(store: SqlStore, database: Server) -> None:
    """Close every connection to the database from the server's side."""
    name = database.url.database
    with administration(database.kind) as db:
        if database.kind == "postgresql":
            db.exec_driver_sql(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            )
            return
        ids = db.exec_driver_sql(
            f"SELECT id FROM information_schema.processlist WHERE db = '{name}'"
        )
        for number in ids.scalars().all():
            db.exec_driver_sql(f"KILL {number}")


def test_writers_read_what_other_transactions_commit(store: SqlStore, database: Server) -> None:
    question = {
        "postgresql": "SHOW transaction_isolation",
        "mariadb": "SELECT REPLACE(LOWER(@@tx_isolation), '-', ' ')",
    }[database.kind]
    for _ in range(2):
        assert scalar(store, question) == "read committed"
    with store.begin() as tx:
        assert tx.jobs.count(ALL_OWNERS, JobFilter()) == 0
        other = Thread(target=lambda: keep(store, a_job()))
        other.start()
        other.join()
        assert tx.jobs.count(ALL_OWNERS, JobFilter()) == 1


def test_statements_and_locks_have_time_limits(store: SqlStore, database: Server) -> None:
    if database.kind == "postgresql":
        limits = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        assert [scalar(store, f"SHOW {each}") for each in limits] == ["30s", "10s", "1min"]
    else:
        assert scalar(store, "SELECT @@innodb_lock_wait_timeout") == 10
        assert scalar(store, "SELECT @@max_statement_time") == 30


def test_an_update_that_changes_nothing_counts_its_row(store: SqlStore) -> None:
    """A lease renewed to the same moment is not lost."""
    keep(store, a_job())
    (work,) = claim(store)
    for _ in range(2):
        with store.begin() as tx:
            assert tx.jobs.renew_leases([(work.id, work.token)], NOON) == {work.id: False}
            before = tx.jobs.get_for_update(ALL_OWNERS, work.id)
            assert tx.jobs.replace(before, before)


def test_time_is_the_time_of_the_server(store: SqlStore) -> None:
    """The store was opened with a clock fixed in 2030."""
    assert abs(store.time() - SystemClock().now()) < timedelta(seconds=5)
    clock = AnchoredClock(store.time)
    store.clock = clock
    assert abs(store.time() - clock.now()) < timedelta(seconds=1)


def test_connections_cut_while_idle_are_replaced(
    store: SqlStore, database: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "IDLE_SECONDS", 0.0)
    kept = []
    for n in range(3):
        kept += keep(store, a_job(name=str(n)))
        store.ping()
        cut(store, database)
    kept += keep(store, a_job())
    store.ping()
    with store.view() as tx:
        assert [tx.jobs.get(ALL_OWNERS, job.id) for job in kept] == kept


def test_after_an_error_the_next_transaction_has_a_new_connection(
    store: SqlStore, database: Server
) -> None:
    def cut_while_writing() -> None:
        with store.begin() as tx:
            tx.jobs.add([a_job(name="lost")], NOON)
            cut(store, database)
            tx.jobs.add([a_job(name="lost, too")], NOON)

    def cut_while_reading() -> None:
        with store.view() as tx:
            tx.jobs.next_due()
            cut(store, database)
            tx.jobs.next_due()

    with pytest.raises(Unavailable):
        cut_while_writing()
    (kept,) = keep(store, a_job(name="kept"))
    with store.view() as tx:
        assert [job.id for job in tx.jobs.find(ALL_OWNERS, JobFilter())] == [kept.id]
    with pytest.raises(Unavailable):
        cut_while_reading()
    store.ping()


def test_after_an_error_of_a_prepared_statement_the_next_transaction_has_a_new_connection(
    store: SqlStore, database: Server
) -> None:
    def cut_while_counting() -> None:
        with store.begin() as first:
            first.schedules.count_active(ALICE, limit=9)
            cut(store, database)
            first.schedules.count_active(ALICE, limit=9)

    with pytest.raises(Unavailable):
        cut_while_counting()
    with store.begin() as tx:
        assert tx.schedules.count_active(ALICE, limit=9) == 0


def test_a_connection_without_a_begin_commits_when_its_caller_does(store: SqlStore) -> None:
    connections = store._connections
    assert isinstance(connections, ServerConnections)
    with connections._writers._engine.connect() as db:
        with store.in_transaction_of(db).begin() as tx:
            tx.schedules.add(a_schedule(name="undone"))
        db.rollback()
        with store.in_transaction_of(db).begin() as tx:
            tx.schedules.add(a_schedule(name="kept"))
        db.commit()
    with store.view() as tx:
        (listed,), total, _ = tx.schedules.list_page(ALL_OWNERS, ScheduleFilter())
    assert (listed.name, total) == ("kept", 1)


def test_an_unreachable_server_is_unavailable(database: Server) -> None:
    away = open_store(address(database.url.set(port=1)), ManualClock())
    for ask in (away.ping, away.time, away.schema_version, lambda: keep(away, a_job())):
        with pytest.raises(Unavailable, match="does not answer"):
            ask()
    away.close()


def test_an_exhausted_pool_is_unavailable(
    database: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "POOL_SECONDS", 0.2)
    small = open_store(address(database.url), ManualClock(), pool_size=2)
    inside, done = Event(), Event()

    def hold() -> None:
        with small.begin() as tx:
            tx.jobs.next_due()
            inside.set()
            done.wait(10)

    thread = Thread(target=hold)
    thread.start()
    assert inside.wait(10)
    with pytest.raises(Unavailable), small.begin() as tx:
        tx.jobs.next_due()
    done.set()
    thread.join()
    small.close()


def test_a_pool_opens_no_more_connections_than_it_may(store: SqlStore) -> None:
    connections = store._connections
    assert isinstance(connections, ServerConnections)
    engines = (connections._writers._engine, connections._readers._engine)
    sizes = [each.pool.size() for each in engines]  # type: ignore[attr-defined]
    assert sum(sizes) == 4


def test_readers_share_few_connections_without_waiting_needlessly(
    database: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that waits for the pool gets a connection that another thread releases."""
    monkeypatch.setattr(servers, "POOL_SECONDS", 5)
    small = open_store(address(database.url), ManualClock(), pool_size=4)

    def read(_: int) -> None:
        for _ in range(100):
            with small.view() as tx:
                tx.schedules.count_active(ALICE, limit=9)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, range(8)))
    connections = small._connections
    assert isinstance(connections, ServerConnections)
    assert 1 <= len(connections._readers._idle) <= 2
    assert connections._readers._waiting == []
    small.close()
    assert connections._readers._idle == []


def test_a_value_that_does_not_fit_is_invalid(store: SqlStore) -> None:
    with pytest.raises(Invalid, match="cannot be stored"):
        keep(store, a_job(name="x" * 300))
    with pytest.raises(Invalid, match="cannot be stored"), store.begin() as tx:
        tx.schedules.add(a_schedule(name="x" * 300))


def test_a_row_without_its_parent_is_a_conflict(store: SqlStore) -> None:
    with pytest.raises(Conflict), store.begin() as tx:
        tx.db.exec_driver_sql("INSERT INTO workbell_artifacts VALUES (99, 'a', 'b', 1, 'c', 'd')")


def test_a_callers_own_transaction_is_not_begun_again(store: SqlStore, database: Server) -> None:
    """A deadlock undoes the caller's work, too: only they can do it again."""
    with store._connections.reading() as db:
        joined = store.in_transaction_of(db)
        with pytest.raises(Unavailable) as caught, joined.begin():
            raise_deadlock(database)
    assert not isinstance(caught.value, Contended)


def raise_deadlock(database: Server) -> None:
    from sqlalchemy.exc import OperationalError

    if database.kind == "postgresql":
        from psycopg.errors import DeadlockDetected

        raise OperationalError("", {}, DeadlockDetected())
    errors = import_module("pymysql.err")
    raise OperationalError("", {}, errors.OperationalError(1213, "Deadlock found"))


def test_jobs_are_committed_with_the_callers_transaction(store: SqlStore) -> None:
    connections = store._connections
    assert isinstance(connections, ServerConnections)
    with connections._writers._engine.begin() as connection:
        (one,) = SqlJobRepository(connection, STRATEGIES[connection.dialect.name]).add(
            [a_job(name="mine")], NOON
        )
        many = SqlJobRepository(connection, STRATEGIES[connection.dialect.name]).add(
            [a_job(), a_job()], NOON
        )
    assert one is not None
    assert see(store, one) == one
    assert [job.state for job in many if job] == [JobState.READY, JobState.READY]
    with connections._writers._engine.connect() as connection:
        SqlJobRepository(connection, STRATEGIES[connection.dialect.name]).add(
            [a_job(name="mine")], NOON
        )
        connection.rollback()
    with store.view() as tx:
        assert tx.jobs.count(ALL_OWNERS, JobFilter()) == 3


def test_postgresql_is_the_only_server_with_a_fast_path_for_ticks(
    store: SqlStore, database: Server
) -> None:
    with store.begin() as tx:
        schedule = tx.schedules.add(a_schedule())
        step = FastPathStep(schedule.id, schedule.version, NOON, NOON + timedelta(hours=1))
        task = Task(key="echo", body=lambda _, __: None)
        kept = tx.jobs.add_ticks(task, [step], NOON)
        assert kept == ([step] if database.kind == "postgresql" else [])
        assert tx.jobs.count(ALL_OWNERS, JobFilter()) == len(kept)


def test_texts_are_the_same_key_only_if_every_character_is_equal(store: SqlStore) -> None:
    keys = ["key", "Key", "key ", " key", "ké", "ke\u0301", "ß", "ss", "𝄞", "😀"]
    keep(store, *[a_job(idempotency_key=key, name=key) for key in keys])
    with store.view() as tx:
        for key in keys:
            found = tx.jobs.by_idempotency_key(ALICE, key)
            assert found is not None
            assert found.name == key
        assert tx.jobs.by_idempotency_key(ALICE, "KEY") is None


def test_a_search_ignores_case_for_ascii_letters_only(store: SqlStore) -> None:
    with store.begin() as tx:
        tx.users.add(a_user())
        tx.schedules.add(a_schedule(name="Äpfel und ÖL 100%"))
    for part in ("äpfel", "ÄPFEL", "öl", "100%", "l 1"):
        with store.view() as tx:
            filters = ScheduleFilter(search=part)
            assert tx.schedules.count(ALL_OWNERS, filters) == 1, part
    with store.view() as tx:
        assert tx.schedules.count(ALL_OWNERS, ScheduleFilter(search="1_0")) == 0


def test_a_backup_is_left_to_the_servers_own_tools(store: SqlStore, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="pg_dump or mariadb-dump"):
        store.backup(tmp_path / "copy")


@pytest.mark.unit
def test_every_form_of_a_servers_url_is_accepted() -> None:
    for url, driver in (
        ("postgresql://host/db", "postgresql+psycopg"),
        ("mysql://host/db", "mysql+pymysql"),
        ("mariadb+pymysql://host/db", "mysql+pymysql"),
    ):
        opened = servers.open_server(make_url(url), 2)
        assert opened._url.drivername == driver
        opened.close()
