"""Procrastinate: drain, single and bulk enqueue, start latency."""

from collections.abc import Generator
from contextlib import contextmanager

from app import app
from measuring import jobs
from procrastinate import SyncPsycopgConnector
from procrastinate.tasks import Task

BATCH = 500


def _workers() -> jobs.Commands:
    worker = jobs.command(
        "procrastinate", "--app", "app.app", "worker", "--concurrency", str(jobs.THREADS)
    )
    return [worker] * jobs.PROCESSES


@contextmanager
def _opened() -> Generator[Task]:
    with app.replace_connector(SyncPsycopgConnector(conninfo=jobs.DATABASE)), app.open():
        app.schema_manager.apply_schema()
        yield app.tasks["noop"]


def drain() -> dict[str, float]:
    """Drain jobs enqueued in bulk."""
    with _opened() as noop:
        return jobs.drain(3_000, lambda count: _bulk(noop, count), _workers())


def single() -> dict[str, float]:
    """Enqueue single jobs."""
    with _opened() as noop:
        return jobs.single(4_000, lambda count: [noop.defer(n=n) for n in range(count)])


def bulk() -> dict[str, float]:
    """Enqueue 500 jobs per call."""
    with _opened() as noop:
        return jobs.single(20_000, lambda count: _bulk(noop, count))


def latency() -> dict[str, float]:
    """Start latency while idle."""
    with _opened() as noop:
        return jobs.latency(lambda n: noop.defer(n=n), _workers())


def _bulk(noop: Task, count: int) -> None:
    for start in range(0, count, BATCH):
        noop.batch_defer(*({"n": n} for n in range(start, min(count, start + BATCH))))


if __name__ == "__main__":
    jobs.answer({"drain": drain, "single": single, "bulk": bulk, "latency": latency})
