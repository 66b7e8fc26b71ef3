"""Dramatiq on Redis, with default settings or a short heartbeat."""

import os

import dramatiq
import notes
from dramatiq.brokers.redis import RedisBroker

_SAFEST = {"heartbeat_timeout": 5_000, "maintenance_chance": 1_000_000}
_more = _SAFEST if os.environ["FAULT_VARIANT"] == "safest" else {}
dramatiq.set_broker(RedisBroker(url=os.environ["FAULT_REDIS"], **_more))


@dramatiq.actor
def work(number: str, milliseconds: int) -> None:
    """Record the start, wait, record the end."""
    notes.work(number, milliseconds)
