"""The worker: claims, runs, settles, and stops as promised."""

import time
from collections.abc import Callable, Generator, Mapping
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from attrs import define, evolve, field

import workbell
from tests.processes import fleet
from workbell.adapters.dramatiq.runtime import PeriodicThread
from workbell.adapters.dramatiq.wakeups import LocalWakeups
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
    """Bodies of tasks that wait for the test."""

    started: Event = field(factory=Event)
    go: Event = field(factory=Event)
    seen: list[str] = field(factory=list[str])

    def wait(self, context: workbell.TaskContext, _: Mapping[str, Any]) -> str:
        """Ask again and again whether to stop, until told to go on."""
        self.started.set()
        try:
            while not self.go.wait(0.005):
                context.check()
        except Interrupted as stop:
            self.seen.append(type(stop).__name__)
            raise
        return "gone on"

    def deaf(self, _: workbell.TaskContext, __: Mapping[str, Any]) -> str:
        """Never ask whether to stop."""
        self.started.set()
        self.go.wait(PATIENCE)
        return "never asked"

    def talk(self, context: workbell.TaskContext, parameters: Mapping[str, Any]) -> None:
        """Log so many lines, tell the progress, keep a file."""
        for n in range(parameters["lines"]):
            context.log.info("line", n=n)
        context.progress(parameters["lines"], note="done")
        context.artifact("talk.txt", b"said", "text/plain")


@pytest.fixture
def bodies() -> Generator[Bodies]:
    """Return bodies; whatever still waits is let go at the end."""
    made = Bodies()
    yield made
    made.go.set()


@pytest.fixture(params=["memory", "sqlite"])
def application(
    request: pytest.FixtureRequest, tmp_path: Path, bodies: Bodies
) -> Generator[Application]:
    """Return a house on each store, with tasks that the test controls."""
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'w.db'}"
    tasks = [
        Task(key="wait", body=bodies.wait),
        Task(key="brief", body=bodies.wait, timeout_seconds=1, max_attempts=1),
        Task(key="deaf", body=bodies.deaf),
        Task(key="once", body=bodies.deaf, on_lost=OnLost.FAIL),
        Task(key="talk", body=bodies.talk),
        Task(key="batch", body=lambda _, p: p, batch=True),
    ]
    settings = Settings(database_url=url, data_dir=tmp_path / "data", lease_seconds=2)
    made = build(settings, tasks=tasks)
    made.migrate_and_register()
    yield made
    bodies.go.set()
    made.close()


def create(application: Application, task: str, **parameters: Any) -> Job:
    """Enqueue a job."""
    return application.jobs.create(SYSTEM, NewJob(task_definition=task, parameters=parameters))[0]


def see(application: Application, job: Job) -> Job:
    """Return a job as it stands."""
    return application.jobs.get(SYSTEM, job.id)


def counted(application: Application) -> Mapping[str, float]:
    """Return the values of the metrics of a house."""
    return fleet.parse_metrics(application.metrics.exposition().decode())


def until(look: Callable[[], Any]) -> Any:
    """Return what a look finds as soon as it finds something."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.005)
    raise AssertionError("it did not come about in time")


def ended(application: Application, job: Job) -> Job:
    """Return a job when it has ended."""
    until(lambda: see(application, job).state.ended)
    return see(application, job)


@pytest.fixture
def running(application: Application) -> Generator[Application]:
    """Return a house whose runtime has been started."""
    runtime = application.runtime(threads=2)
    runtime.start()
    yield application
    runtime.stop(2.0)


def test_work_that_comes_is_run_at_once(running: Application) -> None:
    """The commit wakes a thread; the result is the row's."""
    made = create(running, "echo", a=1)

    job = ended(running, made)

    assert (job.state, job.result, job.attempt) == (JobState.SUCCEEDED, {"a": 1}, 1)


def test_batch_work_is_run_and_every_outcome_is_kept(running: Application) -> None:
    """A hundred rows and more, in whatever batches."""
    made = running.jobs.create_many(
        SYSTEM, [NewJob(task_definition="batch", parameters={"n": n}) for n in range(250)]
    )

    assert [ended(running, job).result for job in made] == [{"n": n} for n in range(250)]


def test_work_due_later_is_run_when_it_is_due(running: Application) -> None:
    """The sweeper finds it by itself."""
    due = running.clock.now() + timedelta(seconds=0.2)
    made, _ = running.jobs.create(SYSTEM, NewJob(scheduled_time=due))

    job = ended(running, made)

    assert job.started_at is not None
    assert job.started_at >= due


