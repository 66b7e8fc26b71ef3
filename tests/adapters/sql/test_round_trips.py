"""Round trips of hot paths, counted because times depend on the machine."""

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
from workbell.adapters.serialization.serializer import JsonSerializer
from workbell.adapters.sql.database.server import ServerConnections
from workbell.adapters.sql.database.statements import IDLE
from workbell.adapters.sql.store import SqlStore, SqlTx
from workbell.domain.errors import LimitReached, Unavailable
from workbell.domain.identity.actor import ALL_OWNERS, SYSTEM, Actor
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.attempt import Claim
from workbell.domain.jobs.job import ClaimMode, JobId, JobState
from workbell.domain.jobs.task import Task, Tasks
from workbell.domain.schedules.ticks import fast_path_step
from workbell.ports.jobs.views import JobFilter
from workbell.services.jobs.task_definitions import TaskDefinitionService
from workbell.services.schedules.commands import ScheduleService
from workbell.services.schedules.requests import NewSchedule

pytestmark = pytest.mark.integration

LEASE: dict[str, Any] = {"worker": "w", "now": NOON, "lease_until": after(30)}
EVERY_MINUTE = NewSchedule(task_definition="echo", cron_expression="* * * * *")
ECHO = Task(key="echo", body=lambda _, __: None)


@pytest.fixture
def store() -> SqlStore:
    """Return an empty store on PostgreSQL."""
    return server("postgresql").store(ManualClock())


@contextmanager
def counted(store: SqlStore) -> Iterator[list[str]]:
    """Yield the list of statements that transactions send within the block."""
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
    driver: Any = tx.db.connection.dbapi_connection
    return bool(driver.info.transaction_status == IDLE)


def disconnect(store: SqlStore, tx: SqlTx) -> None:
    """Make the server close a transaction's connection."""
    driver: Any = tx.db.connection.dbapi_connection
    with store._connections.migrating() as other:
        other.exec_driver_sql(f"SELECT pg_terminate_backend({driver.info.backend_pid})")


def scheduling(store: SqlStore) -> ScheduleService:
    """Return the schedule service on a store, its task registered."""
    clock, serializer, tasks = ManualClock(), JsonSerializer(), Tasks()
    tasks.add(ECHO)
    definitions = TaskDefinitionService(
        store=store, clock=clock, tasks=tasks, serializer=serializer
    )
    definitions.synchronise()
    return ScheduleService(
        store=store, clock=clock, tasks=tasks, definitions=definitions, serializer=serializer
    )


def owners(store: SqlStore) -> tuple[Actor, Actor]:
    """Return a person who has a limit, and a superuser."""
    with store.begin() as tx:
        person = tx.users.add(a_user())
        root = tx.users.add(a_user("root", is_super_user=True))
    return Actor.of(person), Actor.of(root)


def states(store: SqlStore) -> list[JobState]:
    """Return the states of all jobs, as another connection sees them, by id."""
    with store.view() as tx:
        return [job.state for job in tx.jobs.find(ALL_OWNERS, JobFilter(), ordering=["id"])]


def claimed(store: SqlStore, count: int, **changes: Any) -> list[Claim]:
    """Keep jobs and claim them."""
    keep(store, *[a_job(**changes) for _ in range(count)])
    with store.begin() as tx:
        return list(tx.jobs.claim("default", limit=count, free_threads=count, **LEASE))


def test_a_single_job_is_inserted_by_one_self_committing_statement(store: SqlStore) -> None:
    with counted(store) as sent, store.begin(single_statement=True) as tx:
        (job,) = tx.jobs.add([a_job()], NOON)
        assert is_idle(tx)
        assert states(store) == [READY]
    assert job is not None
    assert len(sent) == 1


def test_outcomes_and_claims_are_one_statement_that_commits_itself(store: SqlStore) -> None:
    """One statement settles any number of outcomes; those with an old token are refused."""
    works = claimed(store, 5, mode=ClaimMode.BATCH)
    keep(store, *[a_job(mode=ClaimMode.BATCH) for _ in range(3)])
    outcomes = [ended(work, now=after(1)) for work in works]
    with store.begin() as tx:
        tx.jobs.release([(works[0].id, works[0].token)])
    with counted(store) as sent, store.begin(single_statement=True) as tx:
        claims, accepted = tx.jobs.settle_and_claim(
            outcomes, "default", limit=9, free_threads=1, **LEASE
        )
        assert is_idle(tx)
    assert len(sent) == 1
    assert accepted == {work.id for work in works[1:]}
    assert {claim.id for claim in claims} == {works[0].id, JobId(6), JobId(7), JobId(8)}
    assert states(store) == [JobState.RUNNING, *[JobState.SUCCEEDED] * 4, *[JobState.RUNNING] * 3]


