"""Change counters in Redis, for many processes."""

from typing import Final

from attrs import frozen

from workbell.adapters.redis_client import RedisLink, packed

PREFIX: Final = "workbell:changes"


@frozen
class RedisChanges:
    """The counters that many processes share; while Redis is away, nobody knows them."""

    _link: RedisLink

    def rise(self, queue: str) -> None:
        """Raise a counter."""
        self._link.tell(packed("INCR", f"{PREFIX}:{queue}"))

    def count(self, queue: str) -> int | None:
        """Return how far a counter has risen, None where Redis is away."""
        return self._link.ask(lambda redis: int(redis.get(f"{PREFIX}:{queue}") or 0))
