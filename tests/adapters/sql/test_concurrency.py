"""Many threads and processes on one database."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from tests.contract.factories import (
    ALICE,
    NOON,
    ManualClock,
    a_job,
    a_schedule,
    a_user,
    keep,
    release_held,
)
from tests.contract.servers import SERVERS, Server, address, server
from workbell.adapters.sql.store import SqlStore
from workbell.domain.cron.rule import CronRule
from workbell.domain.errors import WorkbellError
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.jobs.attempt import Claim, Outcome, Settlement, TaskResult, settle
from workbell.domain.jobs.job import JobId, JobState
from workbell.domain.jobs.task import Tasks
from workbell.ports.jobs.views import JobFilter
from workbell.services.schedules.overdue_alerts import OverdueAlerts
from workbell.services.schedules.ticker import Ticker
from workbell.services.transaction_retry import retry_on_contention

pytestmark = pytest.mark.integration

CONCURRENCY_KEYS = ("a", "b", "c", None, None)


@pytest.fixture(params=SERVERS)
def database(request: pytest.FixtureRequest) -> Server:
    """Return a database on each kind of server."""
    return server(request.param)


@pytest.fixture
def store(database: Server) -> SqlStore:
    """Return an empty store on each kind of server."""
    return database.store(ManualClock())


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run work in many threads at once; raise the first error."""
    barrier = Barrier(count)

    def begin(n: int) -> Any:
        barrier.wait(30)
        return work(n)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


class NoChance:
    """Nothing is left to chance."""

    def randbelow(self, bound: int) -> int:
        return 0

    def uniform(self, low: float, high: float) -> float:
        return low


def everything(store: SqlStore) -> list[Any]:
    with store.view() as tx:
        return list(tx.jobs.find(ALL_OWNERS, JobFilter(), limit=100_000))


def drain(store: SqlStore, worker: str, *, batch: int = 7) -> list[int]:
    """Claim and settle until nothing is ready; return the ids that were accepted."""
    accepted: list[int] = []

    @retry_on_contention
    def turn() -> int:
        with store.begin() as tx:
            claims = tx.jobs.claim(
                "default",
                worker=worker,
                now=NOON,
                lease_until=NOON + timedelta(hours=1),
                limit=batch,
                free_threads=batch,
            )
        endings = [
            settle(each, TaskResult(outcome=Outcome.SUCCEEDED), NOON, 0.5) for each in claims
        ]
        accepted.extend(settled(endings))
        return len(claims)

    @retry_on_contention
    def settled(endings: Sequence[Any]) -> set[Any]:
        with store.begin() as tx:
            return tx.jobs.settle(endings)

    idle = 0
    while idle < 3:
        idle = 0 if turn() else idle + 1
    return accepted


def test_threads_settle_every_job_once(store: SqlStore) -> None:
    jobs = [
        a_job(concurrency_key=CONCURRENCY_KEYS[n % 5], concurrency_limit=3, fair_key=str(n % 7))
        for n in range(400)
    ]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda at: keep(store, *jobs[at : at + 50]), range(0, 400, 50)))
    settled = Counter(chain(*at_once(8, lambda n: drain(store, f"w{n}"))))
    while left := [job for job in everything(store) if not job.state.ended]:
        assert {job.state for job in left} <= {JobState.READY, JobState.HELD}
        with store.begin() as tx:
            release_held(tx, NOON)
        settled.update(drain(store, "last"))
    assert set(settled.values()) == {1}
    assert len(settled) == 400


def settled_and_claimed(store: SqlStore, worker: str) -> list[int]:
    """Claim with each outcome that is committed, until nothing is ready; return the accepted."""
    accepted: list[int] = []

    @retry_on_contention
    def turn(finished: Sequence[Settlement]) -> tuple[Sequence[Claim], set[JobId]]:
        with store.begin(single_statement=True) as tx:
            return tx.jobs.settle_and_claim(
                finished,
                "default",
                worker=worker,
                now=NOON,
                lease_until=NOON + timedelta(hours=1),
                limit=5,
                free_threads=5,
            )

    claims, _ = turn([])
    while claims:
        endings = [
            settle(each, TaskResult(outcome=Outcome.SUCCEEDED), NOON, 0.5) for each in claims
        ]
        claims, kept = turn([*endings, *endings[:1]])  # saying it twice changes nothing
        accepted += kept
    return accepted


