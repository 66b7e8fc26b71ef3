"""Measurements of job queues: drain, enqueue and start latency."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles

from . import tally

PROCESSES = int(os.environ.get("PROCESSES", "2"))
THREADS = 8
REDIS = os.environ.get("REDIS_URL", "")
DATABASE = os.environ.get("DATABASE_URL", "")
SCALE = float(os.environ.get("SCALE", "1"))
"""Share of the usual work; a quick run does a tenth."""
PAUSE = 0.01
LATENCIES = 300

Commands = Sequence[Sequence[str]]


def scaled(count: int) -> int:
    """Return a number of jobs, scaled."""
    return max(100, int(count * SCALE))


def answer(measures: dict[str, Callable[[], dict[str, float]]]) -> None:
    """Run the measurement that the command line names; print its figures as JSON."""
    print(json.dumps(measures[sys.argv[1]]()), flush=True)


def command(name: str, *arguments: str) -> list[str]:
    """Return a command of the virtual environment of this script."""
    return [str(Path(sys.executable).parent / name), *arguments]


def drain(
    jobs: int,
    enqueue: Callable[[int], None],
    workers: Commands,
    settled: Callable[[], None] | None = None,
) -> dict[str, float]:
    """
    Return the rate at which workers start waiting jobs.

    `settled` is called while they still run, to wait for stored results; it
    does not affect the figure.
    """
    jobs = scaled(jobs)
    tally.clear()
    enqueue(jobs)
    with running(workers):
        tally.until(jobs)
        if settled is not None:
            settled()
    return {"jobs/s": tally.rate()}


def single(jobs: int, enqueue: Callable[[int], None]) -> dict[str, float]:
    """Return the rate at which one thread enqueues single jobs."""
    jobs = scaled(jobs)
    enqueue(jobs // 20)
    begun = time.perf_counter()
    enqueue(jobs)
    return {"jobs/s": jobs / (time.perf_counter() - begun)}


def latency(enqueue: Callable[[int], None], workers: Commands) -> dict[str, float]:
    """
    Return p50 and p99 in ms from the enqueue call to the start of the body.

    The workers are idle; each job is enqueued 10 ms after the last one started.
    """
    tally.clear()
    called: dict[int, int] = {}
    with running(workers):
        enqueue(0)
        tally.until(1)
        time.sleep(1)
        for n in range(1, LATENCIES + 1):
            called[n] = time.monotonic_ns()
            enqueue(n)
            while tally.count() <= n:
                time.sleep(0.0005)
            time.sleep(PAUSE)
    waits = [(at - called[n]) / 1e6 for n, at in tally.begun() if n in called]
    cuts = quantiles(waits, n=100)
    return {"p50 ms": cuts[49], "p99 ms": cuts[98]}


@contextmanager
def running(workers: Commands) -> Generator[None]:
    """Run worker processes; stop them at the end."""
    started = [subprocess.Popen(each, stdout=subprocess.DEVNULL) for each in workers]
    try:
        yield
    finally:
        for each in started:
            each.send_signal(signal.SIGTERM)
        for each in started:
            try:
                each.wait(10)
            except subprocess.TimeoutExpired:
                each.kill()
                each.wait()


def until(done: Callable[[], bool], seconds: float = 60) -> None:
    """
    Wait until a condition holds.

    Raises:
        TooSlowError: It did not hold in time.
    """
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise tally.TooSlowError(f"The results were not stored within {seconds} s.")
        time.sleep(0.05)
