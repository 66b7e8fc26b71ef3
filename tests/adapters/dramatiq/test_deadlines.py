"""Deadlines and cancellations: attempts that end before their bodies do."""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any

import pytest
from attrs import define, field
from dramatiq.worker import Worker
from structlog.testing import capture_logs

import workbell
from tests.processes import fleet
from tests.processes.fleet import until
from workbell.adapters.dramatiq import attempt_watch
from workbell.adapters.dramatiq.runtime import Runtime
from workbell.adapters.dramatiq.wakeups import LocalWakeups
from workbell.domain.identity.actor import SYSTEM
from workbell.domain.jobs.attempt import Attempt, Outcome
from workbell.domain.jobs.job import Job, JobState
from workbell.domain.jobs.task import (
    Cancelled,
    Interrupted,
    OnLost,
    OwnershipLost,
    ShuttingDown,
    Task,
    TaskContext,
    TimedOut,
)
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings
from workbell.services.jobs.requests import NewJob

Parameters = Mapping[str, Any]


@define
class Bodies:
    """Bodies that run until the test sets `go`, and what they saw."""

    go: Event = field(factory=Event)
    contexts: list[TaskContext] = field(factory=list[TaskContext])
    seen: list[type[BaseException]] = field(factory=list[type[BaseException]])

    def sleep(self, context: TaskContext, _: Parameters) -> str:
        """Never check; then report progress, which refuses if the attempt is closed."""
        self.contexts.append(context)
        self.go.wait(30)
        try:
            context.progress(1)
        except Interrupted as stop:
            self.seen.append(type(stop))
        return "late"

    def check(self, context: TaskContext, _: Parameters) -> None:
        """Check until the attempt must stop."""
        self.contexts.append(context)
        while not self.go.wait(0.001):
            try:
                context.check()
            except Interrupted as stop:
                self.seen.append(type(stop))
                raise

    def outlast_shutdown(self, context: TaskContext, _: Parameters) -> None:
        """Check until the attempt must stop for another reason than shutdown."""
        self.contexts.append(context)
        while not self.go.wait(0.001):
            with suppress(ShuttingDown):
                context.check()

    def tasks(self) -> list[Task]:
        """Return the tasks of the tests; time limits are 1 s or 1 h."""
        return [
            Task(key="sleep", body=self.sleep, timeout_seconds=3_600),
            Task(key="short", body=self.sleep, timeout_seconds=1, max_attempts=1),
            Task(key="retried", body=self.sleep, timeout_seconds=1),
            Task(key="once", body=self.sleep, timeout_seconds=1, on_lost=OnLost.FAIL),
            Task(key="check", body=self.check, timeout_seconds=3_600),
            Task(key="outlast", body=self.outlast_shutdown, timeout_seconds=3_600),
        ]


@pytest.fixture
def bodies() -> Generator[Bodies]:
    """Return the bodies; all of them end with the test."""
    bodies = Bodies()
    yield bodies
    bodies.go.set()


