"""Huey on Redis with default settings."""

import os

from huey import RedisHuey
from measuring import tally

huey = RedisHuey("peer", url=os.environ["REDIS_URL"])


@huey.task()
def noop(n: int) -> None:
    """Record the start."""
    tally.note(n)
