"""The rate limiter while Redis is slow, wrong or unavailable."""

import os
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from time import monotonic, perf_counter, sleep
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from attrs import define
from redis.exceptions import RedisError

from tests.contract.factories import NOON, after
from workbell.adapters.rate_limits.memory import MemoryRateLimiter
from workbell.adapters.rate_limits.redis import RedisMovingWindows, RedisRateLimiter
from workbell.adapters.redis_client import RedisCircuitBreaker
from workbell.domain.rate_limits.policy import Policy, Rate, RateLimitKey, Subject

pytestmark = pytest.mark.integration

REDIS = os.environ.get("WORKBELL_TEST_REDIS_URL", "redis://127.0.0.1:6379")
REQUIRED = "redis" in os.environ.get("WORKBELL_TEST_REQUIRE", "")
POLICY = Policy(name="p", rate=Rate(5, 3_600), subject=Subject.USER)


@define
class ManualTime:
    """A clock that the test sets."""

    at: float = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.at


@contextmanager
def dead_port() -> Iterator[str]:
    """Return the URL of a port without a server."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"redis://127.0.0.1:{held.getsockname()[1]}"


@contextmanager
def silent_port() -> Iterator[str]:
    """Return the URL of a server that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def full_port() -> Iterator[str]:
    """Return the URL of a server that does not accept connections."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            with suppress(BlockingIOError):
                each.connect(address)
        yield f"redis://127.0.0.1:{address[1]}"
        for each in waiting:
            each.close()


@contextmanager
def talking_port(answer: bytes) -> Iterator[str]:
    """Return the URL of a server that sends the same answer to every request."""

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                while self.request.recv(65_536):
                    self.request.sendall(answer)

    with serving(Handler) as port:
        yield f"redis://127.0.0.1:{port}"


@contextmanager
def serving(handler: type[BaseRequestHandler], port: int = 0) -> Iterator[int]:
    """Run a server until the block ends; return its port."""

    class Server(ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", port), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def admitted(limiter: RedisRateLimiter, charge: RateLimitKey, times: int = 1) -> int:
    """Hit a key some times; return how often it was allowed."""
    return sum(limiter.hit([charge], NOON)[0].allowed for _ in range(times))


def lost(url: str, seconds: float) -> float:
    """Hit a key for some seconds; return the time that hits waited for Redis."""
    waited, end = 0.0, monotonic() + seconds

    class Timed(RedisMovingWindows):
        def acquire_all(
            self, keys: Sequence[RateLimitKey], at: float, cost: int
        ) -> tuple[bool, Sequence[tuple[int, float]]]:
            nonlocal waited
            begun = perf_counter()
            try:
                return super().acquire_all(keys, at, cost)
            finally:
                waited += perf_counter() - begun

    limiter = RedisRateLimiter.connect(url)
    limiter._windows.__class__ = Timed
    while monotonic() < end:
        limiter.hit([RateLimitKey(POLICY, "1")], NOON)
        sleep(0.001)
    limiter.close()
    return waited


@pytest.mark.parametrize("port", [dead_port, silent_port, full_port])
def test_a_dead_redis_costs_50_ms_a_second(port: Any) -> None:
    """The best of three runs, because the machine may be busy."""
    with port() as url:
        figures = [lost(url, 2.2)]
        while figures[-1] > 0.150 and len(figures) < 3:
            figures.append(lost(url, 2.2))
    assert min(figures) <= 0.150


@pytest.mark.parametrize("port", [dead_port, silent_port, full_port])
def test_without_redis_each_process_counts_by_itself(port: Any) -> None:
    """The limit holds within a process, and no error is raised."""
    with port() as url:
        limiter = RedisRateLimiter.connect(url)
        assert admitted(limiter, RateLimitKey(POLICY, "1"), 8) == 5
        with ThreadPoolExecutor(16) as pool:
            found = pool.map(lambda _: admitted(limiter, RateLimitKey(POLICY, "2"), 4), range(16))
            assert sum(found) == 5
        limiter.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"-LOADING Redis is loading the dataset in memory\r\n",
        b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        b"-READONLY You can't write against a read only replica.\r\n",
        b"-NOAUTH Authentication required.\r\n",
        b"+OK\r\n",
        b"$-1\r\n",
        b"*2\r\n$3\r\nabc\r\n$1\r\nx\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xff\x00\r\n",
        b"*3\r\n:1\r\n",
    ],
)
def test_invalid_replies_count_as_failures(answer: bytes) -> None:
    """The server may not be Redis."""
    with talking_port(answer) as url:
        limiter = RedisRateLimiter.connect(url)
        assert admitted(limiter, RateLimitKey(POLICY, "1"), 8) == 5
        limiter.close()


def test_one_call_a_second_tries_redis_again() -> None:
    """Other calls do not wait for it."""
    time = ManualTime()
    breaker = RedisCircuitBreaker(1.0, time)
    assert breaker.allows()
    assert breaker.record_failure()
    assert not breaker.record_failure()
    assert not breaker.allows()
    time.at = 1.0
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    time.at = 1.05
    assert not breaker.record_failure()
    time.at = 2.0
    assert not breaker.allows()
    time.at = 2.05
    assert breaker.allows()
    assert breaker.record_success()
    assert not breaker.record_success()
    assert all(breaker.allows() for _ in range(3))


def test_an_outage_is_tried_once_a_second() -> None:
    """For any number of requests."""
    time, calls = ManualTime(), list[float]()

    class Failing(RedisMovingWindows):
        def acquire_all(
            self, keys: Sequence[RateLimitKey], at: float, cost: int
        ) -> tuple[bool, Sequence[tuple[int, float]]]:
            calls.append(time.at)
            raise RedisError

    limiter = RedisRateLimiter(
        Failing("redis://127.0.0.1:1"), MemoryRateLimiter(), RedisCircuitBreaker(1.0, time)
    )
    for n in range(4_000):
        time.at = n / 1_000
        limiter.hit([RateLimitKey(POLICY, "1")], NOON)
    assert calls == [0.0, 1.0, 2.0, 3.0]


@pytest.fixture
def relay() -> Any:
    """Return a handler that forwards to the real Redis."""
    place = urlsplit(REDIS)
    there = (place.hostname or "127.0.0.1", place.port or 6379)
    try:
        socket.create_connection(there, timeout=1).close()
    except OSError:
        if REQUIRED:
            raise
        pytest.skip(f"no Redis at {REDIS}")

    class Relay(BaseRequestHandler):
        open: list[socket.socket] = []  # noqa: RUF012

        def handle(self) -> None:
            with socket.create_connection(there) as server, suppress(OSError):
                self.open += [self.request, server]
                Thread(target=self.back, args=(server,), daemon=True).start()
                while data := self.request.recv(65_536):
                    server.sendall(data)

        def back(self, server: socket.socket) -> None:
            with suppress(OSError):
                while data := server.recv(65_536):
                    self.request.sendall(data)

        @classmethod
        def cut(cls) -> None:
            for each in cls.open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    return Relay


def test_redis_is_used_again_after_an_outage(relay: Any) -> None:
    """Its counts are still there, and no error is raised."""
    time, prefix = ManualTime(), f"workbell-test-{uuid4().hex}"
    charge = RateLimitKey(POLICY, "1")
    with serving(relay) as port:
        windows = RedisRateLimiter.connect(
            f"redis://127.0.0.1:{port}", prefix=prefix, timeout=1
        )._windows
        limiter = RedisRateLimiter(windows, MemoryRateLimiter(), RedisCircuitBreaker(1.0, time))
        assert admitted(limiter, charge, 3) == 3
    relay.cut()
    assert admitted(limiter, charge, 9) == 5
    time.at = 1.5
    assert admitted(limiter, charge, 9) == 0
    with serving(relay, port):
        time.at = 3.0
        assert admitted(limiter, charge, 9) == 2
        assert limiter.hit([charge], after(3_600))[0].remaining == 4
        windows.reset()
        limiter.close()
        relay.cut()


def test_a_key_of_another_type_is_not_an_error(relay: Any) -> None:
    """Another program may have written it."""
    prefix = f"workbell-test-{uuid4().hex}"
    limiter = RedisRateLimiter(RedisMovingWindows(REDIS, key_prefix=prefix))
    limiter._windows.storage.set(f"{prefix}:p:1", "x", ex=60)
    assert admitted(limiter, RateLimitKey(POLICY, "1"), 8) == 5
    limiter._windows.reset()
    limiter.close()
