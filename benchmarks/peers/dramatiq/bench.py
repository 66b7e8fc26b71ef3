"""Dramatiq on Redis: drain and start latency."""

from app import noop
from measuring import jobs


def _workers() -> jobs.Commands:
    size = ["--processes", str(jobs.PROCESSES), "--threads", str(jobs.THREADS)]
    return [jobs.command("dramatiq", "app", *size)]


def _enqueue(count: int) -> None:
    for n in range(count):
        noop.send(n)


if __name__ == "__main__":
    jobs.answer(
        {
            "drain": lambda: jobs.drain(10_000, _enqueue, _workers()),
            "latency": lambda: jobs.latency(lambda n: noop.send(n), _workers()),
        }
    )
