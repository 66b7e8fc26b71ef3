"""Several processes, started and stopped in any order, without a leader."""

import signal
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import select, update

from tests.contract.servers import admin_url
from tests.processes.fleet import (
    PASSWORD,
    PATIENCE,
    RARE_SWEEPS,
    Fleet,
    OwnRedis,
    Part,
    TcpProxy,
    parse_metrics,
    until,
)
from workbell.adapters.sql.schema.tables import schedules as schedule_rows
from workbell.adapters.sql.store import SqlStore
from workbell.domain.identity.actor import ALL_OWNERS, SYSTEM
from workbell.domain.jobs.attempt import Outcome
from workbell.domain.jobs.job import JobOrigin, JobState
from workbell.domain.rate_limits.policy import Policy, Rate, RateLimitKey, Subject
from workbell.domain.schedules.schedule import MisfirePolicy, OverlapPolicy
from workbell.ports.jobs.views import JobFilter
from workbell.services.jobs.requests import NewJob
from workbell.services.schedules.requests import NewSchedule

pytestmark = pytest.mark.integration

SCHEDULES = 30
MISSED = 5
USUAL_PORTS = {"postgresql": 5432, "mariadb": 3306}


def test_two_schedulers_and_two_workers_run_each_tick_once(fleet: Fleet) -> None:
    """Four processes catch up on missed minutes concurrently."""
    schedules = [
        fleet.application.schedules.create(
            SYSTEM,
            NewSchedule(
                task_definition="touch",
                cron_expression="* * * * *",
                misfire_policy=MisfirePolicy.ALL,
                overlap_policy=OverlapPolicy.ALLOW_ALL,
                parameters={"file": str(fleet.folder / f"{n}.runs")},
            ),
        ).schedule
        for n in range(SCHEDULES)
    ]
    assert isinstance(fleet.application.store, SqlStore)
    with fleet.application.store._connections.writing() as connection:
        c, by = schedule_rows.c, timedelta(minutes=MISSED)
        for number, next_at in connection.execute(select(c.id, c.next_at)).all():
            connection.execute(
                update(schedule_rows).where(c.id == number).values(next_at=next_at - by)
            )
    parts = [fleet.start(part, ready=False) for part in ("worker", "scheduler") * 2]

    def caught_up() -> bool:
        with fleet.application.store.view() as tx:
            done = tx.jobs.count(ALL_OWNERS, JobFilter(origins=[JobOrigin.SCHEDULE], statuses=None))
        return done >= SCHEDULES * MISSED

    for part in parts:
        until(part.is_ready)
    until(caught_up)
    until(lambda: not any(unfinished(fleet)))
    assert [part.terminate() for part in parts] == [0] * 4
    with fleet.application.store.view() as tx:
        jobs = tx.jobs.find(ALL_OWNERS, JobFilter(), limit=10_000)
    ticks = [(job.schedule_id, job.tick) for job in jobs]
    assert len(set(ticks)) == len(ticks)
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}
    for n, schedule in enumerate(schedules):
        runs = (fleet.folder / f"{n}.runs").read_text().split()
        assert sorted(map(int, runs)) == sorted(
            job.id for job in jobs if job.schedule_id == schedule.id
        )


def unfinished(fleet: Fleet) -> list[JobState]:
    """Return the states of unfinished jobs."""
    with fleet.application.store.view() as tx:
        jobs = tx.jobs.find(ALL_OWNERS, JobFilter(), limit=10_000)
    return [job.state for job in jobs if not job.state.ended]


def test_enqueueing_wakes_a_worker_in_another_process(fleet: Fleet) -> None:
    """The worker sweeps only every ten minutes, so the wake-up started the job."""
    worker = fleet.start("worker", code=RARE_SWEEPS, metrics_token="token-of-prometheus")
    for _ in range(3):
        job = fleet.wait_for_end(fleet.enqueue("touch", file=str(fleet.folder / "woken")))
        assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)
    assert worker.get("/livez") == (200, {"status": "alive"})
    assert worker.get("/metrics")[0] == 401
    status, said = worker.get("/metrics", "token-of-prometheus")
    assert status == 200
    found = parse_metrics(said)
    assert found['workbell_job_queue_wait_seconds_count{task="touch"}'] == 3
    assert found['workbell_job_attempts_total{outcome="succeeded",task="touch"}'] == 3
    assert found["workbell_worker_threads"] == 2


def test_jobs_run_while_redis_is_unavailable(fleet: Fleet, redis: OwnRedis) -> None:
    """Enqueueing succeeds, and sweeps find the jobs; wake-ups resume with Redis."""
    worker = fleet.start("worker")
    redis.kill()
    jobs = [fleet.enqueue("touch", file=str(fleet.folder / "away")) for _ in range(20)]
    assert {fleet.wait_for_end(job).state for job in jobs} == {JobState.SUCCEEDED}
    status, said = worker.get("/readyz")
    assert (status, said["status"], said["cache"]) == (200, "ready", "disconnected")
    redis.start()
    until(lambda: worker.get("/readyz")[1]["cache"] == "connected")
    assert fleet.wait_for_end(fleet.enqueue("touch", file=str(fleet.folder / "back"))).attempt == 1
    assert worker.terminate() == 0


def test_a_closed_application_leaves_no_redis_connection(fleet: Fleet, redis: OwnRedis) -> None:
    """Neither for wake-ups nor for rate limits nor for the cache."""
    policy = Policy(name="probe", rate=Rate(5, 60), subject=Subject.USER)
    with Redis.from_url(redis.url) as here:
        fleet.enqueue("touch", file=str(fleet.folder / "never"))
        fleet.application.cache.put("probe", 1, seconds=60)
        fleet.application.rate_limits.limiter.hit(
            [RateLimitKey(policy, "probe")], fleet.application.clock.now()
        )
        fleet.application.check_cache()
        assert len(here.client_list()) > 1
        fleet.application.close()
        until(lambda: len(here.client_list()) == 1)