def test_cancelling_reaches_a_body_that_asks(running: Application, bodies: Bodies) -> None:
    """It is told within a heartbeat, and ends cancelled."""
    made = create(running, "wait")
    bodies.started.wait(PATIENCE)

    running.jobs.cancel(SYSTEM, made.id)

    assert ended(running, made).state is JobState.CANCELLED
    assert bodies.seen == ["Cancelled"]


def test_a_body_that_is_out_of_time_is_stopped(running: Application, bodies: Bodies) -> None:
    """The attempt says timeout; none is left, so it has failed."""
    job = ended(running, create(running, "brief"))

    assert (job.state, bodies.seen) == (JobState.FAILED, ["TimedOut"])
    (attempt,) = running.jobs.attempts(SYSTEM, job.id)
    assert attempt.outcome is Outcome.TIMEOUT


def test_logs_progress_and_files_stay_with_the_job(running: Application) -> None:
    """The first 200 and the last 800 lines are kept."""
    job = ended(running, create(running, "talk", lines=1500))

    lines = running.jobs.logs(SYSTEM, job.id, attempt=1, after=0, limit=2000)
    assert [line.seq for line in lines] == [*range(1, 201), *range(701, 1501)]
    assert lines[0].text == "line n=0"
    assert job.progress is not None
    assert (job.progress.done, job.progress.note) == (1500, "done")
    artifact, content = running.jobs.artifact(SYSTEM, job.id, "talk.txt")
    assert (artifact.media_type, b"".join(content)) == ("text/plain", b"said")


def test_stopping_interrupts_bodies_that_ask_and_costs_no_attempt(
    application: Application, bodies: Bodies
) -> None:
    """The job is given back and may be tried as often as before."""
    runtime = application.runtime(threads=1)
    runtime.start()
    made = create(application, "wait")
    bodies.started.wait(PATIENCE)

    assert runtime.stop(5.0)

    job = see(application, made)
    assert job.state.waiting
    assert job.max_attempts - job.attempt == made.max_attempts
    assert bodies.seen == ["ShuttingDown"]


def test_stopping_waits_no_longer_than_the_grace(application: Application, bodies: Bodies) -> None:
    """A deaf body is left to its lease; its thread did not come to rest."""
    runtime = application.runtime(threads=1)
    runtime.start()
    made = create(application, "deaf")
    bodies.started.wait(PATIENCE)

    assert not runtime.stop(0.1)

    assert see(application, made).state is JobState.RUNNING


def test_a_worker_that_was_given_up_writes_nothing(
    application: Application, bodies: Bodies
) -> None:
    """Its job was reaped and tried again meanwhile; the fence refuses its outcome."""
    worker, _ = application.worker(1)
    made = create(application, "deaf")
    thread = Thread(target=worker.drain, args=("default",))
    thread.start()
    bodies.started.wait(PATIENCE)
    until(
        lambda: (
            application.clock.now()
            > (see(application, made).lease_until or application.clock.now())
        )
    )
    application.execution.sweep()
    reaped = see(application, made)

    bodies.go.set()
    thread.join()

    assert reaped.state is JobState.SCHEDULED
    assert see(application, made) == reaped
    assert counted(application)["workbell_job_stale_outcomes_total"] == 1


def test_a_heartbeat_tells_a_body_that_its_claim_is_lost(
    application: Application, bodies: Bodies
) -> None:
    """It stops at its next check, and nothing is written."""
    worker, _ = application.worker(1)
    made = create(application, "wait")
    thread = Thread(target=worker.drain, args=("default",))
    thread.start()
    bodies.started.wait(PATIENCE)
    until(
        lambda: (
            application.clock.now()
            > (see(application, made).lease_until or application.clock.now())
        )
    )
    application.execution.sweep()

    worker.beat()
    thread.join(PATIENCE)

    assert bodies.seen == ["OwnershipLost"]
    assert counted(application)["workbell_job_stale_outcomes_total"] == 0
    assert see(application, made).state is JobState.SCHEDULED


def test_a_job_that_may_run_once_only_fails_when_it_is_lost(
    application: Application, bodies: Bodies
) -> None:
    """`on_lost="fail"`: the body is not run again."""
    worker, _ = application.worker(1)
    made = create(application, "once")
    thread = Thread(target=worker.drain, args=("default",))
    thread.start()
    bodies.started.wait(PATIENCE)
    until(
        lambda: (
            application.clock.now()
            > (see(application, made).lease_until or application.clock.now())
        )
    )

    application.execution.sweep()

    assert see(application, made).state is JobState.FAILED
    bodies.go.set()
    thread.join()


