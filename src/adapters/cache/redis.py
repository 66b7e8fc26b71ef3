"""The cache in Redis, shared by every process; away, it has nothing."""

from typing import Any

from attrs import frozen

from workbell.adapters.redis_client import OptionalRedis
from workbell.adapters.serialization import json_codec as jsontext

PREFIX = "workbell:cache"


@frozen
class RedisCache:
    """JSON text by key; Redis forgets it in time, and while it is away every answer is a miss."""

    _redis: OptionalRedis
    _prefix: str = PREFIX

    def get(self, key: str) -> Any | None:
        """Return the value that is kept under a key, or None."""

        def look(redis: Any) -> Any | None:
            text: bytes | None = redis.get(f"{self._prefix}:{key}")
            return None if text is None else jsontext.loads(text)

        return self._redis.call(look)

    def put(self, key: str, value: Any, seconds: int) -> None:
        """Keep a JSON value under a key, for so many seconds at most."""
        text = jsontext.dumps(value)
        if seconds > 0:
            self._redis.call(lambda redis: redis.set(f"{self._prefix}:{key}", text, ex=seconds))
