"""Deadlines benchmark: latency of cancellations and of closed attempts."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define, evolve, field, frozen

from workbell.domain.identity.actor import SYSTEM
from workbell.domain.jobs.job import Job
from workbell.domain.jobs.task import Task, TaskContext
from workbell.entrypoints.bench.rows import FigureRows, Row
from workbell.entrypoints.bench.targets import Target, open_application
from workbell.entrypoints.bench.workers import percentiles, running, wait_until
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.config.settings import Settings
from workbell.services.jobs.requests import NewJob

CHECKING = "bench.checking"
SLEEPING = "bench.sleeping"
RARELY = 60.0
"""A poll interval in seconds that helps no cancellation of the benchmark."""


def measure(target: Target, count: int) -> list[Row]:
    """
    Run the benchmark; return its rows.

    `count` cancellations are measured by each way; attempts are closed eight at
    a time. The worker and the caller of a cancellation share this process, but
    only "in this process" do they share an application.
    """
    figures = FigureRows(digits=2)
    bench = _Bench(target, count)
    _add(figures, "cancel to stop, in this process", bench.cancel(RARELY, shared=True))
    if target.redis is not None:
        _add(figures, "cancel to stop, over Redis", bench.cancel(RARELY, shared=False))
    by_poll = _Bench(evolve(target, redis=None), count)
    _add(figures, "cancel to stop, by poll", by_poll.cancel(0.5, shared=False))
    _add(figures, "deadline to timed out, 8 bodies that sleep", bench.time_out())
    return figures.rows


def _add(figures: FigureRows, what: str, seconds: list[float]) -> None:
    p50, p95 = percentiles([each * 1000 for each in seconds], 95)
    figures.add(f"{what}, p50", p50, "ms")
    figures.add(f"{what}, p95", p95, "ms")


@define(eq=False)
class _Bodies:
    """Bodies that run until they are stopped or released, and times of their stops."""

    started: set[int] = field(factory=set)
    stopped_at: dict[int, float] = field(factory=dict)
    released: threading.Event = field(factory=threading.Event)

    def check(self, context: TaskContext, _: object) -> None:
        """Check every millisecond until the attempt must stop."""
        self.started.add(context.job_id)
        try:
            while not self.released.wait(0.001):
                context.check()
        finally:
            self.stopped_at[context.job_id] = time.perf_counter()

    def sleep(self, context: TaskContext, _: object) -> None:
        """Never check."""
        self.started.add(context.job_id)
        self.released.wait(30)

    def tasks(self) -> list[Task]:
        """Return the tasks of the benchmark."""
        return [
            Task(key=CHECKING, body=self.check, timeout_seconds=3_600),
            Task(key=SLEEPING, body=self.sleep, timeout_seconds=1, max_attempts=1),
        ]


@frozen
class _Bench:
    """Measurements, each on a new store."""

    target: Target
    count: int

    def cancel(self, poll_seconds: float, *, shared: bool) -> list[float]:
        """Return the seconds from the cancel call to the stop of the body."""
        bodies = _Bodies()
        taken: list[float] = []
        with self._applications(bodies, poll_seconds, shared=shared) as (application, caller):
            for n in range(self.count):
                job = _start(application, CHECKING, bodies)
                time.sleep(n % 50 / 100)  # at different times of a poll interval
                asked = time.perf_counter()
                caller.jobs.cancel(SYSTEM, job.id)
                wait_until(lambda job=job: job.id in bodies.stopped_at)  # type: ignore[misc]
                taken.append(bodies.stopped_at[job.id] - asked)
            bodies.released.set()
        return taken

    def time_out(self) -> list[float]:
        """Return the seconds from the deadlines to the stored outcomes."""
        taken: list[float] = []
        for _ in range(max(1, self.count // 16)):
            bodies = _Bodies()
            with self._applications(bodies, RARELY, shared=True) as (application, _caller):
                jobs = application.jobs.create_many(SYSTEM, [NewJob(task_definition=SLEEPING)] * 8)
                wait_until(lambda: _all_ended(application))
                for job in (application.jobs.get(SYSTEM, each.id) for each in jobs):
                    assert job.ended_at is not None
                    assert job.started_at is not None
                    taken.append((job.ended_at - job.started_at).total_seconds() - 1)
                bodies.released.set()
        return taken

    @contextmanager
    def _applications(
        self, bodies: _Bodies, poll_seconds: float, *, shared: bool
    ) -> Iterator[tuple[Application, Application]]:
        """Yield the application of a running worker, and that of a caller."""
        with self.target.settings() as given:
            settings: Settings = evolve(
                given, cancel_poll_seconds=poll_seconds, lease_seconds=600, max_written_off=64
            )
            with (
                open_application(settings, bodies.tasks()) as application,
                open_application(settings, bodies.tasks()) as other,
                running(application),
            ):
                yield application, application if shared else other


def _start(application: Application, task: str, bodies: _Bodies) -> Job:
    """Enqueue a job, and wait until its body runs."""
    job, _ = application.jobs.create(SYSTEM, NewJob(task_definition=task))
    wait_until(lambda: job.id in bodies.started)
    return job


def _all_ended(application: Application) -> bool:
    time.sleep(0.05)  # each look costs the worker time
    return not any(queue.ready or queue.running for queue in application.jobs.queues())
