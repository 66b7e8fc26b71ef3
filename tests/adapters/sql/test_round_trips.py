"""How often hot paths go to the server: counted, for time is the machine's."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from attrs import evolve
from sqlalchemy import event

from tests.contract.factories import (
    NOON,
    READY,
    ManualClock,
    a_job,
    a_schedule,
    a_user,
    after,
    ended,
    keep,
)
from tests.contract.servers import server
from workbell.adapters.sql.database.server import ServerConnections
from workbell.adapters.sql.database.statements import IDLE
from workbell.adapters.sql.store import SqlStore, SqlTx
from workbell.domain.audit import AuditEntry
from workbell.domain.errors import Invalid, Unavailable
from workbell.domain.identity.actor import EVERYTHING
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.attempt import Claim
from workbell.domain.jobs.job import JobId, JobState, Mode
from workbell.domain.jobs.task import Task
from workbell.domain.schedules.ticks import common_step
from workbell.ports.jobs.repository import JobFilter

pytestmark = pytest.mark.integration

LEASE: dict[str, Any] = {"worker": "w", "now": NOON, "lease_until": after(30)}
CREATED = AuditEntry(
    user_id=UserId(0), action="CREATE", model_name="schedule", object_id="", at=NOON
)
ECHO = Task(key="echo", body=lambda _, __: None)


@pytest.fixture
def store() -> SqlStore:
    """Return an empty store on PostgreSQL."""
    return server("postgresql").store(ManualClock())


@contextmanager
def counted(store: SqlStore) -> Iterator[list[str]]:
    """Give the statements that transactions send meanwhile."""
    assert isinstance(store._connections, ServerConnections)
    engine, sent = store._connections._writers._engine, list[str]()

    def note(_: object, __: object, statement: str, *___: object) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def is_idle(tx: SqlTx) -> bool:
    """Whether no transaction is open on the server."""
    driver: Any = tx._db.connection.dbapi_connection
    return bool(driver.info.transaction_status == IDLE)


def disconnect(store: SqlStore, tx: SqlTx) -> None:
    """Have the server end a transaction's connection."""
    driver: Any = tx._db.connection.dbapi_connection
    with store._connections.migrating() as other:
        other.exec_driver_sql(f"SELECT pg_terminate_backend({driver.info.backend_pid})")


def states(store: SqlStore) -> list[JobState]:
    """Return the states of all jobs, as another connection sees them, by id."""
    with store.view() as tx:
        return [job.state for job in tx.jobs.find(EVERYTHING, JobFilter(), ordering=["id"])]


def claimed(store: SqlStore, count: int, **changes: Any) -> list[Claim]:
    """Keep jobs and claim them."""
    keep(store, *[a_job(**changes) for _ in range(count)])
    with store.begin() as tx:
        return list(tx.jobs.claim("default", limit=count, free_threads=count, **LEASE))


def test_a_sole_job_is_kept_by_one_statement_that_commits_itself(store: SqlStore) -> None:
    with counted(store) as sent, store.begin(sole=True) as tx:
        (job,) = tx.jobs.add([a_job()], NOON)
        assert is_idle(tx)
        assert states(store) == [READY]
    assert job is not None
    assert len(sent) == 1


def test_outcomes_and_claims_are_one_statement_that_commits_itself(store: SqlStore) -> None:
    """However many they are; what was lost is refused, and the others are kept."""
    works = claimed(store, 5, mode=Mode.BATCH)
    keep(store, *[a_job(mode=Mode.BATCH) for _ in range(3)])
    outcomes = [ended(work, now=after(1)) for work in works]
    with store.begin() as tx:
        tx.jobs.give_back([(works[0].id, works[0].token)])
    with counted(store) as sent, store.begin(sole=True) as tx:
        claims, accepted = tx.jobs.exchange(outcomes, "default", limit=9, free_threads=1, **LEASE)
        assert is_idle(tx)
    assert len(sent) == 1
    assert accepted == {work.id for work in works[1:]}
    assert {claim.id for claim in claims} == {works[0].id, JobId(6), JobId(7), JobId(8)}
    assert states(store) == [JobState.RUNNING, *[JobState.SUCCEEDED] * 4, *[JobState.RUNNING] * 3]


