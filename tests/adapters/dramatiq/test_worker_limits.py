"""A worker's limits: tasks that it does not know, and threads of one owner."""

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from attrs import define, evolve, field

import workbell
from tests.contract.factories import a_job, a_user
from tests.processes import fleet
from workbell.adapters.dramatiq.group_commit import CommitGroup
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.jobs.job import Job, JobState
from workbell.domain.jobs.task import Task
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings
from workbell.services.jobs.requests import NewJob

PATIENCE = 10.0


@define
class Bodies:
    """Task functions that wait for the test, and count how many run."""

    go: Event = field(factory=Event)
    running: list[int] = field(factory=list[int])

    def wait(self, context: workbell.TaskContext, _: Mapping[str, Any]) -> str:
        self.running.append(context.job_id)
        self.go.wait(PATIENCE)
        return "finished"


@pytest.fixture
def bodies() -> Generator[Bodies]:
    bodies = Bodies()
    yield bodies
    bodies.go.set()


@pytest.fixture(params=["memory", "sqlite"])
def application(
    request: pytest.FixtureRequest, tmp_path: Path, bodies: Bodies
) -> Generator[Application]:
    """Return an application on each store."""
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'w.db'}"
    settings = Settings(database_url=url, data_dir=tmp_path / "data", owner_threads=None)
    application = build(settings, tasks=[Task(key="wait", body=bodies.wait)])
    application.migrate_and_register()
    yield application
    bodies.go.set()
    application.close()


def until(condition: Callable[[], Any]) -> Any:
    """Return the first true result of a condition."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.005)
    raise AssertionError(f"the condition is still false after {PATIENCE} s")


def add(application: Application, *jobs: Job) -> list[Job]:
    """Insert jobs that are due now."""
    now = application.clock.now()
    with application.store.begin() as tx:
        added = tx.jobs.add([evolve(job, due_at=now, created_at=now) for job in jobs], now)
    return [job for job in added if job is not None]


def reload(application: Application, job: Job) -> Job:
    return application.jobs.get(SYSTEM, job.id)


def has_succeeded(application: Application, job: Job) -> bool:
    return reload(application, job).state is JobState.SUCCEEDED


def add_user(application: Application, name: str) -> Actor:
    with application.store.begin() as tx:
        return Actor.of(tx.users.add(a_user(name, is_email_verified=True)))


def create(application: Application, owner: Actor, task: str = "wait") -> Job:
    return application.jobs.create(owner, NewJob(task_definition=task))[0]


@contextmanager
def running(application: Application, bodies: Bodies, threads: int) -> Generator[None]:
    """Run jobs in threads until the end of the block."""
    runtime = application.runtime(threads=threads)
    runtime.start()
    try:
        yield
    finally:
        bodies.go.set()
        assert runtime.stop(5.0)


# unknown tasks


def test_a_job_of_an_unknown_task_is_returned_uncharged_and_excluded(
    application: Application,
) -> None:
    """The job behind it runs in the same turn."""
    worker = application.worker(2)
    new, known = add(application, a_job(task="new", priority=1), a_job(task="echo"))
    worker.drain("default")
    worker.flush()
    row = reload(application, new)
    assert (row.state, row.attempt, row.token) == (JobState.READY, 0, 2)
    assert application.jobs.attempts(SYSTEM, new.id) == []
    assert reload(application, known).state is JobState.SUCCEEDED
    assert list(worker.unknown.excluded()) == ["new"]
    assert len(worker.held) == 0
    values = fleet.parse_metrics(application.metrics.exposition().decode())
    assert values['workbell_unknown_claims_total{task="new"}'] == 1
    worker.drain("default")
    assert reload(application, new).token == 2


def test_an_excluded_task_runs_once_the_process_knows_it(application: Application) -> None:
    worker = application.worker(2)
    (new,) = add(application, a_job(task="new"))
    worker.drain("default")
    application.tasks.add(Task(key="new", body=lambda *_: "ran"))
    worker.drain("default")
    worker.flush()
    row = reload(application, new)
    assert (row.state, row.result, row.attempt) == (JobState.SUCCEEDED, "ran", 1)


def test_claims_that_cannot_be_returned_are_returned_later(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their leases are renewed until then, so that no attempt is lost."""
    worker = application.worker(2)
    new, known = add(application, a_job(task="new", priority=1), a_job(task="echo"))

    def fail(_: object) -> None:
        raise workbell.Unavailable("the database is away")

    with monkeypatch.context() as broken:
        broken.setattr(type(application.execution), "release", lambda _, claims: fail(claims))
        worker.drain("default")
        assert reload(application, new).state is JobState.RUNNING
        assert worker.held.find(new.id) is not None
    worker.return_unstarted()
    assert (reload(application, new).state, reload(application, new).attempt) == (JobState.READY, 0)
    worker.drain("default")
    worker.flush()
    assert reload(application, known).state is JobState.SUCCEEDED


