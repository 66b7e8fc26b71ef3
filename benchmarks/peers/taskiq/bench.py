"""taskiq on Redis: drain and start latency."""

import asyncio

from app import broker, noop
from measuring import jobs


def _workers() -> jobs.Commands:
    size = ["--workers", str(jobs.PROCESSES)]
    return [jobs.command("taskiq", "worker", "app:broker", *size, "--log-level", "WARNING")]


def main() -> None:
    """Run a measurement with one event loop for all calls."""
    with asyncio.Runner() as runner:
        runner.run(broker.startup())

        async def many(count: int) -> None:
            for n in range(count):
                await noop.kiq(n)

        def one(n: int) -> None:
            runner.run(_kiq(n))

        jobs.answer(
            {
                "drain": lambda: jobs.drain(15_000, lambda n: runner.run(many(n)), _workers()),
                "latency": lambda: jobs.latency(one, _workers()),
            }
        )
        runner.run(broker.shutdown())


async def _kiq(n: int) -> None:
    await noop.kiq(n)


if __name__ == "__main__":
    main()
