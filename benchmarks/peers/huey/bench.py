"""Huey on Redis: drain and start latency."""

from app import noop
from measuring import jobs


def _workers() -> jobs.Commands:
    size = ["--workers", str(jobs.PROCESSES), "--worker-type", "process"]
    return [jobs.command("huey_consumer", "app.huey", *size, "--quiet")]


def _enqueue(count: int) -> None:
    for n in range(count):
        noop(n)


if __name__ == "__main__":
    jobs.answer(
        {
            "drain": lambda: jobs.drain(30_000, _enqueue, _workers()),
            "latency": lambda: jobs.latency(lambda n: noop(n), _workers()),
        }
    )
