"""taskiq on a Redis list with default settings."""

import os

from measuring import tally
from taskiq_redis import ListQueueBroker

broker = ListQueueBroker(os.environ["REDIS_URL"])


@broker.task
async def noop(n: int) -> None:
    """Record the start."""
    tally.note(n)