def test_a_heartbeat_stores_what_the_worker_knows_and_excludes(application: Application) -> None:
    worker = application.worker(2)
    add(application, a_job(task="new"))
    worker.drain("default")
    worker.renew_leases()
    (row,) = application.jobs.workers(SYSTEM)
    assert {"echo", "wait"} <= set(row.knows)
    assert "new" not in row.knows
    assert list(row.excluded) == ["new"]


def test_a_turn_without_work_passes_its_wake_up_on_once_a_second(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work may be of a task that only another process knows."""
    worker, passed = application.worker(2), list[str]()
    monkeypatch.setattr(
        type(worker.wakeups), "wake_other_process", lambda _, queue: passed.append(queue)
    )
    worker.drain("default")
    assert passed == []
    add(application, a_job(task="new"))
    worker.drain("default")  # the first is for the returned claim
    worker.drain("default")
    worker.drain("default")
    assert passed == ["default", "default"]


# the threads of an owner


def test_one_owner_gets_three_quarters_of_the_threads(
    application: Application, bodies: Bodies
) -> None:
    """All jobs of the first owner are in front, and two threads stay free for others."""
    ann, bob = add_user(application, "ann"), add_user(application, "bob")
    slow = [create(application, ann) for _ in range(12)]
    quick = [create(application, bob, "echo") for _ in range(3)]
    with running(application, bodies, 8):
        until(lambda: len(bodies.running) == 6)
        until(lambda: all(map(partial(has_succeeded, application), quick)))
        later = create(application, bob, "echo")
        until(lambda: has_succeeded(application, later))
        assert len(bodies.running) == 6
        bodies.go.set()
        until(lambda: all(map(partial(has_succeeded, application), slow)))
    assert sorted(bodies.running) == [job.id for job in slow]


def test_rows_behind_those_of_a_saturated_owner_are_claimed_at_once(
    application: Application, bodies: Bodies
) -> None:
    """Without a sweep or another wake-up: one turn claims twice."""
    ann, bob = add_user(application, "ann"), add_user(application, "bob")
    worker = application.worker(4)
    first = [create(application, ann) for _ in range(8)]
    (behind,) = add(application, a_job(task="wait", owner=bob.user_id, priority=-1))
    bodies.go.set()
    claims = worker._commit_group("default", CommitGroup(threads=4))
    assert sorted(claim.id for claim in claims) == [*(job.id for job in first[:3]), behind.id]


def test_the_system_may_use_every_thread(application: Application, bodies: Bodies) -> None:
    for _ in range(4):
        create(application, SYSTEM)
    with running(application, bodies, 4):
        until(lambda: len(bodies.running) == 4)


def test_a_lone_owner_costs_no_second_claim_per_job(
    application: Application, bodies: Bodies, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker remembers that nothing is behind the rows of a saturated owner."""
    ann = add_user(application, "ann")
    for _ in range(9):
        create(application, ann)
    bodies.go.set()
    worker, calls = application.worker(4), list[int]()
    claim = type(application.execution).claim

    def counted(*args: Any, **fields: Any) -> Any:
        calls.append(fields["limit"])
        return claim(*args, **fields)

    monkeypatch.setattr(type(application.execution), "claim", counted)
    worker.threads.busy = 1
    worker._commit_group("default", CommitGroup(threads=1))
    assert calls == [4, 1]
    for _ in range(3):
        while worker.queues["default"].pop():
            pass
        (job_id, *_) = worker.held._contexts
        context = worker.held.find(job_id)
        assert context is not None
        settlement = application.execution.run(context.claim, context)
        assert settlement is not None
        group = CommitGroup(threads=1, settlements=[settlement])
        assert len(worker._commit_group("default", group)) == 1
    assert calls == [4, 1, 4, 4, 4]
