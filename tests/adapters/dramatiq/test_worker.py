"""The worker: claiming, running, settling and stopping."""

import time
from collections.abc import Callable, Generator, Mapping
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from attrs import define, field

import workbell
from tests.processes import fleet
from workbell.adapters.dramatiq import runtime as engine
from workbell.adapters.dramatiq.runtime import PeriodicThread
from workbell.adapters.dramatiq.wakeups import LocalWakeups
from workbell.adapters.dramatiq.worker import JobWorker
from workbell.domain.identity.actor import SYSTEM
from workbell.domain.jobs.attempt import Outcome
from workbell.domain.jobs.job import Job, JobId, JobState
from workbell.domain.jobs.task import Interrupted, OnLost, Task
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings
from workbell.services.jobs.requests import NewJob

PATIENCE = 10.0


@define
class Bodies:
    """Task functions that wait for the test."""

    started: Event = field(factory=Event)
    go: Event = field(factory=Event)
    interruptions: list[str] = field(factory=list[str])

    def wait(self, context: workbell.TaskContext, _: Mapping[str, Any]) -> str:
        """Check for a stop until the test sets `go`."""
        self.started.set()
        try:
            while not self.go.wait(0.005):
                context.check()
        except Interrupted as stop:
            self.interruptions.append(type(stop).__name__)
            raise
        return "finished"

    def unresponsive(self, _: workbell.TaskContext, __: Mapping[str, Any]) -> str:
        """Never check for a stop."""
        self.started.set()
        self.go.wait(PATIENCE)
        return "finished"

    def write_notes(self, context: workbell.TaskContext, parameters: Mapping[str, Any]) -> None:
        """Log some lines, report progress, store a file."""
        for n in range(parameters["lines"]):
            context.log.info("line", n=n)
        context.progress(parameters["lines"], note="done")
        context.artifact("notes.txt", b"text", "text/plain")


@pytest.fixture
def bodies() -> Generator[Bodies]:
    """Return the task functions; they all end at the end of the test."""
    bodies = Bodies()
    yield bodies
    bodies.go.set()


@pytest.fixture(params=["memory", "sqlite"])
def application(
    request: pytest.FixtureRequest, tmp_path: Path, bodies: Bodies
) -> Generator[Application]:
    """Return an application on each store, with tasks that the test controls."""
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'w.db'}"
    tasks = [
        Task(key="wait", body=bodies.wait),
        Task(key="brief", body=bodies.wait, timeout_seconds=1, max_attempts=1),
        Task(key="unresponsive", body=bodies.unresponsive),
        Task(key="once", body=bodies.unresponsive, on_lost=OnLost.FAIL),
        Task(key="notes", body=bodies.write_notes),
        Task(key="batch", body=lambda _, p: p, batch=True),
    ]
    settings = Settings(database_url=url, data_dir=tmp_path / "data", lease_seconds=2)
    application = build(settings, tasks=tasks)
    application.migrate_and_register()
    yield application
    bodies.go.set()
    application.close()


def create(application: Application, task: str, **parameters: Any) -> Job:
    """Enqueue a job."""
    return application.jobs.create(SYSTEM, NewJob(task_definition=task, parameters=parameters))[0]


def reload(application: Application, job: Job) -> Job:
    """Return the stored job."""
    return application.jobs.get(SYSTEM, job.id)


def metric_values(application: Application) -> Mapping[str, float]:
    """Return the values of all metrics of an application."""
    return fleet.parse_metrics(application.metrics.exposition().decode())


