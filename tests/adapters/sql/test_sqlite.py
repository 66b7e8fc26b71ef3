"""SQL stores: enqueueing on a caller's connection."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from importlib import import_module
from pathlib import Path

import pytest
from sqlalchemy import Delete, Dialect, Engine, Select, Update, create_engine, select
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.exc import StatementError

from tests.contract.factories import NOON, ManualClock, a_job, after, in_concurrency_key, keep, see
from workbell.adapters.sql.database.column_types import from_db_text, to_db_text
from workbell.adapters.sql.database.statements import PreparedStatement
from workbell.adapters.sql.jobs.repository import SqlJobRepository
from workbell.adapters.sql.schema.tables import jobs
from workbell.adapters.sql.store import SqlStore, open_store
from workbell.adapters.sql.strategies import STRATEGIES
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.jobs.job import JobId, JobState

pytestmark = pytest.mark.unit


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    opened = open_store(f"sqlite:///{tmp_path}/store.db", ManualClock())
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def engine(store: SqlStore, tmp_path: Path) -> Iterator[Engine]:
    """Return an engine as an application has its own."""
    engine = create_engine(f"sqlite:///{tmp_path}/store.db")
    yield engine
    engine.dispose()


def test_jobs_are_committed_with_the_callers_transaction(store: SqlStore, engine: Engine) -> None:
    with engine.begin() as connection:
        (one,) = SqlJobRepository(connection, STRATEGIES[connection.dialect.name]).add(
            [a_job(name="mine")], NOON
        )
        many = SqlJobRepository(connection, STRATEGIES[connection.dialect.name]).add(
            [a_job(), in_concurrency_key(), in_concurrency_key()], NOON
        )
    assert one is not None
    assert see(store, one) == one
    assert [job.state for job in many if job] == [JobState.READY, JobState.READY, JobState.HELD]


def test_jobs_go_with_the_callers_rollback(store: SqlStore, engine: Engine) -> None:
    with engine.connect() as connection:
        (job,) = SqlJobRepository(connection, STRATEGIES[connection.dialect.name]).add(
            [a_job()], NOON
        )
        connection.rollback()
    assert job is not None
    with store.view() as tx, pytest.raises(NotFound):
        tx.jobs.get(ALL_OWNERS, job.id)


def test_a_callers_own_connection_has_no_clock(engine: Engine, store: SqlStore) -> None:
    (job,) = keep(store, a_job())
    with engine.begin() as connection, pytest.raises(RuntimeError, match="has no clock"):
        SqlJobRepository(connection, STRATEGIES[connection.dialect.name]).replace(
            job, job.cancel(NOON)
        )


def test_refused_jobs_leave_gaps_in_a_batch(store: SqlStore) -> None:
    with store.begin() as tx:
        first = tx.jobs.add([a_job(schedule_id=1, tick=after(n)) for n in (1, 3)], NOON)
        again = tx.jobs.add(
            [a_job(schedule_id=1, tick=after(n), name=str(n)) for n in range(5)], NOON
        )
    assert None not in first
    assert [job and job.name for job in again] == ["0", None, "2", None, "4"]
    for job in again:
        assert job is None or see(store, job) == job


def test_a_refused_job_frees_its_slot_of_the_concurrency_key(store: SqlStore) -> None:
    keep(store, a_job(idempotency_key="taken"))
    with store.begin() as tx:
        refused, job = tx.jobs.add(
            [in_concurrency_key(idempotency_key="taken"), in_concurrency_key()], NOON
        )
    assert refused is None
    assert job is not None
    assert see(store, job).state is JobState.READY


def test_times_are_stored_as_text_that_sorts_by_time() -> None:
    moments = [NOON, NOON + timedelta(microseconds=1), NOON + timedelta(seconds=1)]
    texts = [to_db_text(each) for each in moments]
    assert texts == sorted(texts, key=str)
    assert texts[0] == "2030-01-01 12:00:00.000000"
    assert [from_db_text(each) for each in texts] == moments
    east = NOON.astimezone(timezone(timedelta(hours=5)))
    assert to_db_text(east) == texts[0]


def test_naive_datetimes_are_refused(store: SqlStore) -> None:
    naive = datetime(2030, 1, 1)  # noqa: DTZ001 - what is tested
    with pytest.raises((StatementError, ValueError)), store.begin() as tx:
        tx.jobs.add([a_job(due_at=NOON, created_at=naive)], NOON)
    with store.view() as tx, pytest.raises(StatementError, match="aware"):
        tx.db.execute(select(jobs).where(jobs.c.due_at < naive))


def test_a_foreign_key_takes_the_log_with_its_job(store: SqlStore) -> None:
    with store._connections.reading() as db:
        assert db.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert db.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert db.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert db.exec_driver_sql("PRAGMA busy_timeout").scalar() == 5000
        assert db.exec_driver_sql("PRAGMA query_only").scalar() == 1


_MODULES = [
    "audit",
    "goals.goals",
    "goals.progress",
    "goals.reminders",
    "identity.second_factors",
    "identity.sessions",
    "identity.users",
    "jobs.claims",
    "jobs.fair_queueing",
    "jobs.insert",
    "jobs.concurrency_keys",
    "jobs.listing",
    "jobs.logs",
    "jobs.queues",
    "jobs.repository",
    "jobs.retention",
    "jobs.settlement",
    "jobs.task_definitions",
    "rate_limits",
    "schedules.advance",
    "schedules.insert",
    "schedules.listing",
    "schedules.repository",
]


@pytest.mark.parametrize("make", [postgresql.dialect, mysql.dialect], ids=["pg", "mysql"])
@pytest.mark.parametrize("name", _MODULES)
def test_statements_compile_for_every_server(make: type[Dialect], name: str) -> None:
    """Running them there is the servers' own suite; this keeps them portable."""
    dialect, module = make(), import_module(f"workbell.adapters.sql.{name}")
    for each in vars(module).values():
        if isinstance(each, PreparedStatement):
            statement = each._make(dialect.name)
        elif isinstance(each, Select | Update | Delete):
            statement = each
        else:
            continue
        if "json_each" not in str(statement):
            assert str(statement.compile(dialect=dialect))


def test_datetimes_are_read_in_utc(store: SqlStore) -> None:
    (job,) = keep(store, a_job())
    assert see(store, JobId(job.id)).created_at.tzinfo is UTC