def test_threads_that_settle_and_claim_settle_every_job_once(store: SqlStore) -> None:
    for at in range(0, 300, 50):
        concurrency_key = CONCURRENCY_KEYS[0] if at == 50 else None
        keep(
            store,
            *[
                a_job(concurrency_key=concurrency_key, concurrency_limit=3, fair_key=str(n % 7))
                for n in range(50)
            ],
        )
    settled = Counter(chain(*at_once(8, lambda n: settled_and_claimed(store, f"w{n}"))))
    while any(not job.state.ended for job in everything(store)):
        with store.begin() as tx:
            release_held(tx, NOON)
        settled.update(settled_and_claimed(store, "last"))
    assert set(settled.values()) == {1}
    assert len(settled) == 300
    with store.view() as tx:
        assert all(len(tx.jobs.attempts(job_id)) == 1 for job_id in map(JobId, settled))


def test_sweepers_stage_and_release_each_row_once(store: SqlStore) -> None:
    later = NOON + timedelta(seconds=1)
    keep(
        store,
        *[
            a_job(due_at=later, concurrency_key=CONCURRENCY_KEYS[n % 5], concurrency_limit=100)
            for n in range(300)
        ],
    )

    @retry_on_contention
    def sweep() -> int:
        with store.begin() as tx:
            moved = tx.jobs.stage(later, limit=40)
        with store.begin() as tx:
            release_held(tx, later)
        return moved

    def sweep_all(_: int) -> int:
        moved = 0
        while any(job.state is JobState.SCHEDULED for job in everything(store)):
            moved += sweep()
        return moved

    assert sum(at_once(6, sweep_all)) == 300
    assert {job.state for job in everything(store)} == {JobState.READY}


def test_a_job_that_runs_is_not_held_again(store: SqlStore) -> None:
    """Sweepers, workers and cancels at one concurrency key: the limit holds, and no token is lost."""
    keep(store, *[a_job(concurrency_key="one", concurrency_limit=2) for _ in range(60)])

    def sweep(_: int) -> list[int]:
        @retry_on_contention
        def once() -> None:
            with store.begin() as tx:
                release_held(tx, NOON)

        for _ in range(30):
            once()
            busy = [j for j in everything(store) if j.state in {JobState.READY, JobState.RUNNING}]
            assert len(busy) <= 2
        return []

    def play(n: int) -> list[int]:
        return sweep(n) if n < 3 else drain(store, f"w{n}", batch=1)

    settled = Counter(chain(*at_once(6, play)))
    settled.update(drain(store, "last", batch=2))
    assert len(settled) == 60
    assert set(settled.values()) == {1}


def test_commands_and_workers_run_in_parallel_without_errors(store: SqlStore) -> None:
    jobs = keep(
        store,
        *[a_job(concurrency_key=CONCURRENCY_KEYS[n % 5], concurrency_limit=4) for n in range(200)],
    )

    @retry_on_contention
    def cancel(job_id: Any) -> None:
        with store.begin() as tx:
            before = tx.jobs.get_for_update(ALL_OWNERS, job_id)
            if not before.state.ended:
                tx.jobs.replace(before, before.cancel(NOON))

    def play(n: int) -> list[int]:
        if n < 3:
            for job in jobs[n * 30 : n * 30 + 30]:
                cancel(job.id)
            return []
        return drain(store, f"w{n}", batch=5)

    settled = Counter(chain(*at_once(6, play)))
    settled.update(drain(store, "last"))
    states = Counter(job.state for job in everything(store))
    assert set(states) <= {JobState.SUCCEEDED, JobState.CANCELLED}
    assert sum(states.values()) == 200
    assert set(settled.values()) == {1}


def test_five_schedulers_insert_each_tick_once(store: SqlStore) -> None:
    with store.begin() as tx:
        for n in range(60):
            tx.schedules.add(a_schedule(name=str(n), cron=CronRule("* * * * *"), next_at=NOON))
    minutes = 5

    def schedule(_: int) -> None:
        for minute in range(minutes):
            clock = ManualClock(NOON + timedelta(minutes=minute))
            ticking = Ticker(store=store, clock=clock, randomness=NoChance(), tasks=Tasks())
            while ticking.tick(limit=17):
                continue

    at_once(5, schedule)
    seen = Counter((job.schedule_id, moment) for job in everything(store) for moment in ticks(job))
    assert set(seen.values()) == {1}
    assert len(seen) == 60 * minutes


