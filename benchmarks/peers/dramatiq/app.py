"""Dramatiq on Redis, as it comes."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from measuring import tally

dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))


@dramatiq.actor
def noop(n: int) -> None:
    """Do nothing but be counted."""
    tally.note(n)
