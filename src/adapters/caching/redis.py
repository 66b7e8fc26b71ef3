"""The cache in Redis, shared by every process; away, it has nothing."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import structlog
from attrs import Factory, define
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from .. import jsontext
from ..breaker import Breaker

T = TypeVar("T")

TIMEOUT_SECONDS: Final = 0.04
"""For connecting and for an answer each."""

_log = structlog.get_logger(__name__)


@define(eq=False)
class RedisCache:
    """
    JSON text by key; Redis forgets it in time.

    While Redis is away every answer is a miss, and one request a second tries
    again.
    """

    _redis: "Redis"
    _prefix: str = "workbell:cache"
    _breaker: Breaker = Factory(Breaker)

    @classmethod
    def connect(
        cls, url: str, *, prefix: str = "workbell:cache", timeout: float = TIMEOUT_SECONDS
    ) -> "RedisCache":
        """
        Return a cache; Redis is first asked when there is something to look up.

        Raises:
            ValueError: The address is not one of Redis.
        """
        client = Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )
        return cls(client, prefix)

    def get(self, key: str) -> Any | None:
        """Return the value that is kept under a key, or None."""

        def look() -> Any | None:
            text: Any = self._redis.get(self._name(key))
            return None if text is None else jsontext.loads(text)

        return self._tried(look)

    def put(self, key: str, value: Any, seconds: int) -> None:
        """Keep a JSON value under a key, for so many seconds at most."""
        text = jsontext.dumps(value)
        if seconds > 0:
            self._tried(lambda: self._redis.set(self._name(key), text, ex=seconds))

    def close(self) -> None:
        """Close every connection."""
        self._redis.close()

    def _name(self, key: str) -> str:
        return f"{self._prefix}:{key}"

    def _tried(self, ask: Callable[[], T]) -> T | None:
        if not self._breaker.admits():
            return None
        try:
            found = ask()
        except Exception as error:  # noqa: BLE001 - whatever listens there, nobody waits for it
            if self._breaker.failed():
                _log.warning("cache_is_away", reason=type(error).__name__)
            return None
        if self._breaker.succeeded():
            _log.info("cache_is_back")
        return found
