"""The link to Redis: short waits, and a breaker that spares even those."""

from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Any, Final, TypeVar

import structlog
from attrs import Factory, define, field
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ..domain.errors import Unavailable

T = TypeVar("T")

TIMEOUT_SECONDS: Final = 0.04
"""For connecting and for an answer; with what surrounds them below 50 ms."""
REST_SECONDS: Final = 1.0
PROBE_SECONDS: Final = 1.0

log = structlog.get_logger(__name__)


def options(timeout: float = TIMEOUT_SECONDS) -> dict[str, Any]:
    """Return how a client waits, in seconds, for connecting and for an answer: once each."""
    return {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
    }


@define(eq=False)
class Breaker:
    """Open for a while after a failure; then one call may try, and the others wait."""

    _rest_seconds: float = REST_SECONDS
    _time: Callable[[], float] = monotonic
    _open_until: float | None = field(default=None, init=False)
    _lock: Lock = field(default=Factory(Lock), init=False, repr=False)

    def admits(self) -> bool:
        """Whether a call may be made now."""
        if self._open_until is None:
            return True
        with self._lock:
            now = self._time()
            if self._open_until is not None:
                if now < self._open_until:
                    return False
                self._open_until = now + self._rest_seconds
            return True

    def failed(self) -> bool:
        """Open; return whether it was closed before."""
        with self._lock:
            was_closed = self._open_until is None
            self._open_until = self._time() + self._rest_seconds
        return was_closed

    def succeeded(self) -> bool:
        """Close; return whether it was open before."""
        if self._open_until is None:
            return False
        with self._lock:
            was_open, self._open_until = self._open_until is not None, None
        return was_open


@define(eq=False)
class RedisLink:
    """Redis as somebody uses it who can do without: asked quickly, or not at all."""

    client: Any
    purpose: str
    _probe: Any
    _breaker: Breaker = Factory(Breaker)

    @classmethod
    def connect(cls, url: str, purpose: str, *, timeout: float = TIMEOUT_SECONDS) -> "RedisLink":
        """
        Return a link; nothing is sent yet. `purpose` is how logs call it.

        Raises:
            ValueError: The address is not one of Redis.
        """
        client = Redis.from_url(url, **options(timeout))
        return cls(client, purpose, Redis.from_url(url, **options(PROBE_SECONDS)))

    def ask(self, question: Callable[[Any], T]) -> T | None:
        """Return what Redis answers, or None where it is away; never raises."""
        if not self._breaker.admits():
            return None
        try:
            answer = question(self.client)
        except Exception as error:  # noqa: BLE001 - whatever listens there, nobody waits for it
            if self._breaker.failed():
                log.warning("redis_is_away", purpose=self.purpose, reason=type(error).__name__)
            return None
        if self._breaker.succeeded():
            log.info("redis_is_back", purpose=self.purpose)
        return answer

    def check(self) -> None:
        """
        Do the smallest round trip, for a probe that can wait longer than a request.

        Raises:
            Unavailable: Redis does not answer within a second.
        """
        try:
            self._probe.ping()
        except Exception as error:  # whatever listens there
            raise Unavailable("Redis does not answer.") from error

    def close(self) -> None:
        """Close every connection."""
        self.client.close()
        self._probe.close()
