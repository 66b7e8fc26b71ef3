"""Change counters in Redis that processes share."""

from typing import Final

from attrs import frozen

from workbell.adapters.redis_client import OptionalRedis

PREFIX: Final = "workbell:changes"


def counter_key(queue: str) -> str:
    """Return the Redis key of a queue's counter; each wake-up increments it."""
    return f"{PREFIX}:{queue}"


@frozen
class RedisChangeCounters:
    """Change counters by queue, incremented by `RedisWaker`."""

    _redis: OptionalRedis

    def value(self, queue: str) -> int | None:
        """Return the counter of a queue, or None if Redis is unavailable."""
        return self._redis.call(lambda client: int(client.get(counter_key(queue)) or 0))
