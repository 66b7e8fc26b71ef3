"""Tasks of the benchmark of child processes; children import this module."""

import time
from pathlib import Path
from typing import Any

from workbell.domain.jobs.task import TaskContext
from workbell.entrypoints.library.client import task

MODULE = __name__
NOOP = "bench.child_noop"
THREAD = "bench.thread_noop"
BUSY = {"thread": "bench.busy_in_thread", "process": "bench.busy_in_process"}


@task(NOOP, isolation="process")
def run_noop(_: TaskContext, parameters: dict[str, Any]) -> str:
    """Return a text of the size that the parameters name."""
    return "x" * int(parameters.get("size", 0))


@task(THREAD, isolation="thread")
def run_noop_in_thread(_: TaskContext, __: dict[str, Any]) -> str:
    """Return an empty text."""
    return ""


@task("bench.report", isolation="process")
def report_progress(context: TaskContext, parameters: dict[str, Any]) -> float:
    """Report progress many times; return the seconds for one report."""
    started = time.perf_counter()
    reports = int(parameters["reports"])
    for n in range(reports):
        context.progress(n)
    return (time.perf_counter() - started) / reports


@task("bench.sleep", isolation="process", timeout_seconds=1, max_attempts=1)
def sleep(_: TaskContext, __: dict[str, Any]) -> None:
    """Sleep beyond the time limit."""
    time.sleep(60)


@task("bench.memory", isolation="process")
def read_memory(_: TaskContext, __: dict[str, Any]) -> dict[str, float]:
    """Return the proportional and the private memory of this process, in MiB."""
    sizes = {"Pss": 0, "Private_Dirty": 0}
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]:
        name, size = line.split()[:2]
        if name.rstrip(":") in sizes:
            sizes[name.rstrip(":")] = int(size)
    return {name: size / 1024 for name, size in sizes.items()}


def _compute(context: TaskContext) -> None:
    while True:
        for _ in range(100_000):
            pass
        context.check()


@task(BUSY["thread"], isolation="thread")
def compute_in_thread(context: TaskContext, _: dict[str, Any]) -> None:
    """Use a processor until the worker stops, in a thread of the worker."""
    _compute(context)


@task(BUSY["process"], isolation="process")
def compute_in_process(context: TaskContext, _: dict[str, Any]) -> None:
    """Use a processor until the worker stops, in a child process."""
    _compute(context)