def until(condition: Callable[[], Any]) -> Any:
    """Return the first true result of a condition."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.005)
    raise AssertionError(f"the condition is still false after {PATIENCE} s")


def wait_ended(application: Application, job: Job) -> Job:
    """Wait until a job has ended, and return it."""
    until(lambda: reload(application, job).state.ended)
    return reload(application, job)


def run_until_lease_expires(
    application: Application, worker: JobWorker, bodies: Bodies, job: Job
) -> Thread:
    """Run a job in a thread until its lease has expired, and return the thread."""
    thread = Thread(target=worker.drain, args=("default",))
    thread.start()
    bodies.started.wait(PATIENCE)
    lease_until = reload(application, job).lease_until
    assert lease_until is not None
    until(lambda: application.clock.now() > lease_until)
    return thread


@pytest.fixture
def running(application: Application) -> Generator[Application]:
    """Return an application whose runtime is started."""
    runtime = application.runtime(threads=2)
    runtime.start()
    yield application
    runtime.stop(2.0)


def test_a_new_job_runs_at_once(running: Application) -> None:
    """The commit wakes a thread, and the result is stored."""
    created = create(running, "echo", a=1)

    job = wait_ended(running, created)

    assert (job.state, job.result, job.attempt) == (JobState.SUCCEEDED, {"a": 1}, 1)


def test_every_outcome_of_a_batch_task_is_stored(running: Application) -> None:
    """More rows than one batch has."""
    created = running.jobs.create_many(
        SYSTEM, [NewJob(task_definition="batch", parameters={"n": n}) for n in range(250)]
    )

    assert [wait_ended(running, job).result for job in created] == [{"n": n} for n in range(250)]


def test_a_later_job_runs_when_it_is_due(running: Application) -> None:
    """The sweeper finds it."""
    due = running.clock.now() + timedelta(seconds=0.2)
    created, _ = running.jobs.create(SYSTEM, NewJob(scheduled_time=due))

    job = wait_ended(running, created)

    assert job.started_at is not None
    assert job.started_at >= due


def test_a_running_job_is_cancelled_at_its_next_check(running: Application, bodies: Bodies) -> None:
    """The body learns of it at its next check."""
    created = create(running, "wait")
    bodies.started.wait(PATIENCE)

    running.jobs.cancel(SYSTEM, created.id)

    assert wait_ended(running, created).state is JobState.CANCELLED
    assert bodies.interruptions == ["Cancelled"]


def test_a_job_past_its_time_limit_is_stopped(running: Application, bodies: Bodies) -> None:
    """The outcome is a timeout; it was the last attempt, so the job has failed."""
    job = wait_ended(running, create(running, "brief"))

    assert (job.state, bodies.interruptions) == (JobState.FAILED, ["TimedOut"])
    (attempt,) = running.jobs.attempts(SYSTEM, job.id)
    assert attempt.outcome is Outcome.TIMED_OUT


def test_log_progress_and_files_of_a_job_are_stored(running: Application) -> None:
    """The first 200 and the last 800 lines are stored."""
    job = wait_ended(running, create(running, "notes", lines=1500))

    lines = running.jobs.logs(SYSTEM, job.id, attempt=1, after=0, limit=2000)
    assert [line.seq for line in lines] == [*range(1, 201), *range(701, 1501)]
    assert lines[0].text == "line n=0"
    assert job.progress is not None
    assert (job.progress.done, job.progress.note) == (1500, "done")
    artifact, content = running.jobs.artifact(SYSTEM, job.id, "notes.txt")
    assert (artifact.media_type, b"".join(content)) == ("text/plain", b"text")


def test_stopping_interrupts_jobs_without_using_an_attempt(
    application: Application, bodies: Bodies
) -> None:
    """The job is released and has as many attempts left as before."""
    runtime = application.runtime(threads=1)
    runtime.start()
    created = create(application, "wait")
    bodies.started.wait(PATIENCE)

    assert runtime.stop(5.0)

    job = reload(application, created)
    assert job.state.waiting
    assert (job.tries, job.max_attempts) == (0, created.max_attempts)
    assert bodies.interruptions == ["ShuttingDown"]


def test_stopping_waits_at_most_for_the_grace_period(
    application: Application, bodies: Bodies
) -> None:
    """An unresponsive job stays running until its lease expires."""
    runtime = application.runtime(threads=1)
    runtime.start()
    created = create(application, "unresponsive")
    bodies.started.wait(PATIENCE)

    assert not runtime.stop(0.1)

    assert reload(application, created).state is JobState.RUNNING


def test_the_outcome_of_a_reaped_attempt_is_refused(
    application: Application, bodies: Bodies
) -> None:
    """Its fencing token is stale."""
    worker = application.worker(1)
    created = create(application, "unresponsive")
    thread = run_until_lease_expires(application, worker, bodies, created)
    application.execution.sweep()
    reaped = reload(application, created)

    bodies.go.set()
    thread.join()

    assert reaped.state is JobState.SCHEDULED
    assert reload(application, created) == reaped
    assert metric_values(application)["workbell_job_stale_outcomes_total"] == 1


def test_a_heartbeat_interrupts_a_job_whose_lease_is_lost(
    application: Application, bodies: Bodies
) -> None:
    """It stops at its next check, and no outcome is stored."""
    worker = application.worker(1)
    created = create(application, "wait")
    thread = run_until_lease_expires(application, worker, bodies, created)
    application.execution.sweep()

    worker.renew_leases()
    thread.join(PATIENCE)

    assert bodies.interruptions == ["OwnershipLost"]
    assert metric_values(application)["workbell_job_stale_outcomes_total"] == 0
    assert reload(application, created).state is JobState.SCHEDULED


def test_a_job_that_may_run_only_once_fails_when_its_lease_is_lost(
    application: Application, bodies: Bodies
) -> None:
    """`on_lost="fail"`: the job is not run again."""
    worker = application.worker(1)
    created = create(application, "once")
    thread = run_until_lease_expires(application, worker, bodies, created)

    application.execution.sweep()

    assert reload(application, created).state is JobState.FAILED
    bodies.go.set()
    thread.join()


def test_unstarted_claims_are_returned(application: Application) -> None:
    """They use no attempt."""
    worker = application.worker(1)
    first = create(application, "echo")
    application.jobs.create_many(SYSTEM, [NewJob(task_definition="batch")] * 3)
    claims, _ = application.execution.claim(
        "default", worker=worker.process.id, limit=10, free_threads=4
    )
    assert len(claims) == 4
    worker.enqueue_claims("default", claims)

    worker.return_unstarted()

    assert reload(application, first).state is JobState.READY
    assert reload(application, first).attempt == 0
    assert not worker.held


def test_no_lease_is_reaped_for_one_lease_after_a_clock_jump(application: Application) -> None:
    """The jump may have created live leases look expired."""
    runtime = application.runtime(threads=1)
    runtime.anchor = lambda: -3600.0
    worker = application.worker(1)
    created = create(application, "echo")
    application.execution.claim("default", worker=worker.process.id, limit=1, free_threads=1)
    until(
        lambda: (
            application.clock.now()
            > (reload(application, created).lease_until or application.clock.now())
        )
    )

    runtime.heartbeat()
    runtime.sweep()

    assert reload(application, created).state is JobState.RUNNING
    assert metric_values(application)["workbell_clock_jumps_total"] == 1


def test_a_failed_turn_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception does not end the thread."""
    monkeypatch.setattr(engine, "RETRY_SECONDS", 0.0)
    turns: list[int] = []
    enough = Event()

    def turn() -> float:
        turns.append(1)
        if len(turns) == 3:
            enough.set()
        if len(turns) == 1:
            raise workbell.Unavailable("away")
        if len(turns) == 2:
            raise RuntimeError("worse")
        return 60.0

    thread = PeriodicThread("test", turn)
    thread.start()

    assert enough.wait(PATIENCE)
    thread.stop()


