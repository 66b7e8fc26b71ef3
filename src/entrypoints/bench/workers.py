"""Workers of benchmarks, in this process or in child processes."""

import gc
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from statistics import quantiles
from typing import Any

from attrs import define, field, frozen

from workbell.domain.jobs.task import Task, TaskContext
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings

NOOP = "bench.noop"
ORDINARY = "bench.ordinary"


@define(eq=False)
class StartTimes:
    """Number of started task bodies, and start times of numbered ones."""

    at: dict[int, float] = field(factory=dict)
    count: int = 0
    last: float = 0.0
    on_start: Callable[[int], None] = lambda _: None
    lock: threading.Lock = field(factory=threading.Lock)

    def record(self, _: TaskContext, parameters: Any) -> None:
        """Record the start; this is the body of both tasks."""
        now = time.perf_counter()
        if (number := parameters.get("n")) is not None:
            self.at[number] = now
        with self.lock:
            self.count += 1
            self.last = now
            self.on_start(self.count)

    def tasks(self) -> list[Task]:
        """Return the no-op tasks of the benchmarks."""
        return [Task(key=NOOP, body=self.record, batch=True), Task(key=ORDINARY, body=self.record)]


@frozen
class Measurement:
    """A number of requests, and the seconds and processor seconds that they took."""

    count: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __add__(self, other: "Measurement") -> "Measurement":
        """Return the sum of two measurements."""
        return Measurement(
            self.count + other.count,
            self.seconds + other.seconds,
            self.cpu_seconds + other.cpu_seconds,
        )

    @property
    def per_second(self) -> float:
        """Requests per second."""
        return self.count / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of this process's processor time for one request."""
        return self.cpu_seconds / self.count * 1e6


@contextmanager
def running(application: Application, *, scheduler: bool = True) -> Generator[None]:
    """Run the worker threads in this process."""
    runtime = application.runtime(threads=application.settings.worker_threads, scheduler=scheduler)
    runtime.start()
    try:
        yield
    finally:
        runtime.stop(5.0)


@contextmanager
def worker_processes(settings: Settings, count: int) -> Iterator[Callable[[], int]]:
    """Run worker processes; yield a function that counts their started bodies."""
    context = get_context("spawn")
    ready, stop = context.Barrier(count + 1), context.Event()
    done = [context.Value("q", 0, lock=False) for _ in range(count)]
    workers = [
        context.Process(target=_run_worker_process, args=(settings, each, ready, stop), daemon=True)
        for each in done
    ]
    for worker in workers:
        worker.start()
    ready.wait(60)
    try:
        yield lambda: sum(each.value for each in done)
    finally:
        stop.set()
        for worker in workers:
            worker.join(15)


def _run_worker_process(settings: Settings, done: Any, ready: Any, stop: Any) -> None:
    def set_count(count: int) -> None:
        done.value = count

    application = build(settings, tasks=StartTimes(on_start=set_count).tasks())
    gc.freeze()
    ready.wait(60)
    with running(application, scheduler=False):
        stop.wait()
    application.close()


def other_process() -> ProcessPoolExecutor:
    """Return a pool of one process: clients must not share our GIL."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def is_finished(application: Application) -> bool:
    """Whether all jobs have ended and their outcomes are committed."""
    with application.store.view() as tx:  # counting all rows takes the workers' time
        if tx.jobs.waiting_queues():
            return False
    return not any(queue.ready or queue.running for queue in application.jobs.queues())


def wait_until(done: Callable[[], bool], seconds: float = 600.0) -> None:
    """Wait until a condition holds; raises TimeoutError."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"The benchmark did not finish within {seconds:g} s.")
        time.sleep(0.0005)


def run_threads(count: int, work: Callable[[int], object]) -> float:
    """Run `work(n)` in threads; return the seconds until all have ended."""
    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


def percentiles(values: Sequence[float], high: int = 99) -> tuple[float, float]:
    """Return the 50th and a higher percentile."""
    cuts = quantiles(values, n=100)
    return cuts[49], cuts[high - 1]