def test_outcomes_are_accepted_if_no_job_is_ready(store: SqlStore) -> None:
    (work,) = claimed(store, 1)
    with store.begin(single_statement=True) as tx:
        found = tx.jobs.settle_and_claim([ended(work)], "default", limit=1, free_threads=1, **LEASE)
    assert found == ([], {work.id})


def test_an_active_schedule_is_three_statements_in_one_transaction(store: SqlStore) -> None:
    """Lock the owner, insert the schedule below the limit, insert the audit entry."""
    service, (person, root) = scheduling(store), owners(store)
    with counted(store) as sent:
        service.create(person, EVERY_MINUTE)
    lock, schedule, entry = sent
    assert "FOR UPDATE" in lock
    assert all(word in schedule for word in ("INSERT INTO", "count(*)", "LIMIT", "RETURNING"))
    assert "INSERT INTO" in entry
    with counted(store) as sent:
        service.create(root, EVERY_MINUTE)
    assert not [statement for statement in sent if "count" in statement]
    assert len(sent) == 3


def test_counting_reads_the_schedules_of_one_owner(store: SqlStore) -> None:
    """PostgreSQL has no statistics yet, and must not read what is active of every owner."""
    with store.begin() as tx:
        for owner in range(1, 301):
            tx.schedules.add(a_schedule(owner=UserId(owner)))
    with counted(store) as sent, store.begin() as tx:
        assert tx.schedules.count_active(UserId(7), limit=5) == 1
        (plan,) = tx.db.exec_driver_sql(
            f"EXPLAIN (FORMAT JSON) {sent[0]}", {"owner": 7, "limit": 5, "param_1": 1}
        ).scalar_one()
    assert "schedules_active" in str(plan) or "schedules_owner" in str(plan)
    assert "schedules_due" not in str(plan)


def test_schedules_of_the_system_are_not_counted(store: SqlStore) -> None:
    service = scheduling(store)
    with counted(store) as sent:
        service.create(SYSTEM, EVERY_MINUTE)
    assert len(sent) == 1


def test_a_count_under_a_lock_sees_what_was_committed_before_the_lock(store: SqlStore) -> None:
    """The count is newer than the wait for the owner's lock."""
    service, (person, _) = evolve(scheduling(store), active_limit=1), owners(store)
    with ThreadPoolExecutor(1) as pool:
        with store.begin() as tx:
            tx.users.get_for_update(person.user_id)
            tx.schedules.add(a_schedule(owner=person.user_id))
            waiting = pool.submit(service.create, person, EVERY_MINUTE)
            with pytest.raises(TimeoutError):
                waiting.result(0.5)
        with pytest.raises(LimitReached):
            waiting.result(10)


def test_a_connection_that_is_lost_is_an_unavailable_store(store: SqlStore) -> None:
    def add(*, cut_off: bool) -> object:
        with store.begin(single_statement=True) as tx:
            if cut_off:
                disconnect(store, tx)
            return tx.jobs.add([a_job()], NOON)

    with pytest.raises(Unavailable):
        add(cut_off=True)
    assert add(cut_off=False) is not None


def test_a_transaction_is_not_committed_in_part(store: SqlStore) -> None:
    """Further statements in a single-statement block cost only round trips."""
    with suppress(KeyError), store.begin(single_statement=True) as tx:
        tx.schedules.failure_streaks([])
        tx.schedules.add(a_schedule())
        tx.jobs.add([a_job()], NOON)
        assert not is_idle(tx)
        raise KeyError
    assert states(store) == []


def test_within_a_callers_transaction_nothing_commits_itself(store: SqlStore) -> None:
    with store._connections.writing() as db:
        with store.in_transaction_of(db).begin(single_statement=True) as tx:
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
        steps = [step for each in tx.schedules.due(NOON) if (step := fast_path_step(each, NOON))]
    with counted(store) as sent, store.begin() as tx:
        kept = tx.jobs.add_ticks(ECHO, steps, NOON)
        tx.schedules.advance_by_one(kept)
    assert len(kept) == 100
    assert len(sent) == 4, sent