def test_outcomes_of_a_failed_commit_are_committed_later(application: Application) -> None:
    """No job runs twice."""
    worker = application.worker(1)
    created = create(application, "batch", n=1)
    settle = application.execution.settle
    claim = application.execution.claim
    broken = [True]

    def fail_once(*args: Any, **kwargs: Any) -> Any:
        if broken and kwargs.get("finished"):
            broken.clear()
            raise workbell.Unavailable("the disk is full")
        return claim(*args, **kwargs)

    object.__setattr__(worker, "execution", _Patched(application.execution, fail_once, settle))
    worker.drain("default")
    assert reload(application, created).state is JobState.RUNNING

    worker.flush()

    assert reload(application, created).state is JobState.SUCCEEDED
    assert metric_values(application)['workbell_job_run_seconds_count{task="batch"}'] == 1


class _Patched:
    """An execution service with another `claim` and `settle`."""

    def __init__(self, execution: Any, claim: Any, settle: Any) -> None:
        self._execution, self.claim, self.settle = execution, claim, settle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._execution, name)


def test_a_running_worker_is_listed(running: Application) -> None:
    """The row has its threads and queues."""
    (worker,) = until(lambda: running.jobs.workers(SYSTEM))

    assert (worker.threads, list(worker.queues)) == (2, ["default", "deliveries"])


def test_a_stopped_worker_is_not_listed(application: Application) -> None:
    """Its row is deleted."""
    runtime = application.runtime(threads=1)
    runtime.start()
    until(lambda: application.jobs.workers(SYSTEM))

    runtime.stop(1.0)

    assert application.jobs.workers(SYSTEM) == []


def test_an_unknown_job_is_not_found(application: Application) -> None:
    """The error is NotFound."""
    with pytest.raises(workbell.NotFound):
        application.jobs.get(SYSTEM, JobId(10_000))


@pytest.mark.parametrize("first", ["default", "default.DQ"])
def test_stopping_idle_threads_logs_nothing(first: str, caplog: Any) -> None:
    wakeups = LocalWakeups(queues=["default"], threads=2, drain=lambda _: None)
    wakeups.start()
    worker = wakeups._worker
    assert worker is not None
    worker.consumers = dict(sorted(worker.consumers.items(), key=lambda each: each[0] != first))
    assert next(iter(worker.consumers)) == first
    wakeups.stop(5.0)
    assert not [each for each in caplog.records if each.name.startswith("dramatiq")]