def ticks(job: Any) -> list[datetime]:
    """Return the ticks that a row accounts for."""
    if job.missed is None:
        return [job.tick]
    span = (job.missed.last - job.missed.first) // timedelta(minutes=1)
    return [job.missed.first + timedelta(minutes=n) for n in range(span + 1)]


def test_one_of_many_processes_reports_an_overdue_schedule(store: SqlStore) -> None:
    with store.begin() as tx:
        owner = tx.users.add(a_user()).id
        for _ in range(20):
            fields = {"alert_after_seconds": 60, "alert_at": NOON, "owner": owner}
            tx.schedules.add(a_schedule(**fields))
    told = at_once(
        5, lambda _: OverdueAlerts(store=store, clock=ManualClock()).evaluate_due().emails
    )
    assert sum(told) == 20
    assert [job.task for job in everything(store)] == ["email.send"] * 20


def test_the_limit_of_five_holds(store: SqlStore) -> None:
    with store.begin() as tx:
        owner = tx.users.add(a_user()).id

    @retry_on_contention
    def create() -> bool:
        with store.begin() as tx:
            tx.users.get_for_update(owner)
            if tx.schedules.count_active(owner, limit=9) >= 5:
                return False
            tx.schedules.add(a_schedule(owner=owner))
            return True

    created = at_once(12, lambda _: sum(create() for _ in range(10)))
    assert sum(created) == 5


def test_one_of_many_jobs_with_the_same_key_is_inserted(store: SqlStore) -> None:
    @retry_on_contention
    def create(key: str) -> bool:
        with store.begin() as tx:
            return tx.jobs.add([a_job(idempotency_key=key)], NOON)[0] is not None

    @retry_on_contention
    def create_many(keys: Sequence[str]) -> int:
        with store.begin() as tx:
            added = tx.jobs.add([a_job(idempotency_key=key) for key in keys], NOON)
        return sum(job is not None for job in added)

    keys = [str(n) for n in range(20)]
    made = at_once(8, lambda n: sum(map(create, keys)) if n % 2 else create_many(keys[:: n - 1]))
    assert sum(made) == 20
    assert len(everything(store)) == 20


def test_ids_of_a_batch_are_those_of_its_rows(store: SqlStore) -> None:
    """While others insert, too."""

    def add(n: int) -> list[tuple[int, str]]:
        jobs = keep(store, *[a_job(name=f"{n}/{k}") for k in range(50)])
        return [(job.id, job.name) for job in jobs]

    told = dict(chain(*at_once(6, add)))
    assert {job.id: job.name for job in everything(store)} == told
    assert len(told) == 300


PROCESS = """
import sys
from tests.adapters.sql.test_concurrency import drain
from tests.contract.factories import ManualClock
from workbell.adapters.sql.store import open_store

store = open_store(sys.argv[1], ManualClock(), pool_size=4)
print(*drain(store, sys.argv[2]))
store.close()
"""


def test_processes_settle_every_job_once(store: SqlStore, database: Server) -> None:
    jobs = [
        a_job(concurrency_key=CONCURRENCY_KEYS[n % 5], concurrency_limit=5, owner=ALICE)
        for n in range(300)
    ]
    keep(store, *jobs)
    root = Path(__file__).parents[3]
    path = os.pathsep.join([str(root / "typings"), str(root)])
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, address(database.url), f"p{n}"],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(4)
    ]
    settled: Counter[int] = Counter()
    for process in started:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        settled.update(map(int, out.split()))
    settled.update(drain(store, "last"))
    assert set(settled.values()) == {1}
    assert len(settled) == 300


def test_errors_of_the_driver_do_not_surface(store: SqlStore) -> None:
    """Two transactions lock rows in opposite order: one of them raises Contended."""
    first, second = keep(store, a_job(), a_job())
    barrier = Barrier(2)
    contended: list[WorkbellError] = []

    def cross(n: int) -> None:
        order = (first.id, second.id) if n else (second.id, first.id)
        waits = [True]

        @retry_on_contention
        def work() -> None:
            try:
                with store.begin() as tx:
                    for at, job_id in enumerate(order):
                        tx.jobs.get_for_update(ALL_OWNERS, job_id)
                        if not at and waits:
                            waits.clear()
                            barrier.wait(10)
            except WorkbellError as error:
                contended.append(error)
                raise

        work()

    at_once(2, cross)
    assert {error.__class__.__name__ for error in contended} == {"Contended"}
