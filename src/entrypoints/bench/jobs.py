"""Jobs benchmark: throughput and latency of enqueueing and running."""

import time
from typing import Any

from attrs import frozen

from workbell.adapters.dramatiq.worker import JobWorker
from workbell.adapters.sql.database import sqlite
from workbell.domain.identity.actor import SYSTEM
from workbell.entrypoints.bench.rows import FigureRows, Row
from workbell.entrypoints.bench.targets import Target
from workbell.entrypoints.bench.workers import (
    NOOP,
    ORDINARY,
    StartTimes,
    is_finished,
    percentiles,
    run_threads,
    running,
    wait_until,
    worker_processes,
)
from workbell.entrypoints.bootstrap.application import Application
from workbell.services.jobs.requests import NewJob

PRODUCERS = 8
PAUSE = 0.01
LATENCY_JOBS = 500


def measure(target: Target, count: int, workers: int) -> list[Row]:
    """
    Run the benchmark; return its rows.

    `workers` is the number of worker processes that drain; 0 is this process.
    """
    figures = FigureRows(digits=2)
    add = figures.add
    bench = _Bench(target, count)
    for producers in (1, PRODUCERS):
        add(f"enqueue, single, {producers} producers", bench.enqueue(producers), "jobs/s")
        add(f"enqueue, 500 per batch, {producers} producers", bench.bulk(producers), "jobs/s")
    where = f", {workers} processes" if workers else ""
    add(f"drain, no-op batch tasks{where}", bench.drain(NOOP, count, workers), "jobs/s")
    add(f"drain, no-op ordinary tasks{where}", bench.drain(ORDINARY, count // 2, workers), "jobs/s")
    both = bench.enqueue_and_run()
    add("enqueue + run, 8 producers", both, "jobs/s")
    if target.database is None:
        ungrouped = bench.one_commit_each(count // 4)
        add("the same without groups and batches, 8 producers", ungrouped, "jobs/s")
        add("ratio of the two", both / ungrouped, "x")
    for name, rate in (("idle", None), ("at 100 jobs/s", 100.0)):
        figures.add_latency(f"start latency {name}", *bench.latency(rate, min(LATENCY_JOBS, count)))
    return figures.rows


@frozen
class _Bench:
    """Measurements, each on a new store."""

    target: Target
    count: int

    def enqueue(self, producers: int) -> float:
        """Return jobs/s with one job per transaction."""
        with self.target.application(StartTimes().tasks()) as application:
            return self.count / run_threads(
                producers, lambda _: _create_singly(application, self.count // producers)
            )

    def bulk(self, producers: int) -> float:
        """Return jobs/s with 500 jobs per transaction."""
        with self.target.application(StartTimes().tasks()) as application:
            new_jobs = [NewJob(task_definition=NOOP)] * (self.count // producers)
            return self.count / run_threads(
                producers, lambda _: application.jobs.create_many(SYSTEM, new_jobs)
            )

    def drain(self, task: str, count: int, workers: int) -> float:
        """Return jobs/s of running a backlog until all outcomes are committed."""
        starts = StartTimes()
        with self.target.application(starts.tasks()) as application:
            application.jobs.create_many(SYSTEM, [NewJob(task_definition=task)] * count)
            if workers:
                with worker_processes(application.settings, workers) as done:
                    started = time.perf_counter()
                    wait_until(lambda: done() >= count and is_finished(application))
                    return count / (time.perf_counter() - started)
            started = time.perf_counter()
            with running(application):
                wait_until(lambda: starts.count >= count and is_finished(application))
                return count / (time.perf_counter() - started)

    def enqueue_and_run(self) -> float:
        """Return jobs/s while eight producers enqueue and this process runs."""
        starts = StartTimes()
        each = self.count // PRODUCERS
        with self.target.application(starts.tasks()) as application, running(application):
            started = time.perf_counter()
            run_threads(PRODUCERS, lambda _: _create_singly(application, each))
            wait_until(lambda: starts.count >= each * PRODUCERS)
            return self.count / (time.perf_counter() - started)

    def latency(self, rate: float | None, jobs: int) -> tuple[float, float]:
        """Return p50 and p99 in ms from the enqueue call to the start of the body."""
        starts = StartTimes()
        called: dict[int, float] = {}
        with self.target.application(starts.tasks()) as application, running(application):
            _create(application, {})
            wait_until(lambda: starts.count == 1)
            for n in range(jobs):
                called[n] = time.perf_counter()
                _create(application, {"n": n}, ORDINARY)
                if rate is None:
                    wait_until(lambda n=n: n in starts.at)  # type: ignore[misc]
                    time.sleep(PAUSE)
                else:
                    time.sleep(max(0.0, 1 / rate - (time.perf_counter() - called[n])))
            wait_until(lambda: len(starts.at) == jobs)
        waits = [(starts.at[n] - called[n]) * 1000 for n in range(jobs)]
        return percentiles(waits)

    def one_commit_each(self, count: int) -> float:
        """Return jobs/s on SQLite with one commit per insert, claim and outcome."""
        starts = StartTimes()
        grouped, sqlite.MAX_GROUP_SIZE = sqlite.MAX_GROUP_SIZE, 1
        try:
            with self.target.application(starts.tasks()) as application:
                worker = application.worker(1)

                def produce(n: int) -> None:
                    _create_singly(application, count // PRODUCERS)
                    if n == 0:
                        total = count // PRODUCERS * PRODUCERS
                        _run_one_by_one(application, worker, starts, total)

                return count / run_threads(PRODUCERS, produce)
        finally:
            sqlite.MAX_GROUP_SIZE = grouped


def _create(application: Application, parameters: dict[str, Any], task: str = NOOP) -> None:
    application.jobs.create(SYSTEM, NewJob(task_definition=task, parameters=parameters))


def _create_singly(application: Application, count: int) -> None:
    """Create no-op jobs, each in its own transaction."""
    for _ in range(count):
        _create(application, {})


def _run_one_by_one(
    application: Application, worker: JobWorker, starts: StartTimes, total: int
) -> None:
    """Claim, run and settle jobs one by one, with two commits each."""
    while starts.count < total:
        claims, _ = application.execution.claim(
            "default", worker=worker.process.id, limit=1, free_threads=1
        )
        if not claims:
            time.sleep(0.0005)
            continue
        worker.held.add(claims)
        settlement = worker.run(claims[0])
        worker.held.release(claim.id for claim in claims)
        if settlement is not None:
            application.execution.settle([settlement])
