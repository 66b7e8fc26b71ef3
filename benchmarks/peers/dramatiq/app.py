"""Dramatiq on Redis with default settings."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from measuring import tally

dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))


@dramatiq.actor
def noop(n: int) -> None:
    """Record the start."""
    tally.note(n)
