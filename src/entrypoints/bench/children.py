"""Child processes benchmark: their start, jobs, kills, and other requests."""

import json
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from attrs import evolve, frozen

from workbell.domain.identity.actor import SYSTEM
from workbell.domain.identity.user import SYSTEM_ID
from workbell.domain.jobs.attempt import Claim
from workbell.domain.jobs.job import ClaimMode, JobId
from workbell.domain.jobs.task import Task, TimedOut
from workbell.entrypoints.bench import child_tasks
from workbell.entrypoints.bench.child_tasks import BUSY, MODULE, NOOP, THREAD
from workbell.entrypoints.bench.http import ApiServer, running_api
from workbell.entrypoints.bench.load import generate_load
from workbell.entrypoints.bench.rows import FigureRows, Row
from workbell.entrypoints.bench.targets import Target
from workbell.entrypoints.bench.workers import is_finished, percentiles, running, wait_until
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings
from workbell.entrypoints.library.client import DECLARED
from workbell.services.jobs.requests import NewJob

JOBS = 2_000
REPORTS = 10_000
KILLS = 10
BUSY_JOBS = 8
LARGE = 64_000
SETTLE_SECONDS = 2.0


@frozen
class _NoContext:
    """A context of which only the clock, checks and progress are used."""

    application: Application
    claim: Claim
    job_id: int = 0
    attempt: int = 1
    owner: Any = SYSTEM_ID
    schedule_id: None = None
    tick: None = None
    idempotency_key: str = ""
    log: Any = None

    def now(self) -> Any:
        return self.application.clock.now()

    def check(self) -> None:
        """Do nothing."""

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Do nothing."""

    def artifact(
        self,
        name: str,
        source: BinaryIO | Path | bytes,
        media_type: str = "application/octet-stream",
    ) -> None:
        """Do nothing."""


def measure(target: Target, count: int, seconds: int) -> list[Row]:
    """Run the benchmark; return its rows."""
    figures = FigureRows(digits=3)
    with target.settings() as settings:
        _measure_pool(evolve(settings, tasks=(MODULE,)), figures)
    for task, label in ((THREAD, "threads"), (NOOP, "children")):
        with target.application(_own_tasks()) as application:
            figures.add(f"drain in {label}", _drain(application, task, count), "jobs/s")
    _measure_requests(target, figures, seconds)
    return figures.rows


def _own_tasks() -> Sequence[Task]:
    return [task for task in DECLARED.all() if task.body.__module__ == child_tasks.__name__]


def _measure_pool(settings: Settings, figures: FigureRows) -> None:
    """Measure children without a store."""
    application = build(settings, tasks=_own_tasks())
    try:
        first = _call(application, NOOP)[0]
        figures.add("first child, with its fork server", first * 1e3, "ms")
        starts = [_replace_child(application) for _ in range(KILLS)]
        figures.add("next child, p50", percentiles(starts)[0] * 1e3, "ms")
        times = [_call(application, NOOP)[0] * 1e6 for _ in range(JOBS)]
        p50, p99 = percentiles(times)
        figures.add("job in a child, p50", p50, "us")
        figures.add("job in a child, p99", p99, "us")
        large = [_call(application, NOOP, size=LARGE)[0] * 1e6 for _ in range(JOBS // 10)]
        figures.add("job with a result of 64 KB, p50", percentiles(large)[0], "us")
        report = _call(application, "bench.report", reports=REPORTS)[1]
        figures.add("report of progress", report * 1e6, "us")
        late = sorted(_kill_seconds(application) for _ in range(KILLS))
        figures.add("kill after the deadline, p50", late[len(late) // 2] * 1e3, "ms")
        figures.add("kill after the deadline, maximum", late[-1] * 1e3, "ms")
        memory = _call(application, "bench.memory")[1]
        figures.add("memory of a child, proportional", memory["Pss"], "MiB")
        figures.add("memory of a child, private", memory["Private_Dirty"], "MiB")
    finally:
        application.close()


def _call(application: Application, key: str, **parameters: Any) -> tuple[float, Any]:
    """Run a body in a child; return the seconds and its result."""
    children = application.execution.children
    assert children is not None
    task = application.tasks.get(key)
    claim = _claim(application, task, parameters)
    context = _NoContext(application, claim)
    started = time.perf_counter()
    result = children.run(task, claim, context)
    return time.perf_counter() - started, result


def _replace_child(application: Application) -> float:
    """Time a job in a new child, after the last one was killed."""
    _kill_seconds(application)
    return _call(application, NOOP)[0]


def _kill_seconds(application: Application) -> float:
    """Return by how many seconds a child outlives its time limit of a second."""
    started = time.perf_counter()
    with suppress(TimedOut):
        _call(application, "bench.sleep")
    return time.perf_counter() - started - 1


def _claim(application: Application, task: Task, parameters: dict[str, Any]) -> Claim:
    now = application.clock.now()
    return Claim(
        id=JobId(1),
        token=1,
        task=task.key,
        owner=SYSTEM_ID,
        parameters=parameters,
        queue="default",
        mode=ClaimMode.ORDINARY,
        fail_when_lost=False,
        concurrency_key=None,
        attempt=1,
        max_attempts=1,
        timeout_seconds=task.timeout_seconds,
        due_at=now,
        queued_at=now,
        started_at=now,
        schedule_id=None,
        tick=None,
    )


def _drain(application: Application, task: str, count: int) -> float:
    """Return jobs/s of a backlog, with the children started before."""
    started = 0.0
    for size in (application.settings.worker_threads * 4, count):
        application.jobs.create_many(SYSTEM, [NewJob(task_definition=task)] * size)
        started = time.perf_counter()
        with running(application, scheduler=False):
            wait_until(lambda: is_finished(application))
    return count / (time.perf_counter() - started)


def _measure_requests(target: Target, figures: FigureRows, seconds: int) -> None:
    """Measure a list over HTTP, idle and beside CPU-bound jobs."""
    for where, task in {"": "", **BUSY}.items():
        # of another store each time: a stopped worker returns its jobs to the queue
        with (
            target.settings() as settings,
            running_api(evolve(settings, redis_url=None), TASKS=MODULE) as server,
        ):
            for _ in range(BUSY_JOBS if task else 0):
                _enqueue(server, task)
            time.sleep(SETTLE_SECONDS)
            result = generate_load(server.listing(), seconds, 1)
        label = f"beside {BUSY_JOBS} CPU-bound jobs, {where}" if task else "idle"
        figures.add_latency(f"list of 20 {label}", result.p50, result.p99)


def _enqueue(server: ApiServer, task: str) -> None:
    body = json.dumps({"task_definition": task, "parameters": {}})
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {server.tokens[1]}",
    }
    url = f"{server.url}/api/v1/jobs"
    request = urllib.request.Request(url, body.encode(), headers)  # noqa: S310
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
