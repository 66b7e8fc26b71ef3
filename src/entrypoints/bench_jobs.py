"""The jobs benchmark: what enqueueing and running cost on SQLite."""

import gc
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

from attrs import define, field

from ..adapters.dramatiq.worker import JobWorker
from ..adapters.sql import sqlite
from ..domain.identity import SYSTEM
from ..domain.tasks import Task, TaskContext
from ..services.asked import NewJob
from .settings import Settings
from .wiring import House, build

PRODUCERS = 8
PAUSE = 0.01
LATENCY_JOBS = 500


@define(eq=False)
class _Starts:
    """When each job's body began, by its number."""

    at: dict[int, float] = field(factory=dict)
    count: int = 0
    lock: threading.Lock = field(factory=threading.Lock)

    def note(self, _: TaskContext, parameters: Any) -> None:
        """Be the body of a job that does nothing else."""
        now = time.perf_counter()
        if (number := parameters.get("n")) is not None:
            self.at[number] = now
        with self.lock:
            self.count += 1


@contextmanager
def _house(starts: _Starts) -> Generator[House]:
    with tempfile.TemporaryDirectory(prefix="workbell-bench-") as scratch:
        folder = Path(scratch)
        settings = Settings(data_dir=folder, database_url=f"sqlite:///{folder / 'bench.db'}")
        noop = Task(key="bench.noop", body=starts.note, batch=True)
        ordinary = Task(key="bench.ordinary", body=starts.note)
        house = build(settings, tasks=[noop, ordinary])
        house.prepare()
        gc.freeze()
        yield house
        house.close()


@contextmanager
def _running(house: House) -> Generator[None]:
    runtime = house.runtime(threads=house.settings.worker_threads)
    runtime.start()
    yield
    runtime.stop(5.0)


def measure(count: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return the rows of the benchmark; `say` is told what is being measured."""
    rows: list[dict[str, Any]] = []

    def add(what: str, figure: float, unit: str) -> None:
        say(f"{what}: {figure:,.2f} {unit}")
        rows.append({"what": what, "figure": round(figure, 3), "unit": unit})

    for producers in (1, PRODUCERS):
        add(f"enqueue, single, {producers} producers", _enqueue(count, producers), "jobs/s")
        add(f"enqueue, 500 a batch, {producers} producers", _bulk(count, producers), "jobs/s")
    add("drain, no-op batch tasks", _drain(count, "bench.noop"), "jobs/s")
    add("drain, no-op ordinary tasks", _drain(count // 2, "bench.ordinary"), "jobs/s")
    both = _enqueue_and_run(count)
    naive = _naive(count // 4)
    add("enqueue + run, 8 producers", both, "jobs/s")
    add("the same without groups and batches, 8 producers", naive, "jobs/s")
    add("ratio of the two", both / naive, "x")
    for name, rate in (("idle", None), ("at 100 jobs/s", 100.0)):
        p50, p99 = _latency(rate, min(LATENCY_JOBS, count))
        add(f"start latency {name}, p50", p50, "ms")
        add(f"start latency {name}, p99", p99, "ms")
    return rows


def _in_threads(n: int, work: Callable[[int], None]) -> float:
    threads = [threading.Thread(target=work, args=(k,)) for k in range(n)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begun


def _create(house: House, parameters: dict[str, Any], task: str = "bench.noop") -> None:
    house.jobs.create(SYSTEM, NewJob(task_definition=task, parameters=parameters))


def _enqueue(count: int, producers: int) -> float:
    with _house(_Starts()) as house:

        def produce(_: int) -> None:
            for _ in range(count // producers):
                _create(house, {})

        return count / _in_threads(producers, produce)


def _bulk(count: int, producers: int) -> float:
    with _house(_Starts()) as house:
        news = [NewJob(task_definition="bench.noop")] * (count // producers)

        def produce(_: int) -> None:
            house.jobs.create_many(SYSTEM, news)

        return count / _in_threads(producers, produce)


def _drain(count: int, task: str) -> float:
    starts = _Starts()
    with _house(starts) as house:
        house.jobs.create_many(SYSTEM, [NewJob(task_definition=task)] * count)
        begun = time.perf_counter()
        with _running(house):
            _until(lambda: starts.count >= count)
            return count / (time.perf_counter() - begun)


def _enqueue_and_run(count: int) -> float:
    starts = _Starts()
    with _house(starts) as house, _running(house):

        def produce(_: int) -> None:
            for _ in range(count // PRODUCERS):
                _create(house, {})

        begun = time.perf_counter()
        _in_threads(PRODUCERS, produce)
        _until(lambda: starts.count >= count // PRODUCERS * PRODUCERS)
        return count / (time.perf_counter() - begun)


def _latency(rate: float | None, jobs: int) -> tuple[float, float]:
    """Return p50 and p99, in ms, from the call of enqueue to the body's first line."""
    starts = _Starts()
    called: dict[int, float] = {}
    with _house(starts) as house, _running(house):
        _create(house, {})
        _until(lambda: starts.count == 1)
        for n in range(jobs):
            called[n] = time.perf_counter()
            _create(house, {"n": n}, "bench.ordinary")
            if rate is None:
                _until(lambda n=n: n in starts.at)  # type: ignore[misc]
                time.sleep(PAUSE)
            else:
                time.sleep(max(0.0, 1 / rate - (time.perf_counter() - called[n])))
        _until(lambda: len(starts.at) == jobs)
    waits = [(starts.at[n] - called[n]) * 1000 for n in range(jobs)]
    cuts = quantiles(waits, n=100)
    return cuts[49], cuts[98]


def _until(done: Callable[[], bool]) -> None:
    while not done():
        time.sleep(0.0005)


def _naive(count: int) -> float:
    """Return jobs/s on the same tables, each insert, claim and finish in its own commit."""
    starts = _Starts()
    grouped, sqlite.MOST_IN_A_GROUP = sqlite.MOST_IN_A_GROUP, 1
    try:
        with _house(starts) as house:
            total = count // PRODUCERS * PRODUCERS
            worker, _ = house.worker(1)

            def produce(n: int) -> None:
                for _ in range(count // PRODUCERS):
                    _create(house, {})
                if n == 0:
                    _one_by_one(house, worker, starts, total)

            return count / _in_threads(PRODUCERS, produce)
    finally:
        sqlite.MOST_IN_A_GROUP = grouped


def _one_by_one(house: House, worker: JobWorker, starts: _Starts, total: int) -> None:
    """Claim a job, run it, settle it: two commits each, until all are done."""
    while starts.count < total:
        claims, _ = house.execution.claim("default", worker=worker.id, limit=1, free_threads=1)
        if not claims:
            time.sleep(0.0005)
            continue
        worker.adopt("default", claims)
        settlement = worker.run(claims[0])
        worker.batches["default"].clear()
        worker.running.clear()
        if settlement is not None:
            house.execution.settle([settlement])