def test_rows_that_nobody_started_go_back(application: Application) -> None:
    """The attempt is given back with them."""
    worker, _ = application.worker(1)
    first = create(application, "echo")
    application.jobs.create_many(SYSTEM, [NewJob(task_definition="batch")] * 3)
    claims, _ = application.execution.claim(
        "default", worker=worker.process.id, limit=10, free_threads=4
    )
    assert len(claims) == 4
    worker.enqueue_claims("default", claims)

    worker.give_back()

    assert see(application, first).state is JobState.READY
    assert see(application, first).attempt == 0
    assert not worker.held


def test_a_process_with_half_of_its_threads_stuck_says_so(
    application: Application, bodies: Bodies
) -> None:
    """It claims nothing more and calls for its end, once."""
    calls: list[str] = []
    runtime = application.runtime(threads=2, on_stuck=lambda: calls.append("stuck"))
    assert runtime.worker is not None
    made = create(application, "deaf")
    thread = Thread(target=runtime.worker.drain, args=("default",))
    thread.start()
    bodies.started.wait(PATIENCE)
    context = runtime.worker.held.find(made.id)
    assert context is not None
    long_ago = context.claim.started_at - timedelta(hours=1)
    context.claim = evolve(context.claim, started_at=long_ago)

    runtime.beat()
    runtime.beat()

    assert calls == ["stuck"]
    assert not runtime.worker.threads.is_open
    bodies.go.set()
    thread.join()


def test_a_moved_clock_reaps_nothing_for_one_lease(application: Application) -> None:
    """Leases that seem to have run out may only have been moved."""
    runtime = application.runtime(threads=1)
    runtime.anchor = lambda: -3600.0
    worker, _ = application.worker(1)
    made = create(application, "echo")
    application.execution.claim("default", worker=worker.process.id, limit=1, free_threads=1)
    until(
        lambda: (
            application.clock.now()
            > (see(application, made).lease_until or application.clock.now())
        )
    )

    runtime.beat()
    runtime.sweep()

    assert see(application, made).state is JobState.RUNNING
    assert counted(application)["workbell_clock_jumps_total"] == 1


def test_a_failing_turn_is_tried_again() -> None:
    """A loop outlives what its turn raises."""
    turns: list[int] = []
    enough = Event()

    def turn() -> float:
        turns.append(1)
        loop.trigger()
        if len(turns) == 3:
            enough.set()
        if len(turns) == 1:
            raise workbell.Unavailable("away")
        if len(turns) == 2:
            raise RuntimeError("worse")
        return 60.0

    loop = PeriodicThread("test", turn)
    loop.start()

    assert enough.wait(PATIENCE)
    loop.stop()


def test_outcomes_that_could_not_be_committed_are_kept(application: Application) -> None:
    """They are committed with the next ones; nothing is run again."""
    worker, _ = application.worker(1)
    made = create(application, "batch", n=1)
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
    assert see(application, made).state is JobState.RUNNING

    worker.flush()

    assert see(application, made).state is JobState.SUCCEEDED
    assert counted(application)['workbell_job_run_seconds_count{task="batch"}'] == 1


class _Patched:
    """An execution whose claim is another one's."""

    def __init__(self, execution: Any, claim: Any, settle: Any) -> None:
        self._execution, self.claim, self.settle = execution, claim, settle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._execution, name)


def test_the_worker_shows_itself_while_it_lives(running: Application) -> None:
    """Its row has its threads and queues; it goes when the worker does."""
    (worker,) = until(lambda: running.jobs.workers(SYSTEM))

    assert (worker.threads, list(worker.queues)) == (2, ["default"])


def test_a_worker_that_has_left_is_not_shown(application: Application) -> None:
    """The row is removed at the end."""
    runtime = application.runtime(threads=1)
    runtime.start()
    until(lambda: application.jobs.workers(SYSTEM))

    runtime.stop(1.0)

    assert application.jobs.workers(SYSTEM) == []


def test_job_ids_are_numbers(application: Application) -> None:
    """A job that was never made is not found."""
    with pytest.raises(workbell.NotFound):
        application.jobs.get(SYSTEM, JobId(10_000))


@pytest.mark.parametrize("first", ["default", "default.DQ"])
def test_who_is_called_in_leaves_no_complaint(first: str, caplog: Any) -> None:
    wakeups = LocalWakeups(queues=["default"], threads=2, drain=lambda _: None)
    wakeups.start()
    worker = wakeups._worker
    assert worker is not None
    worker.consumers = dict(sorted(worker.consumers.items(), key=lambda each: each[0] != first))
    assert next(iter(worker.consumers)) == first
    wakeups.stop(5.0)
    assert not [each for each in caplog.records if each.name.startswith("dramatiq")]
