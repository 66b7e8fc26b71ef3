"""Faults: each is injected into a running installation and accounted for."""

import random
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import cycle, islice
from threading import Event, Thread

from attrs import frozen
from sqlalchemy import create_engine, func, select, update

from tests.faults.cluster import LEASE_SECONDS, PASSWORD, SECRET_KEY, Client, Cluster, Part
from tests.faults.ledger import Ledger, Load, Row
from tests.faults.private import wait_until
from workbell.adapters.sql.schema.tables import jobs
from workbell.domain.identity.actor import SYSTEM
from workbell.domain.jobs.job import JobState
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.backends import make_waker
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings
from workbell.services.jobs.requests import NewJob

SERVERS = ("postgresql", "mariadb")
EVERYWHERE = ("sqlite", *SERVERS)
Fault = Callable[[Cluster, int], Row]


@frozen
class Case:
    """A fault, and the databases that it applies to."""

    number: str
    do: Fault
    databases: tuple[str, ...]
    by_name: bool = False


CASES: list[Case] = []


def fault(number: str, *databases: str, by_name: bool = False) -> Callable[[Fault], Fault]:
    """
    Declare a fault, for all databases unless some are named.

    A fault that takes minutes is `by_name`: it only runs if selected.
    """

    def declare(do: Fault) -> Fault:
        CASES.append(Case(number, do, databases or EVERYWHERE, by_name))
        return do

    return declare


@contextmanager
def under_load(
    cluster: Cluster, row: Row, ledger: Ledger, load: Load | None = None
) -> Iterator[Load]:
    """Enqueue jobs during the block; then wait for their end and account for them."""
    load = (load or Load(cluster.admin)).start()
    try:
        yield load
    finally:
        load.end()
    row.drain = ledger.drain()
    cluster.settle()
    ledger.account(row, load.accepted)


def kill_in_turn(cluster: Cluster, parts: list[Part], kills: int, low: float, high: float) -> None:
    """Kill processes one after another, each after a random pause."""
    chance = random.Random(kills)
    for part in islice(cycle(parts), kills):
        time.sleep(chance.uniform(low, high))
        wait_until(part.ready, f"{part.role} to be ready")
        time.sleep(chance.uniform(0.0, 0.2))
        cluster.kill(part)


@fault("F1")
def workers_killed(cluster: Cluster, kills: int) -> Row:
    """Kill workers during jobs."""
    row = Row("F1", "SIGKILL of a worker in mid-job", f"{kills} kills")
    ledger = Ledger(cluster)
    load = Load(cluster.admin, threads=1, pause=0.03, tasks=("fault.work",), longest_ms=300)
    with under_load(cluster, row, ledger, load):
        kill_in_turn(cluster, cluster.with_role("worker"), kills, 0.1, 0.5)
    return row


@fault("F2")
def schedulers_killed(cluster: Cluster, kills: int) -> Row:
    """Kill the only scheduler before and after its commits of ticks."""
    row = Row("F2", "SIGKILL of the only scheduler while ticks are due", f"{kills} kills")
    ledger = Ledger(cluster)
    chance = random.Random(2)
    (part, *_) = cluster.with_role("scheduler")
    for _ in range(kills):
        ledger.schedule(4, minutes=60)
        wait_until(part.ready, "the scheduler to be ready")
        time.sleep(chance.uniform(0.0, 1.2))
        cluster.kill(part)
    row.drain = ledger.drain()
    cluster.settle()
    return ledger.account(row)


@fault("F2b", by_name=True)
def scheduler_down(cluster: Cluster, _: int) -> Row:
    """Stop the scheduler at the start of a minute; kill it just after the next."""
    row = Row("F2b", "scheduler killed before a minute, and just after one", "20 schedules")
    ledger = Ledger(cluster)
    first = (int((time.time() + 8) / 60) + 1) * 60.0
    time.sleep(max(0.0, first - 60 - time.time()))
    made = ledger.schedule(20, minutes=0)
    ledger.schedules = dict.fromkeys(made, datetime.fromtimestamp(first, UTC))
    time.sleep(max(0.0, first - 2 - time.time()))
    with cluster.without("scheduler"):
        time.sleep(max(0.0, first + 2 - time.time()))
    time.sleep(max(0.0, first + 60.7 - time.time()))
    cluster.kill(cluster.with_role("scheduler")[0])
    cluster.settle()
    time.sleep(max(0.0, first + 75 - time.time()))
    row.drain = ledger.drain()
    return ledger.account(row)