def test_a_stopped_worker_loses_no_job(fleet: Fleet) -> None:
    """Jobs that end in time are settled; the next worker reruns those that stopped."""
    first = fleet.start("worker", shutdown_grace_seconds="20")
    uninterruptible = fleet.enqueue(
        "hold", file=str(fleet.folder / "uninterruptible"), cancellable=False
    )
    cancellable = fleet.enqueue("hold", file=str(fleet.folder / "cancellable"))
    until(
        lambda: all(
            (fleet.folder / f"{name}.held").exists() for name in ("uninterruptible", "cancellable")
        )
    )
    first.process.send_signal(signal.SIGTERM)
    until(first.is_unready)
    until(lambda: fleet.reload(cancellable).state is not JobState.RUNNING)
    assert fleet.reload(uninterruptible).state is JobState.RUNNING
    (fleet.folder / "uninterruptible").touch()
    assert first.process.wait(PATIENCE) == 0
    assert fleet.reload(uninterruptible).state is JobState.SUCCEEDED
    (fleet.folder / "cancellable").touch()
    second = fleet.start("worker")
    assert fleet.wait_for_end(cancellable).state is JobState.SUCCEEDED
    # the first signal waits for the body, the second does not
    endless = fleet.enqueue("hold", file=str(fleet.folder / "never"), cancellable=False)
    until(lambda: (fleet.folder / "never.held").exists())
    second.process.send_signal(signal.SIGTERM)
    until(second.is_unready)
    assert second.terminate() == 1
    assert fleet.reload(endless).state is JobState.RUNNING


def test_a_worker_with_too_many_written_off_threads_restarts(fleet: Fleet) -> None:
    """It settles the attempt at its deadline and exits with status 70."""
    worker = fleet.start("worker", max_written_off="1", shutdown_grace_seconds="1")
    parameters = {"file": str(fleet.folder / "never"), "cancellable": False}
    new = NewJob(task_definition="hold", parameters=parameters, timeout_seconds=1, max_attempts=1)
    job, _ = fleet.application.jobs.create(SYSTEM, new)
    assert worker.process.wait(PATIENCE) == 70
    assert fleet.reload(job).state is JobState.FAILED
    (attempt,) = fleet.application.jobs.attempts(SYSTEM, job.id)
    assert attempt.outcome is Outcome.TIMED_OUT


def test_readiness_follows_the_database(fleet: Fleet, kind: str) -> None:
    """Worker, scheduler and API report when the database fails and when it is back."""
    server = admin_url(kind)
    proxy = TcpProxy((server.host or "127.0.0.1", server.port or USUAL_PORTS[kind]))
    proxy.open()
    through = server.set(
        database=fleet.database_url.rpartition("/")[2], host="127.0.0.1", port=proxy.port
    ).render_as_string(hide_password=False)
    parts = [
        fleet.start(part, ready=False, database_url=through)
        for part in ("api", "scheduler", "worker")
    ]
    for part in parts:
        until(part.is_ready)
    proxy.close()
    for part in parts:
        until(part.is_unready)
        assert part.get("/livez")[0] == 200
    proxy.open()
    for part in parts:
        until(part.is_ready)
    api, _, worker = parts
    job = fleet.enqueue("touch", file=str(fleet.folder / "after"))
    assert fleet.wait_for_end(job).state is JobState.SUCCEEDED
    assert listed_workers(api) == {worker.process.pid}
    assert [part.terminate() for part in parts] == [0, 0, 0]


def listed_workers(api: Part) -> set[int]:
    """Return the process ids of the workers that the API lists."""
    credentials = {"username": "admin", "password": PASSWORD}

    def token() -> str:  # the first use of a broken connection fails
        status, answer = api.call("POST", "/api/v1/auth/login", body=credentials)
        return str(answer["access"]) if status == 200 else ""

    status, found = api.call("GET", "/api/v1/workers", until(token))
    assert status == 200, found
    return {row["pid"] for row in (found["results"] if isinstance(found, dict) else found)}


@pytest.mark.parametrize("kind", ["postgresql"])  # nothing here depends on the kind of server
def test_a_process_that_cannot_start_prints_one_line(fleet: Fleet, tmp_path: Path) -> None:
    """Port in use, SQLite instead of a server, missing schema: exit status 2."""
    from tests.contract.servers import address, new_database

    taken = fleet.start("worker").port
    refused = {
        "the port is in use": fleet.start("worker", ready=False, metrics_port=str(taken)),
        "port is in use": fleet.start("api", "--port", str(taken), ready=False),
        f"127.0.0.1:{taken}: the port is in use": fleet.start(
            "api", "--port", str(taken), "--workers", "2", ready=False
        ),
        "needs PostgreSQL, MySQL or MariaDB": fleet.start(
            "scheduler", ready=False, database_url=f"sqlite:///{tmp_path / 'x.db'}"
        ),
        "run `workbell migrate` first": fleet.start(
            "api", ready=False, database_url=address(new_database("postgresql"))
        ),
    }
    for reason, part in refused.items():
        assert part.process.wait(PATIENCE) == 2
        said = [line for line in part.log.read_text().splitlines() if line.startswith("workbell:")]
        assert len(said) == 1 and reason in said[0], part.log.read_text()
