"""taskiq on a list in Redis with default settings."""

import os

from measuring import tally
from taskiq_redis import ListQueueBroker

broker = ListQueueBroker(os.environ["REDIS_URL"])


@broker.task
async def noop(n: int) -> None:
    """Record the run."""
    tally.note(n)
