"""taskiq on a list in Redis, as it comes."""

import os

from measuring import tally
from taskiq_redis import ListQueueBroker

broker = ListQueueBroker(os.environ["REDIS_URL"])


@broker.task
async def noop(n: int) -> None:
    """Do nothing but be counted."""
    tally.note(n)