@pytest.fixture(params=["memory", "sqlite"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Return settings of each store; the poll is too rare to help."""
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'w.db'}"
    return Settings(
        database_url=url,
        data_dir=tmp_path / "data",
        cancel_poll_seconds=60.0,
        cancel_grace_seconds=1,
    )


@contextmanager
def opened(settings: Settings, bodies: Bodies) -> Iterator[Application]:
    """Open an application with the tasks of the tests."""
    application = build(settings, tasks=bodies.tasks())
    application.migrate_and_register()
    try:
        yield application
    finally:
        bodies.go.set()
        application.close()


@pytest.fixture
def application(settings: Settings, bodies: Bodies) -> Iterator[Application]:
    """Return an application on each store."""
    with opened(settings, bodies) as application:
        yield application


@contextmanager
def started(application: Application, threads: int = 2, **options: Any) -> Iterator[Runtime]:
    """Run the worker of an application."""
    runtime = application.runtime(threads=threads, **options)
    runtime.max_written_off = 100
    runtime.start()
    try:
        yield runtime
    finally:
        runtime.stop(0.0)


def create(application: Application, task: str, count: int = 1) -> list[Job]:
    """Enqueue jobs of a task."""
    return list(application.jobs.create_many(SYSTEM, [NewJob(task_definition=task)] * count))


def load(application: Application, job: Job) -> Job:
    """Return the stored job."""
    return application.jobs.get(SYSTEM, job.id)


def has_ended(application: Application, job: Job) -> Callable[[], bool]:
    """Return a condition: whether the job has ended."""
    return lambda: load(application, job).state.ended


def last_attempt(application: Application, job: Job) -> Attempt:
    """Return the last attempt of a job."""
    return application.jobs.attempts(SYSTEM, job.id)[-1]


def metric(application: Application, name: str) -> float:
    """Return the value of a metric."""
    return fleet.parse_metrics(application.metrics.exposition().decode())[f"workbell_{name}"]


def test_eight_bodies_that_never_check_time_out_and_release_their_threads(
    application: Application, bodies: Bodies
) -> None:
    with started(application, threads=8) as runtime:
        jobs = create(application, "short", 8)
        until(lambda: len(bodies.contexts) == 8)
        (behind,) = create(application, "echo")
        until(has_ended(application, behind))
        for job in jobs:
            until(has_ended(application, job))
            assert load(application, job).state is JobState.FAILED
            assert last_attempt(application, job).outcome is Outcome.TIMED_OUT
        worker = runtime.worker
        assert worker is not None
        until(lambda: (worker.written_off, worker.threads.busy) == (8, 0))
        assert metric(application, "threads_written_off") == 8
        before = [load(application, job) for job in jobs]

        bodies.go.set()

        until(lambda: worker.written_off == 0)
        until(lambda: worker.threads.busy == 0)
        assert [load(application, job) for job in jobs] == before
        assert metric(application, "job_stale_outcomes_total") == 0
        assert bodies.seen == [TimedOut] * 8
        (more,) = create(application, "echo")
        until(has_ended(application, more))


def test_a_written_off_thread_is_replaced_and_ends(
    application: Application, bodies: Bodies
) -> None:
    """This pins a private method of Dramatiq, `Worker._add_worker`."""
    assert callable(Worker._add_worker)
    with started(application, threads=2) as runtime:
        wakeups = runtime.wakeups
        assert isinstance(wakeups, LocalWakeups)
        transport = wakeups._worker
        assert transport is not None
        before = list(transport.workers)
        (job,) = create(application, "short")
        until(has_ended(application, job))
        until(lambda: transport.workers != before)
        assert len(transport.workers) == 2
        (replaced,) = set(before) - set(transport.workers)
        assert replaced.is_alive()

        bodies.go.set()

        replaced.join(10)
        assert not replaced.is_alive()
        assert all(thread.is_alive() for thread in transport.workers)


def test_at_the_bound_a_worker_claims_nothing_and_asks_for_a_restart_once(
    application: Application, bodies: Bodies
) -> None:
    calls: list[str] = []
    with started(application, threads=2, on_stuck=lambda: calls.append("stuck")) as runtime:
        runtime.max_written_off = 1
        assert runtime.health_problems() == []
        create(application, "short")
        until(lambda: calls)
        worker = runtime.worker
        assert worker is not None
        until(lambda: not worker.threads.is_open)
        (waiting,) = create(application, "echo")
        worker.drain("default")
        runtime._settle()
        assert load(application, waiting).state is JobState.READY
        assert runtime.health_problems() == ["Too many threads run bodies whose time is over."]
        assert not runtime.stop(0.1)
    assert calls == ["stuck"]


def test_a_written_off_attempt_is_logged_once(application: Application, bodies: Bodies) -> None:
    with capture_logs() as logs, started(application, log_attempts=True):
        (job,) = create(application, "short")
        until(has_ended(application, job))
        bodies.go.set()
        until(lambda: any(line["event"] == "late_return_dropped" for line in logs))
    (line,) = [line for line in logs if line["event"] == "attempt_ended"]
    assert (line["job"], line["outcome"]) == (job.id, "timed_out")
    assert 1 <= line["duration_seconds"] < 30


def test_a_timed_out_attempt_is_retried(application: Application, bodies: Bodies) -> None:
    with started(application):
        (job,) = create(application, "retried")
        until(lambda: application.jobs.attempts(SYSTEM, job.id))
        until(lambda: application.jobs.attempts(SYSTEM, job.id)[0].outcome is not None)
        (attempt, *_) = application.jobs.attempts(SYSTEM, job.id)
        assert attempt.outcome is Outcome.TIMED_OUT
        assert not load(application, job).state.ended


def test_a_timed_out_attempt_of_an_at_most_once_task_is_not_retried(
    application: Application, bodies: Bodies
) -> None:
    with started(application):
        (job,) = create(application, "once")
        until(has_ended(application, job))
        assert load(application, job).state is JobState.FAILED
        assert last_attempt(application, job).outcome is Outcome.TIMED_OUT


def test_lines_logged_before_the_deadline_are_stored(
    application: Application, bodies: Bodies
) -> None:
    with started(application):
        (job,) = create(application, "short")
        until(lambda: bodies.contexts)
        bodies.contexts[0].log.info("began")
        bodies.contexts[0].progress(3)
        until(has_ended(application, job))
        lines = application.jobs.logs(SYSTEM, job.id, attempt=1, after=0, limit=9)
        assert [line.text for line in lines] == ["began"]
        progress = load(application, job).progress
        assert progress is not None
        assert progress.done == 3


def test_a_time_limit_that_ends_while_the_store_is_away_is_settled_later(
    application: Application, bodies: Bodies
) -> None:
    failures: list[int] = []

    class Away:
        """An execution service that cannot settle at first."""

        def settle(self, settlements: Any) -> Any:
            if not failures:
                failures.append(1)
                raise workbell.Unavailable("away")
            return application.execution.settle(settlements)

        def __getattr__(self, name: str) -> Any:
            return getattr(application.execution, name)

    with started(application) as runtime:
        worker = runtime.worker
        assert worker is not None
        object.__setattr__(worker, "execution", Away())
        (job,) = create(application, "short")
        until(has_ended(application, job))
        assert failures
        assert last_attempt(application, job).outcome is Outcome.TIMED_OUT
        outcomes = 'job_attempts_total{outcome="timed_out",task="short"}'
        until(lambda: metric(application, outcomes) == 1)


def test_a_lost_attempt_is_written_off_at_its_deadline_without_an_outcome(
    application: Application, bodies: Bodies
) -> None:
    with started(application) as runtime:
        worker = runtime.worker
        assert worker is not None
        (job,) = create(application, "short")
        until(lambda: bodies.contexts)
        (context,) = worker.attempts
        context.interrupt(OwnershipLost)
        until(lambda: worker.written_off == 1)
        until(lambda: not worker.held)
        assert load(application, job).state is JobState.RUNNING
        bodies.go.set()
        until(lambda: worker.written_off == 0)
        assert load(application, job).state is JobState.RUNNING
        assert bodies.seen == [OwnershipLost]


def test_a_leap_of_the_clock_times_nothing_out(application: Application, bodies: Bodies) -> None:
    """The time limit is monotonic."""
    with started(application, threads=1) as runtime:
        assert runtime.worker is not None
        (job,) = create(application, "check")
        until(lambda: bodies.contexts)
        now = application.clock.now()

        class Leapt:
            def now(self) -> Any:
                return now + timedelta(days=5 * 365)

        (context,) = runtime.worker.attempts
        context.clock = Leapt()
        assert runtime.worker.expire() == 0
        context.check()
        assert load(application, job).state is JobState.RUNNING


def test_the_time_limit_begins_with_the_body(application: Application, bodies: Bodies) -> None:
    """A wait for a thread of the process does not use it up."""
    worker = application.worker(1)
    create(application, "short")
    claims, _ = application.execution.claim(
        "default", worker=worker.process.id, limit=1, free_threads=1
    )
    worker.held.add(claims)
    context = worker.held.find(claims[0].id)
    assert context is not None
    assert context._deadline == float("inf")
    thread = Thread(target=worker.run, args=(claims[0],))
    before = monotonic()
    thread.start()
    until(lambda: bodies.contexts)
    assert before + 1 <= context._deadline <= monotonic() + 1
    bodies.go.set()
    thread.join(10)


def test_a_body_that_returns_in_the_delay_after_its_deadline_ends_its_attempt(
    application: Application, bodies: Bodies, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that checks is not written off."""
    monkeypatch.setattr(attempt_watch, "CLOSE_DELAY_SECONDS", 60.0)
    application.definitions.tasks.add(Task(key="polite", body=bodies.check, timeout_seconds=1))
    with started(application) as runtime:
        job, _ = application.jobs.create(SYSTEM, NewJob(task_definition="polite", max_attempts=1))
        until(has_ended(application, job))
        assert last_attempt(application, job).outcome is Outcome.TIMED_OUT
        assert bodies.seen == [TimedOut]
        assert runtime.worker is not None
        assert runtime.worker.written_off == 0


def test_a_cancel_in_the_same_process_needs_no_poll(
    application: Application, bodies: Bodies
) -> None:
    with started(application):
        (job,) = create(application, "check")
        until(lambda: bodies.contexts)
        application.jobs.cancel(SYSTEM, job.id)
        until(has_ended(application, job))
        assert load(application, job).state is JobState.CANCELLED
        assert bodies.seen == [Cancelled]


def test_a_claim_that_is_cancelled_before_its_body_starts_runs_nothing(
    application: Application, bodies: Bodies
) -> None:
    worker = application.worker(1)
    create(application, "check")
    (claim,), _ = application.execution.claim(
        "default", worker=worker.process.id, limit=1, free_threads=1
    )
    worker.held.add([claim])
    assert worker.stop_job(claim.id)
    settlement = worker.run(claim)
    assert settlement is not None
    assert settlement.state is JobState.CANCELLED
    assert bodies.contexts == []


def test_a_cancelled_body_that_never_checks_is_written_off_after_the_grace(
    application: Application, bodies: Bodies
) -> None:
    with started(application, threads=1) as runtime:
        (job,) = create(application, "sleep")
        until(lambda: bodies.contexts)
        application.jobs.cancel(SYSTEM, job.id)
        until(has_ended(application, job))
        assert load(application, job).state is JobState.CANCELLED
        assert last_attempt(application, job).outcome is Outcome.CANCELLED
        assert runtime.worker is not None
        assert runtime.worker.written_off == 1
        (behind,) = create(application, "echo")
        until(has_ended(application, behind))
        bodies.go.set()
        until(lambda: bodies.seen)
        assert bodies.seen == [Cancelled]


@pytest.fixture
def shared(tmp_path: Path) -> Settings:
    """Return settings of a database for two applications, with a frequent poll."""
    return Settings(
        database_url=f"sqlite:///{tmp_path / 'shared.db'}",
        data_dir=tmp_path / "data",
        cancel_poll_seconds=0.05,
    )


def test_a_cancel_by_another_process_is_polled(shared: Settings, bodies: Bodies) -> None:
    with (
        opened(shared, bodies) as other,
        opened(shared, bodies) as application,
        started(application),
    ):
        (job,) = create(application, "check")
        until(lambda: bodies.contexts)
        other.jobs.cancel(SYSTEM, job.id)
        until(has_ended(application, job))
        assert bodies.seen == [Cancelled]


def test_a_cancel_by_another_process_is_polled_during_shutdown(
    shared: Settings, bodies: Bodies
) -> None:
    with (
        opened(shared, bodies) as other,
        opened(shared, bodies) as application,
        started(application) as runtime,
    ):
        worker = runtime.worker
        assert worker is not None
        (job,) = create(application, "outlast")
        until(lambda: bodies.contexts)
        stopping = Thread(target=runtime.stop, args=(30.0,))
        stopping.start()
        until(worker.stopping.is_set)
        other.jobs.cancel(SYSTEM, job.id)
        stopping.join(20)
        assert not stopping.is_alive()
        assert load(application, job).state is JobState.CANCELLED


def test_nothing_is_polled_while_nothing_runs(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = application.worker(1)
    worker.cancel_poll = 0.0
    monkeypatch.setattr(type(application.execution), "find_cancelled", None)
    worker.poll_cancelled()


def test_the_row_of_a_worker_counts_its_written_off_threads(
    application: Application, bodies: Bodies
) -> None:
    with started(application) as runtime:
        (job,) = create(application, "short")
        until(has_ended(application, job))
        until(lambda: runtime.worker is not None and runtime.worker.threads.busy == 0)
        runtime.heartbeat()
        (row,) = application.jobs.workers(SYSTEM)
        assert (row.written_off, row.running, row.threads) == (1, 0, 2)


def test_an_inline_run_ends_an_overdue_attempt(tmp_path: Path, bodies: Bodies) -> None:
    """`run_until_idle` runs the body in the caller's thread, which is not replaced."""
    with workbell.open(
        f"sqlite:///{tmp_path / 'w.db'}", data_dir=tmp_path, tasks=bodies.tasks()
    ) as client:
        job = client.jobs.enqueue("short")
        thread = Thread(target=client.run_until_idle)
        thread.start()
        until(lambda: client.jobs.get(job.id).state.ended)
        bodies.go.set()
        thread.join(20)
        assert not thread.is_alive()
        assert client.jobs.get(job.id).state is JobState.FAILED
