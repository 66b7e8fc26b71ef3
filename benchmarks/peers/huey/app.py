"""Huey on Redis, as it comes."""

import os

from huey import RedisHuey
from measuring import tally

huey = RedisHuey("peer", url=os.environ["REDIS_URL"])


@huey.task()
def noop(n: int) -> None:
    """Do nothing but be counted."""
    tally.note(n)