@fault("F3", *SERVERS)
def many_schedulers(cluster: Cluster, kills: int) -> Row:
    """Run five schedulers on the same ticks."""
    row = Row("F3", "five schedulers on the same schedules", "4 more schedulers")
    ledger = Ledger(cluster)
    more = cluster.add(*["scheduler"] * 4)
    ledger.schedule(10 * kills, minutes=50)
    row.drain = ledger.drain()
    cluster.remove(more)
    return ledger.account(row)


@fault("F4", *SERVERS)
def redis_flushed(cluster: Cluster, kills: int) -> Row:
    """Flush Redis repeatedly, and kill workers and the scheduler."""
    row = Row("F4", "FLUSHALL of Redis, with SIGKILL of workers", f"{kills} flushes, {kills} kills")
    assert cluster.redis is not None
    ledger = Ledger(cluster)
    ledger.schedule(kills, minutes=30, task_definition="fault.work")
    parts = [*cluster.with_role("worker"), *cluster.with_role("scheduler")]
    # more than the workers can run, so that jobs wait whenever Redis is flushed
    load = Load(cluster.admin, threads=2, pause=0.02, tasks=("fault.work",), longest_ms=300)
    with under_load(cluster, row, ledger, load):
        for part in islice(cycle(parts), kills):
            cluster.redis.flush()
            kill_in_turn(cluster, [part], 1, 0.1, 0.4)
    return row


@fault("F5", *SERVERS)
def redis_down(cluster: Cluster, kills: int) -> Row:
    """Stop Redis; jobs are still accepted and run."""
    seconds = 2 + kills
    row = Row("F5", "Redis unavailable under load", "")
    assert cluster.redis is not None
    row.injected = f"{cluster.redis.outage}, {seconds} s"
    ledger = Ledger(cluster)
    clients = Load(cluster.admin, threads=2, pause=0.02, tasks=("fault.work",), longest_ms=300)
    with under_load(cluster, row, ledger, clients) as load:
        time.sleep(0.5)
        cluster.redis.stop()
        before = len(load.accepted)
        time.sleep(seconds)
        accepted = len(load.accepted) - before
        cluster.redis.start()
    row.note = f"{accepted} jobs accepted during the outage, slowest response {load.slowest:.1f} s"
    row.expect(accepted > 0, "no job was accepted while Redis was unavailable")
    return row