def test_with_nothing_ready_outcomes_are_accepted_all_the_same(store: SqlStore) -> None:
    (work,) = claimed(store, 1)
    with store.begin(sole=True) as tx:
        found = tx.jobs.exchange([ended(work)], "default", limit=1, free_threads=1, **LEASE)
    assert found == ([], {work.id})


def test_a_schedule_within_its_limit_commits_itself(store: SqlStore) -> None:
    """Nobody may listen to the statements here: who does has them one by one."""
    with store.begin() as tx:
        user = tx.users.add(a_user())
    entry = evolve(CREATED, user_id=user.id)
    with store.begin(sole=True) as tx:
        assert tx.schedules.add_within(a_schedule(owner=user.id), 1, entry) is not None
        assert is_idle(tx)
    with pytest.raises(Invalid), store.begin(sole=True) as tx:
        tx.schedules.add_within(a_schedule(owner=user.id, name="\0"), 2, entry)
    with store.view() as tx:
        assert tx.schedules.count_active(user.id) == 1


def test_what_goes_out_together_sees_what_is_committed_meanwhile(store: SqlStore) -> None:
    """The count is newer than the wait for the lock: the other one's schedule counts."""
    with store.begin() as tx:
        user = tx.users.add(a_user())
    entry = evolve(CREATED, user_id=user.id)

    def add() -> object:
        with store.begin(sole=True) as tx:
            return tx.schedules.add_within(a_schedule(owner=user.id), 1, entry)

    with ThreadPoolExecutor(1) as pool:
        with store.begin() as tx:
            tx.users.get_for_update(user.id)
            tx.schedules.add(a_schedule(owner=user.id))
            waiting = pool.submit(add)
            with pytest.raises(TimeoutError):
                waiting.result(0.5)
        assert waiting.result(10) is None


def test_a_connection_that_is_lost_is_an_unavailable_store(store: SqlStore) -> None:
    with store.begin() as tx:
        user = tx.users.add(a_user())
    entry = evolve(CREATED, user_id=user.id)

    def add(*, cut_off: bool) -> object:
        with store.begin(sole=True) as tx:
            if cut_off:
                disconnect(store, tx)
            return tx.schedules.add_within(a_schedule(owner=user.id), 1, entry)

    with pytest.raises(Unavailable):
        add(cut_off=True)
    assert add(cut_off=False) is not None


def test_what_has_begun_is_not_committed_in_part(store: SqlStore) -> None:
    """A promise that is not kept costs the round trips, and nothing else."""
    with suppress(KeyError), store.begin(sole=True) as tx:
        tx.schedules.streaks([])
        tx.schedules.add(a_schedule())
        tx.jobs.add([a_job()], NOON)
        assert not is_idle(tx)
        raise KeyError
    assert states(store) == []


def test_within_a_callers_transaction_nothing_commits_itself(store: SqlStore) -> None:
    with store._connections.writing() as db:
        with store.within(db).begin(sole=True) as tx:
            tx.jobs.add([a_job()], NOON)
        assert states(store) == []
        db.rollback()
    assert states(store) == []


def test_many_jobs_are_few_statements(store: SqlStore) -> None:
    with counted(store) as sent:
        keep(store, *[a_job() for _ in range(500)])
    assert len(sent) <= 4, sent


def test_many_ticks_are_few_statements(store: SqlStore) -> None:
    with store.begin() as tx:
        for _ in range(100):
            tx.schedules.add(a_schedule())
    with store.view() as tx:
        steps = [step for each in tx.schedules.due(NOON) if (step := common_step(each, NOON))]
    with counted(store) as sent, store.begin() as tx:
        kept = tx.jobs.add_ticks(ECHO, steps, NOON)
        tx.schedules.take(kept)
    assert len(kept) == 100
    assert len(sent) == 4, sent
