"""A cache in Redis that processes share."""

from typing import Any

from attrs import frozen

from workbell.adapters.redis_client import OptionalRedis
from workbell.adapters.serialization import json_codec as jsontext

PREFIX = "workbell:cache"


@frozen
class RedisCache:
    """JSON text by key; while Redis is unavailable, every read is a miss."""

    _redis: OptionalRedis
    _prefix: str = PREFIX

    def get(self, key: str) -> Any | None:
        """Return the cached value of a key, or None."""

        def read(redis: Any) -> Any | None:
            text: bytes | None = redis.get(f"{self._prefix}:{key}")
            return None if text is None else jsontext.loads(text)

        return self._redis.call(read)

    def put(self, key: str, value: Any, seconds: int) -> None:
        """Cache a JSON value for at most `seconds`."""
        text = jsontext.dumps(value)
        if seconds > 0:
            self._redis.call(lambda redis: redis.set(f"{self._prefix}:{key}", text, ex=seconds))