@fault("F6", *SERVERS)
def database_down(cluster: Cluster, kills: int) -> Row:
    """Restart the database under load, or close all connections to it."""
    times = max(2, kills // 4)
    row = Row("F6", "database outage under load", f"{times} x {cluster.database.outage}")
    ledger = Ledger(cluster)
    ledger.schedule(5, minutes=20)
    before = sum(part.starts for part in cluster.parts)
    with under_load(cluster, row, ledger):
        for _ in range(times):
            time.sleep(1.0)
            cluster.database.disturb()
            cluster.settle()
    row.expect(before == sum(part.starts for part in cluster.parts), "a process has ended")
    return row


@fault("F7", *SERVERS)
def zombies(cluster: Cluster, kills: int) -> Row:
    """Suspend workers for longer than their lease; their outcomes are then stale."""
    times = max(2, kills // 5)
    row = Row("F7", f"a worker suspended for {2 * LEASE_SECONDS} s, then resumed", f"{times} x")
    ledger = Ledger(cluster)
    load = Load(cluster.admin)
    for part, _ in zip(cycle(cluster.with_role("worker")), range(times), strict=False):
        for n in range(10):
            load.enqueue("fault.work", {"n": n, "ms": 1500})
        assert part.process is not None
        mine = f":{part.process.pid}:"
        wait_until(partial(_runs, ledger, mine), "jobs to run")
        part.send(signal.SIGSTOP)
        row.drain = max(row.drain, ledger.drain())
        part.send(signal.SIGCONT)
    wait_until(lambda: len(set(ledger.bodies())) == 1, "every body to end")
    cluster.settle()
    ledger.account(row, load.accepted, refusals=True)
    row.expect(row.refused > 0, "no stale outcome was refused")
    return row


def _runs(ledger: Ledger, process: str) -> bool:
    return any(process in worker for worker in ledger.running())


@fault("F10")
def down_for_a_day(cluster: Cluster, kills: int) -> Row:
    """Stop all schedulers for a day: each misfire policy accounts for every tick."""
    row = Row("F10", "no scheduler for 24 h", "3 misfire policies")
    ledger = Ledger(cluster)
    made = {
        policy: ledger.schedule(kills, 0, misfire_policy=policy)
        for policy in ("latest", "all", "skip")
    }
    with cluster.without("scheduler"):
        ledger.age_schedules([number for ids in made.values() for number in ids], 24 * 60)
    row.drain = ledger.drain()
    ledger.account(row)
    ran = {policy: _ran(ledger, ids) / kills for policy, ids in made.items()}
    row.note = "runs per schedule: " + ", ".join(f"{p} {n:.0f}" for p, n in ran.items())
    # one or two minutes may have started since
    for policy, minimum in (("latest", 1), ("all", 100), ("skip", 0)):
        row.expect(minimum <= ran[policy] <= minimum + 2, f"{policy} ran {ran[policy]} times")
    return row


def _ran(ledger: Ledger, ids: list[int]) -> int:
    c = jobs.c
    query = select(func.count()).where(c.schedule_id.in_(ids), c.state == int(JobState.SUCCEEDED))
    with ledger.engine.connect() as db:
        return int(db.execute(query).scalar_one())


@fault("F11")
def limit_raced(cluster: Cluster, kills: int) -> Row:
    """Create schedules in parallel against the limit of five."""
    rounds = max(1, kills // 4)
    row = Row("F11", "20 parallel creations against the limit of 5", f"{rounds} rounds")
    user = _register(cluster, f"storm{time.time_ns()}")
    body = {"task_definition": "fault.batch", "cron_expression": "0 0 1 1 *", "parameters": {}}
    with ThreadPoolExecutor(20) as pool:
        for _ in range(rounds):
            responses = list(
                pool.map(
                    lambda _: user.call_with_retry("POST", "/api/v1/schedules", body), range(20)
                )
            )
            statuses = [status for status, _ in responses]
            row.expect(set(statuses) <= {201, 409}, f"statuses {sorted(set(statuses))}")
            row.doubled += max(0, statuses.count(201) - 5)
            row.lost += max(0, 5 - statuses.count(201))
            row.jobs += len(statuses)
            for status, made in responses:
                if status == 201:
                    user.call_with_retry("DELETE", f"/api/v1/schedules/{made['id']}")
    row.database = cluster.database.kind
    row.note = "5 active each time, every other response 409"
    return row


@fault("F12")
def edited_while_due(cluster: Cluster, kills: int) -> Row:
    """Edit, pause and resume schedules while their ticks are due."""
    row = Row("F12", "edits, pauses and resumptions while ticks fire", "")
    ledger = Ledger(cluster)
    made = ledger.schedule(2 * kills, minutes=40)
    ledger.horizon = datetime.now(UTC) - timedelta(minutes=2)
    edits = 0
    chance = random.Random(12)
    for number in made * 2:
        path = f"/api/v1/schedules/{number}"
        change = chance.choice([{"cron_expression": "*/1 * * * *"}, {"jitter_seconds": 0}, None])
        for part in [{"is_active": False}, {"is_active": True}] if change is None else [change]:
            status, response = cluster.admin.call_with_retry("PATCH", path, part)
            row.expect(status in (200, 409, 412), f"an edit failed with {status}: {response}")
            edits += 1
    row.injected = f"{edits} edits"
    row.drain = ledger.drain()
    return ledger.account(row, ends=(JobState.SUCCEEDED, JobState.CANCELLED))


@fault("F14")
def poisoned(cluster: Cluster, kills: int) -> Row:
    """Run jobs that kill their worker: they fail after their attempts, others run."""
    count = max(1, kills // 5)
    row = Row("F14", "jobs that kill their worker", f"{count} jobs of 3 attempts")
    ledger = Ledger(cluster)
    load = Load(cluster.admin).start()
    poison = [load.enqueue("fault.poison", {}) for _ in range(count)]
    wait_until(
        lambda: ledger.states(poison)[JobState.FAILED] == count, "the poison jobs to fail", 120
    )
    load.end()
    row.drain = ledger.drain()
    cluster.settle()
    ledger.account(row, load.accepted, ends=(JobState.SUCCEEDED, JobState.FAILED))
    tries = set(ledger.count_attempts(poison).values())
    row.note = f"failed after {', '.join(map(str, sorted(tries)))} attempts"
    row.expect(tries == {3}, f"poison jobs had {tries} attempts")
    row.lost += ledger.states(poison)[JobState.SUCCEEDED]
    return row


@fault("F15")
def workers_stopped(cluster: Cluster, kills: int) -> Row:
    """Stop workers one after another, as in a deployment: no attempt is lost."""
    row = Row("F15", "SIGTERM of each worker in turn, under load", f"{kills} stops")
    ledger = Ledger(cluster)
    slowest = 0.0
    with under_load(cluster, row, ledger):
        for part in islice(cycle(cluster.with_role("worker")), kills):
            time.sleep(0.5)
            starts = part.starts
            began = time.monotonic()
            part.send(signal.SIGTERM)
            wait_until(partial(part.has_started, starts), "a worker to stop")
            slowest = max(slowest, time.monotonic() - began)
            wait_until(part.ready, "the worker to be ready")
    row.note = f"slowest stop {slowest:.1f} s"
    row.expect(row.rerun == 0, f"{row.rerun} attempts were lost")
    return row


@fault("F17")
def flooded(cluster: Cluster, kills: int) -> Row:
    """One owner floods the queue, another enqueues a few jobs."""
    count = 60 * kills
    row = Row("F17", "one owner floods the queue, another enqueues a few jobs", f"{count} jobs")
    ledger = Ledger(cluster)
    flood, drop = (
        Load(_register(cluster, f"{name}{time.time_ns()}")) for name in ("flood", "drop")
    )
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: flood.enqueue("fault.work", {"n": n, "ms": 60}), range(count)))
    mine = [drop.enqueue("fault.work", {"n": n, "ms": 10}) for n in range(10)]
    row.drain = ledger.drain()
    ledger.account(row, [*flood.accepted, *drop.accepted])
    waits = _waits(ledger)
    worst = max(waits.pop(number) for number in mine)
    row.note = f"longest wait: {worst:.1f} s, of the flood {max(waits.values()):.1f} s"
    row.expect(worst < max(waits.values()), "the other owner waited as long as the flood")
    return row


def _waits(ledger: Ledger) -> dict[int, float]:
    c = jobs.c
    with ledger.engine.connect() as db:
        rows = db.execute(select(c.id, c.due_at, c.started_at).where(c.id > ledger.mark)).all()
    return {row.id: (row.started_at - row.due_at).total_seconds() for row in rows}


@fault("F18", *SERVERS)
def woken_too_often(cluster: Cluster, kills: int) -> Row:
    """Send 50 wake-ups for each job: its body starts once."""
    row = Row("F18", "50 wake-ups for each job", f"{kills} jobs")
    assert cluster.redis is not None
    ledger = Ledger(cluster)
    waker = make_waker(cluster.redis.url)
    load = Load(cluster.admin)
    for n in range(kills):
        load.enqueue("fault.work", {"n": n, "ms": 5})
        for _ in range(50):
            waker.wake("default")
    row.drain = ledger.drain()
    ledger.account(row, load.accepted)
    row.expect(row.rerun == 0, f"{row.rerun} bodies ran again")
    return row


@fault("F19")
def rolled_back(cluster: Cluster, kills: int) -> Row:
    """Enqueue in a transaction of the caller that is rolled back."""
    row = Row("F19", "the caller's transaction rolls back after enqueueing", f"{kills} rollbacks")
    ledger = Ledger(cluster)
    application = open_application(cluster)
    engine = create_engine(cluster.database.url)
    try:
        for _ in range(kills):
            with engine.connect() as connection, connection.begin() as transaction:
                transactional = application.jobs_in_transaction(connection)
                transactional.create(SYSTEM, NewJob(task_definition="echo", parameters={}))
                transaction.rollback()
    finally:
        engine.dispose()
        application.close()
    with ledger.engine.connect() as db:
        row.doubled = db.execute(select(func.count()).where(jobs.c.id > ledger.mark)).scalar_one()
    row.database = cluster.database.kind
    row.note = "no job exists"
    return row


@fault("F20")
def cancelled_anytime(cluster: Cluster, kills: int) -> Row:
    """Cancel jobs at random times: each job has exactly one outcome."""
    count = 6 * kills
    row = Row("F20", "cancellation of jobs at random times", f"{count} jobs")
    ledger = Ledger(cluster)
    load = Load(cluster.admin)
    chance = random.Random(20)
    cancelled: set[int] = set()

    def one(n: int) -> None:
        job = load.enqueue("fault.patient", {"n": n, "ms": chance.choice([20, 60, 1200])})
        time.sleep(chance.uniform(0.0, 0.2))
        status, _ = cluster.admin.call_with_retry("POST", f"/api/v1/jobs/{job}/cancel")
        row.expect(status in (200, 409), f"cancelling failed with {status}")
        if status == 200:
            cancelled.add(job)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(count)))
    row.drain = ledger.drain()
    ledger.account(row, load.accepted, ends=(JobState.SUCCEEDED, JobState.CANCELLED))
    ends = ledger.states(cancelled)
    row.note = f"of {len(cancelled)} cancelled in time, {ends[JobState.CANCELLED]} ended cancelled"
    return row


