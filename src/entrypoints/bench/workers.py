"""The workers of benchmarks, in this process or in some of their own."""

import gc
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from attrs import define, field

from workbell.domain.jobs.task import Task, TaskContext
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings

NOOP = "bench.noop"
ORDINARY = "bench.ordinary"


@define(eq=False)
class StartTimes:
    """How many bodies have begun, and when each that has a number did."""

    at: dict[int, float] = field(factory=dict)
    count: int = 0
    last: float = 0.0
    on_start: Callable[[int], None] = lambda _: None
    lock: threading.Lock = field(factory=threading.Lock)

    def record(self, _: TaskContext, parameters: Any) -> None:
        """Be the body of a job that does nothing else."""
        now = time.perf_counter()
        if (number := parameters.get("n")) is not None:
            self.at[number] = now
        with self.lock:
            self.count += 1
            self.last = now
            self.on_start(self.count)

    def tasks(self) -> list[Task]:
        """Return the tasks of the benchmarks, with this body."""
        return [
            Task(key=NOOP, body=self.record, batch=True),
            Task(key=ORDINARY, body=self.record),
        ]


@contextmanager
def running(application: Application, *, scheduler: bool = True) -> Generator[None]:
    """Have the engine run in this process."""
    runtime = application.runtime(threads=application.settings.worker_threads, scheduler=scheduler)
    runtime.start()
    try:
        yield
    finally:
        runtime.stop(5.0)


@contextmanager
def worker_processes(settings: Settings, count: int) -> Iterator[Callable[[], int]]:
    """Have so many worker processes, started and at work; give what counts their bodies."""
    context = get_context("spawn")
    ready, go, stop = context.Barrier(count + 1), context.Event(), context.Event()
    done = [context.Value("q", 0, lock=False) for _ in range(count)]
    workers = [
        context.Process(
            target=_run_worker_process, args=(settings, each, ready, go, stop), daemon=True
        )
        for each in done
    ]
    for worker in workers:
        worker.start()
    ready.wait(60)
    go.set()
    try:
        yield lambda: sum(each.value for each in done)
    finally:
        stop.set()
        for worker in workers:
            worker.join(15)


def _run_worker_process(settings: Settings, done: Any, ready: Any, go: Any, stop: Any) -> None:
    """Be a worker process."""

    def tell(count: int) -> None:
        done.value = count

    application = build(settings, tasks=StartTimes(on_start=tell).tasks())
    gc.freeze()
    ready.wait(60)
    go.wait()
    with running(application, scheduler=False):
        stop.wait()
    application.close()


def is_finished(application: Application) -> bool:
    """Whether every outcome is committed."""
    return not any(queue.ready or queue.running for queue in application.jobs.queues())


def wait_until(done: Callable[[], bool], seconds: float = 600.0) -> None:
    """
    Wait until something is so.

    Raises:
        TimeoutError: It has not become so in time.
    """
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError("The benchmark's jobs do not end.")
        time.sleep(0.0005)
