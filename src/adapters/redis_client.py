"""The link to Redis: short waits, and a breaker that spares even those."""

from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Any, Final, TypeVar

import structlog
from attrs import Factory, define, field
from redis import ConnectionError as BrokenConnectionError
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from workbell.domain.errors import Unavailable

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


def packed(*words: str) -> bytes:
    """Return a command as Redis reads it, made once for many uses."""
    told = [word.encode() for word in words]
    return b"*%d\r\n" % len(told) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in told)


@define(eq=False)
class Line:
    """
    A connection, and whether an answer is under way that nobody waits for.

    After a failure it is closed, and opens itself anew.
    """

    connection: Any
    _owes: bool = field(default=False, init=False)

    def send(self, command: bytes) -> None:
        """Send a command, and read what the last one left unread."""
        self.connection.send_packed_command((command,))
        if self._owes:
            self.connection.read_response()
        self._owes = True

    def answer(self) -> Any:
        """Return the answer to what was sent."""
        self._owes = False
        return self.connection.read_response()


@define(eq=False)
class Lines:
    """
    Connections that stay open, for commands that were packed beforehand.

    They go past the client, which does much else for each command. One that
    Redis has closed meanwhile is replaced.
    """

    _client: Any
    _idle: list[Line] = field(factory=list[Line], init=False)

    def use(self, command: bytes, *, waits: bool) -> Any:
        """
        Send a command, and return its answer if that is waited for.

        Raises:
            RedisError: Redis does not answer, or not so.
        """
        while True:
            kept = self._kept()
            line = kept or Line(self._client.connection_pool.get_connection())
            try:
                line.send(command)
                answer = line.answer() if waits else None
            except BaseException as error:
                line.connection.disconnect()
                self._client.connection_pool.release(line.connection)
                if kept is None or not isinstance(error, BrokenConnectionError):
                    raise
            else:
                self._idle.append(line)
                return answer

    def _kept(self) -> Line | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None


@define(eq=False)
class RedisLink:
    """Redis as somebody uses it who can do without: asked quickly, or not at all."""

    client: Any
    purpose: str
    _probe: Any
    _breaker: Breaker = Factory(Breaker)
    _lines: Lines = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Have lines of the client's connections; none is opened yet."""
        self._lines = Lines(self.client)

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

    def say(self, command: bytes) -> Any:
        """Return what Redis answers to a packed command, or None where it is away."""
        return self.ask(lambda _: self._lines.use(command, waits=True))

    def tell(self, command: bytes) -> None:
        """Send a packed command whose answer nobody needs, and do not wait for it."""
        self.ask(lambda _: self._lines.use(command, waits=False))

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
