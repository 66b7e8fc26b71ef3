"""Caches: values expire, and an unavailable cache only misses."""

import os
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from uuid import uuid4

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.contract.factories import ManualClock, after
from workbell.adapters.cache.memory import MemoryCache
from workbell.adapters.cache.metered import MeteredCache
from workbell.adapters.observability.metrics import MetricsRegistry
from workbell.ports.cache import Cache

REDIS = os.environ.get("WORKBELL_TEST_REDIS_URL", "redis://127.0.0.1:6379")
REQUIRED = "redis" in os.environ.get("WORKBELL_TEST_REQUIRE", "")
VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(max_size=5).filter(lambda t: "\0" not in t),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(autouse=True)
def _fresh_logging() -> Iterator[None]:
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.integration)])
def cache(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[Cache]:
    """Return a cache of each kind, with nothing in it."""
    if request.param == "memory":
        yield MemoryCache(clock)
        return
    import redis

    from workbell.adapters.cache.redis import RedisCache
    from workbell.adapters.redis_client import OptionalRedis

    client = redis.Redis.from_url(REDIS)
    try:
        client.ping()
    except redis.RedisError:
        if REQUIRED:
            raise
        pytest.skip(f"no Redis at {REDIS}")
    prefix = f"workbell-test-{uuid4().hex}"
    with closing(OptionalRedis.connect(REDIS, "tests", timeout=1.0)) as link:
        yield RedisCache(link, prefix)
        for key in client.scan_iter(f"{prefix}:*"):
            assert 0 < client.ttl(key) <= 300
            client.delete(key)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(VALUES, st.text(max_size=20))
def test_a_value_is_returned_unchanged(cache: Cache, value: object, key: str) -> None:
    cache.put(key, value, 300)
    assert cache.get(key) == value


def test_changing_a_returned_value_does_not_change_the_cache(cache: Cache) -> None:
    value = [[1]]
    cache.put("k", value, 300)
    value[0].append(2)
    given = cache.get("k") or []
    assert given == [[1]]
    given[0].append(3)
    assert cache.get("k") == [[1]]


def test_unknown_and_immediately_expired_keys_are_misses(cache: Cache) -> None:
    assert cache.get("k") is None
    cache.put("k", [1], 0)
    assert cache.get("k") is None


def test_the_last_value_wins(cache: Cache) -> None:
    cache.put("k", 1, 300)
    cache.put("k", 2, 300)
    assert cache.get("k") == 2


def test_values_expire(clock: ManualClock) -> None:
    cache = MemoryCache(clock)
    cache.put("k", 1, 300)
    clock.at = after(299)
    assert cache.get("k") == 1
    clock.at = after(300)
    assert cache.get("k") is None


def test_memory_is_bounded_and_the_least_recently_used_is_evicted(clock: ManualClock) -> None:
    cache = MemoryCache(clock, 2)
    for key in ("a", "b"):
        cache.put(key, key, 300)
    cache.get("a")
    cache.put("c", "c", 300)
    assert [cache.get(key) for key in ("a", "b", "c")] == ["a", None, "c"]


def test_memory_is_bounded_by_the_bytes_of_stored_values(clock: ManualClock) -> None:
    cache = MemoryCache(clock, 9, 12)
    for _ in range(3):
        cache.put("a", "1234", 1)
    cache.put("b", "1234", 300)
    assert [cache.get(key) for key in "ab"] == ["1234", "1234"]
    clock.at = after(1)
    assert cache.get("a") is None
    cache.put("c", "1234", 300)
    assert [cache.get(key) for key in "bc"] == ["1234", "1234"]
    cache.put("d", "1234", 300)
    cache.put("e", "far too long", 300)
    assert [cache.get(key) for key in "bcde"] == [None] * 4


@pytest.mark.integration
def test_an_unreachable_redis_is_a_quick_miss() -> None:
    from workbell.adapters.cache.redis import RedisCache
    from workbell.adapters.redis_client import OptionalRedis

    with (
        closing(OptionalRedis.connect("redis://127.0.0.1:1", "tests")) as link,
        capture_logs() as logs,
    ):
        cache = RedisCache(link)
        for _ in range(1_000):
            cache.put("k", 1, 300)
            assert cache.get("k") is None
    assert [line["event"] for line in logs] == ["redis_unavailable"]


@pytest.mark.integration
def test_a_foreign_value_is_a_miss() -> None:
    from workbell.adapters.cache.redis import RedisCache
    from workbell.adapters.redis_client import OptionalRedis

    class Garbled:
        """A Redis that answers what is no JSON."""

        def get(self, _: str) -> bytes:
            return b"{"

    assert RedisCache(OptionalRedis(Garbled(), "tests", None)).get("k") is None


def test_hits_and_misses_are_counted_and_logged(clock: ManualClock) -> None:
    metrics = MetricsRegistry()
    cache = MeteredCache(MemoryCache(clock), metrics)
    with capture_logs() as logs:
        cache.get("week:1")
        cache.put("week:1", 1, 300)
        cache.get("week:1")
        cache.get("month:1")
    value = partial(metrics.collectors.get_sample_value, "workbell_cache_requests_total")
    assert value({"summary": "week", "outcome": "hit"}) == 1
    assert value({"summary": "week", "outcome": "miss"}) == 1
    assert value({"summary": "month", "outcome": "miss"}) == 1
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("cache_miss", "info"),
        ("cache_hit", "debug"),
        ("cache_miss", "info"),
    ]
