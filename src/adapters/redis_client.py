"""A Redis client with short timeouts and a circuit breaker."""

from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Any, Final, TypeVar

from attrs import Factory, define, field
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from workbell.adapters.logs import get_logger
from workbell.domain.errors import Unavailable

T = TypeVar("T")

TIMEOUT_SECONDS: Final = 0.04
"""To connect and to read, each; a failing call takes less than 50 ms."""
REST_SECONDS: Final = 1.0
PROBE_SECONDS: Final = 1.0

log = get_logger(__name__)


def options(timeout: float = TIMEOUT_SECONDS) -> dict[str, Any]:
    """Return client options: one attempt, and a timeout in seconds."""
    return {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
    }


@define(eq=False)
class RedisCircuitBreaker:
    """Circuit breaker; after `rest_seconds` it allows a trial call."""

    _rest_seconds: float = REST_SECONDS
    _time: Callable[[], float] = monotonic
    _open_until: float | None = field(default=None, init=False)
    _lock: Lock = field(default=Factory(Lock), init=False, repr=False)

    def allows(self) -> bool:
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

    def record_failure(self) -> bool:
        """Open the circuit; return whether it was closed before."""
        with self._lock:
            was_closed = self._open_until is None
            self._open_until = self._time() + self._rest_seconds
        return was_closed

    def record_success(self) -> bool:
        """Close the circuit; return whether it was open before."""
        if self._open_until is None:
            return False
        with self._lock:
            was_open, self._open_until = self._open_until is not None, None
        return was_open


@define(eq=False)
class OptionalRedis:
    """A Redis client for optional uses: failed calls return None."""

    client: Any
    purpose: str
    _probe: Any
    _breaker: RedisCircuitBreaker = Factory(RedisCircuitBreaker)

    @classmethod
    def connect(
        cls, url: str, purpose: str, *, timeout: float = TIMEOUT_SECONDS
    ) -> "OptionalRedis":
        """Return a client without connecting; `purpose` names it in log events."""
        client = Redis.from_url(url, **options(timeout))
        return cls(client, purpose, Redis.from_url(url, **options(PROBE_SECONDS)))

    def call(self, command: Callable[[Any], T]) -> T | None:
        """Return `command(client)`, or None if Redis is unavailable; never raises."""
        if not self._breaker.allows():
            return None
        try:
            result = command(self.client)
        except Exception as error:  # noqa: BLE001 - an optional server must not fail its callers
            if self._breaker.record_failure():
                log.warning("redis_unavailable", purpose=self.purpose, reason=type(error).__name__)
            return None
        if self._breaker.record_success():
            log.info("redis_available", purpose=self.purpose)
        return result

    def check(self) -> None:
        """Ping Redis with a timeout of a second; raise Unavailable if that fails."""
        try:
            self._probe.ping()
        except Exception as error:  # includes servers that do not speak the protocol
            raise Unavailable("Redis does not answer.") from error

    def close(self) -> None:
        """Close all connections."""
        self.client.close()
        self._probe.close()