@fault("F21")
def pruned_under_load(cluster: Cluster, kills: int) -> Row:
    """Delete expired jobs under load: unfinished jobs remain."""
    row = Row("F21", "retention under load", f"{kills} passes")
    ledger = Ledger(cluster)
    application = open_application(cluster)
    stop, pruned = Event(), [0]

    def prune() -> None:
        c = jobs.c
        while not stop.is_set():
            with ledger.engine.connect() as db:
                old = db.execute(
                    select(c.id).where(c.id <= ledger.mark, c.state >= int(JobState.SUCCEEDED))
                    .limit(200)
                ).scalars().all()  # fmt: skip
                long_ago = datetime.now(UTC) - timedelta(days=60)
                db.execute(update(jobs).where(c.id.in_(old)).values(ended_at=long_ago))
            pruned[0] += sum(application.retention.prune().values())
            stop.wait(0.05)

    pruner = Thread(target=prune)
    with under_load(cluster, row, ledger):
        pruner.start()
        time.sleep(max(2.0, kills / 2))
        stop.set()
        pruner.join()
    application.close()
    row.note = f"{pruned[0]} old jobs deleted"
    return row


def storm(cluster: Cluster, kills: int) -> Row:
    """Inject the worst faults at once, in little time, for CI."""
    row = Row("all", "kills, flushes and outages at once", f"{kills} of each")
    ledger = Ledger(cluster)
    ledger.schedule(kills, minutes=30)
    with under_load(cluster, row, ledger):
        for n in range(kills):
            if cluster.redis is not None:
                cluster.redis.flush()
            workers, planners = cluster.with_role("worker"), cluster.with_role("scheduler")
            kill_in_turn(cluster, [workers[n % len(workers)]], 1, 0.1, 0.4)
            kill_in_turn(cluster, planners[:1], 1, 0.0, 0.3)
        cluster.database.disturb()
    return row


def _register(cluster: Cluster, name: str) -> Client:
    anyone = Client(cluster.parts[0].port)
    body = {"username": name, "email": f"{name}@example.org", "password": PASSWORD}
    status, response = anyone.call_with_retry("POST", "/api/v1/auth/users", body)
    assert status == 201, response
    return anyone.login(name)


def open_application(cluster: Cluster) -> Application:
    """Return an application on the installation's database, without threads."""
    return build(
        Settings(
            database_url=cluster.database.url,
            data_dir=cluster.folder / "data",
            secret_key=SECRET_KEY,
            database_pool_size=4,
        )
    )
