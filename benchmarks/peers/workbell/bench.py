"""Workbell on PostgreSQL and Redis: the same measurements."""

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager

import app  # noqa: F401 - declares the tasks
from measuring import jobs

import workbell

NOOP, ORDINARY, ISOLATED = "bench.noop", "bench.ordinary", "bench.isolated"
BATCH = 500
KEY = secrets.token_hex(32)


@contextmanager
def _opened() -> Generator[workbell.Client]:
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= {
            "WORKBELL_DATABASE_URL": jobs.DATABASE,
            "WORKBELL_REDIS_URL": jobs.REDIS,
            "WORKBELL_SECRET_KEY": KEY,
            "WORKBELL_DATA_DIR": scratch,
            "WORKBELL_TASKS": "app",
            "WORKBELL_WORKER_THREADS": str(jobs.THREADS),
            "WORKBELL_LOG_FORMAT": "json",
            "WORKBELL_LOG_FILE": os.devnull,
        }
        with workbell.open(
            jobs.DATABASE, redis_url=jobs.REDIS, secret_key=KEY, data_dir=scratch, migrate="auto"
        ) as client:
            yield client


def _workers() -> jobs.Commands:
    return [[sys.executable, "-m", "workbell", "worker"]] * jobs.PROCESSES


def _drain(task: str, count: int) -> dict[str, float]:
    with _opened() as client:

        def settled() -> None:
            jobs.until(lambda: not client.jobs.find(statuses=["pending", "running"], limit=1))

        return jobs.drain(count, _bulk(client, task), _workers(), settled)


def _bulk(client: workbell.Client, task: str) -> Callable[[int], None]:
    def enqueue(count: int) -> None:
        for start in range(0, count, BATCH):
            numbers = range(start, min(count, start + BATCH))
            client.jobs.enqueue_many(task, [{"n": n} for n in numbers])

    return enqueue


def single() -> dict[str, float]:
    """Enqueue single jobs."""
    with _opened() as client:

        def enqueue(count: int) -> None:
            for n in range(count):
                client.jobs.enqueue(NOOP, {"n": n})

        return jobs.single(4_000, enqueue)


def bulk() -> dict[str, float]:
    """Enqueue 500 jobs per call."""
    with _opened() as client:
        return jobs.single(40_000, _bulk(client, NOOP))


def latency() -> dict[str, float]:
    """Start latency while idle."""
    with _opened() as client:
        return jobs.latency(lambda n: client.jobs.enqueue(ORDINARY, {"n": n}), _workers())


def embedded() -> dict[str, float]:
    """Enqueue and run in one process on SQLite, also with one commit each."""
    rows = _bench("jobs", "--count", str(jobs.scaled(8_000)))
    found = {row["what"]: row["figure"] for row in rows}
    naive = next(what for what in found if what.startswith("the same without"))
    return {"jobs/s": found["enqueue + run, 8 producers"], "naive jobs/s": found[naive]}


def ticks() -> dict[str, float]:
    """Fire due schedules, with a million in the table."""
    size = str(jobs.scaled(1_000_000))
    (row,) = _bench("ticks", "--schedules", size, "--database", jobs.DATABASE)
    return {"fired/s": row["fired/s"], "growth MiB": row["memory growth, MiB"]}


def _bench(*arguments: str) -> list[dict[str, float]]:
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "workbell", "bench", *arguments, "--json"]
        printed = subprocess.run(
            [*command, "--results", scratch], stdout=subprocess.PIPE, check=True
        ).stdout
    found: list[dict[str, float]] = json.loads(printed)
    return found


if __name__ == "__main__":
    jobs.answer(
        {
            "batch": lambda: _drain(NOOP, 60_000),
            "isolated": lambda: _drain(ISOLATED, 8_000),
            "ordinary": lambda: _drain(ORDINARY, 10_000),
            "single": single,
            "bulk": bulk,
            "latency": latency,
            "embedded": embedded,
            "ticks": ticks,
        }
    )
