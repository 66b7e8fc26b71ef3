"""The jobs benchmark: what enqueueing and running cost."""

import gc
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from statistics import quantiles
from typing import Any

from attrs import frozen

from workbell.adapters.dramatiq.worker import JobWorker
from workbell.adapters.sql.database import sqlite
from workbell.domain.identity.actor import SYSTEM
from workbell.entrypoints.bench.targets import Target
from workbell.entrypoints.bench.workers import (
    NOOP,
    ORDINARY,
    StartTimes,
    is_over,
    processes,
    running,
    until,
)
from workbell.entrypoints.bootstrap.application import Application
from workbell.services.jobs.requests import NewJob

PRODUCERS = 8
PAUSE = 0.01
LATENCY_JOBS = 500

Row = dict[str, Any]


def measure(
    count: int, say: Callable[[str], None], place: Target | None = None, workers: int = 0
) -> list[Row]:
    """
    Return the rows of the benchmark; `say` is told what is being measured.

    `workers` is the number of processes that drain; 0 stands for this one.
    """
    rows: list[Row] = []
    bench = _Bench(place or Target(), count)

    def add(what: str, figure: float, unit: str) -> None:
        say(f"{what}: {figure:,.2f} {unit}")
        rows.append({"what": what, "figure": round(figure, 3), "unit": unit})

    for producers in (1, PRODUCERS):
        add(f"enqueue, single, {producers} producers", bench.enqueue(producers), "jobs/s")
        add(f"enqueue, 500 a batch, {producers} producers", bench.bulk(producers), "jobs/s")
    where = f", {workers} processes" if workers else ""
    add(f"drain, no-op batch tasks{where}", bench.drain(NOOP, count, workers), "jobs/s")
    add(f"drain, no-op ordinary tasks{where}", bench.drain(ORDINARY, count // 2, workers), "jobs/s")
    both = bench.enqueue_and_run()
    add("enqueue + run, 8 producers", both, "jobs/s")
    if bench.place.database is None:
        naive = bench.naive(count // 4)
        add("the same without groups and batches, 8 producers", naive, "jobs/s")
        add("ratio of the two", both / naive, "x")
    for name, rate in (("idle", None), ("at 100 jobs/s", 100.0)):
        p50, p99 = bench.latency(rate, min(LATENCY_JOBS, count))
        add(f"start latency {name}, p50", p50, "ms")
        add(f"start latency {name}, p99", p99, "ms")
    return rows


@frozen
class _Bench:
    """The measurements, each on a store of its own."""

    place: Target
    count: int

    @contextmanager
    def application(self, starts: StartTimes) -> Generator[Application]:
        with self.place.application(starts.tasks()) as application:
            gc.freeze()
            yield application

    def enqueue(self, producers: int) -> float:
        """Return jobs/s, each in a transaction of its own."""
        with self.application(StartTimes()) as application:

            def produce(_: int) -> None:
                for _ in range(self.count // producers):
                    _create(application, {})

            return self.count / _in_threads(producers, produce)

    def bulk(self, producers: int) -> float:
        """Return jobs/s by 500 a transaction."""
        with self.application(StartTimes()) as application:
            news = [NewJob(task_definition=NOOP)] * (self.count // producers)

            def produce(_: int) -> None:
                application.jobs.create_many(SYSTEM, news)

            return self.count / _in_threads(producers, produce)

    def drain(self, task: str, count: int, workers: int) -> float:
        """Return jobs/s while a backlog is worked off, every outcome committed."""
        starts = StartTimes()
        with self.application(starts) as application:
            application.jobs.create_many(SYSTEM, [NewJob(task_definition=task)] * count)
            if workers:
                with processes(application.settings, workers) as done:
                    begun = time.perf_counter()
                    until(lambda: done() >= count and is_over(application))
                    return count / (time.perf_counter() - begun)
            begun = time.perf_counter()
            with running(application):
                until(lambda: starts.count >= count and is_over(application))
                return count / (time.perf_counter() - begun)

    def enqueue_and_run(self) -> float:
        """Return jobs/s while eight producers enqueue and this process runs."""
        starts = StartTimes()
        with self.application(starts) as application, running(application):

            def produce(_: int) -> None:
                for _ in range(self.count // PRODUCERS):
                    _create(application, {})

            begun = time.perf_counter()
            _in_threads(PRODUCERS, produce)
            until(lambda: starts.count >= self.count // PRODUCERS * PRODUCERS)
            return self.count / (time.perf_counter() - begun)

    def latency(self, rate: float | None, jobs: int) -> tuple[float, float]:
        """Return p50 and p99, in ms, from the call of enqueue to the body's first line."""
        starts = StartTimes()
        called: dict[int, float] = {}
        with self.application(starts) as application, running(application):
            _create(application, {})
            until(lambda: starts.count == 1)
            for n in range(jobs):
                called[n] = time.perf_counter()
                _create(application, {"n": n}, ORDINARY)
                if rate is None:
                    until(lambda n=n: n in starts.at)  # type: ignore[misc]
                    time.sleep(PAUSE)
                else:
                    time.sleep(max(0.0, 1 / rate - (time.perf_counter() - called[n])))
            until(lambda: len(starts.at) == jobs)
        waits = [(starts.at[n] - called[n]) * 1000 for n in range(jobs)]
        cuts = quantiles(waits, n=100)
        return cuts[49], cuts[98]

    def naive(self, count: int) -> float:
        """Return jobs/s on SQLite, each insert, claim and finish in its own commit."""
        starts = StartTimes()
        grouped, sqlite.MAX_GROUP_SIZE = sqlite.MAX_GROUP_SIZE, 1
        try:
            with self.application(starts) as application:
                total = count // PRODUCERS * PRODUCERS
                worker, _ = application.worker(1)

                def produce(n: int) -> None:
                    for _ in range(count // PRODUCERS):
                        _create(application, {})
                    if n == 0:
                        _one_by_one(application, worker, starts, total)

                return count / _in_threads(PRODUCERS, produce)
        finally:
            sqlite.MAX_GROUP_SIZE = grouped


def _in_threads(n: int, work: Callable[[int], None]) -> float:
    threads = [threading.Thread(target=work, args=(k,)) for k in range(n)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begun


def _create(application: Application, parameters: dict[str, Any], task: str = NOOP) -> None:
    application.jobs.create(SYSTEM, NewJob(task_definition=task, parameters=parameters))


def _one_by_one(
    application: Application, worker: JobWorker, starts: StartTimes, total: int
) -> None:
    """Claim a job, run it, settle it: two commits each, until all are done."""
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
