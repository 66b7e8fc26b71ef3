"""The rate limiter: exact in any span, and all or nothing."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.factories import NOON, after
from workbell.adapters.rate_limits.memory import MemoryMovingWindows, MemoryRateLimiter
from workbell.domain.rate_limits.policy import Policy, Rate, RateLimitKey, Subject
from workbell.ports.rate_limits import RateLimiter

REDIS = os.environ.get("WORKBELL_TEST_REDIS_URL", "redis://127.0.0.1:6379")
REQUIRED = "redis" in os.environ.get("WORKBELL_TEST_REQUIRE", "")


class Away:
    """A local limiter that must not be used."""

    def hit(self, *_: object, **__: object) -> list[object]:
        """Fail: Redis was to be asked."""
        raise AssertionError("Redis did not answer.")


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.integration)])
def limiters(request: pytest.FixtureRequest) -> Iterator[tuple[RateLimiter, RateLimiter]]:
    """Return a limiter of each kind twice: as two threads have it, or two processes."""
    if request.param == "memory":
        one = MemoryRateLimiter()
        yield one, one
        return
    import redis

    from workbell.adapters.rate_limits.redis import RedisMovingWindows as RedisWindows
    from workbell.adapters.rate_limits.redis import RedisRateLimiter

    try:
        with closing(redis.Redis.from_url(REDIS)) as client:
            client.ping()
    except redis.RedisError:
        if REQUIRED:
            raise
        pytest.skip(f"no Redis at {REDIS}")
    prefix = f"workbell-test-{uuid4().hex}"
    both = [RedisRateLimiter(RedisWindows(REDIS, key_prefix=prefix), Away()) for _ in "ab"]  # type: ignore[arg-type]
    yield both[0], both[1]
    both[0]._windows.reset()
    for each in both:
        each.close()


@pytest.fixture
def limiter(limiters: tuple[RateLimiter, RateLimiter]) -> RateLimiter:
    """Return a limiter of each kind."""
    return limiters[0]


def charge(count: int, seconds: int, name: str = "p", whom: str = "") -> RateLimitKey:
    policy = Policy(name=name, rate=Rate(count, seconds), subject=Subject.USER)
    return RateLimitKey(policy, whom or uuid4().hex)


def test_a_limit_is_consumed_and_recovers(limiter: RateLimiter) -> None:
    limit = [charge(2, 10)]
    (first,) = limiter.hit(limit, NOON)
    assert (first.allowed, first.remaining, first.reset_after) == (True, 1, 10)
    (second,) = limiter.hit(limit, after(4))
    assert (second.allowed, second.remaining, second.reset_after) == (True, 0, 6)
    (third,) = limiter.hit(limit, after(5))
    assert (third.allowed, third.remaining) == (False, 0)
    assert third.retry_after == third.reset_after == 5
    assert not limiter.hit(limit, after(9.999))[0].allowed
    (again,) = limiter.hit(limit, after(10))
    assert (again.allowed, again.remaining, again.reset_after) == (True, 0, 4)


def test_keys_and_policies_are_counted_apart(limiter: RateLimiter) -> None:
    ann, bob = charge(1, 10), charge(1, 10)
    other = RateLimitKey(charge(1, 20, "other").policy, ann.identifier)
    for each in (ann, bob, other):
        assert limiter.hit([each], NOON)[0].allowed
        assert not limiter.hit([each], NOON)[0].allowed


def test_a_refused_narrow_policy_spends_nothing_wider(limiter: RateLimiter) -> None:
    both = [charge(2, 1, "narrow"), charge(4, 3_600, "wide")]
    for _ in range(2):
        assert all(each.allowed for each in limiter.hit(both, NOON))
    for _ in range(10):
        narrow, wide = limiter.hit(both, after(0.5))
        assert (narrow.allowed, wide.allowed, wide.remaining) == (False, True, 2)
    assert [each.remaining for each in limiter.hit(both, after(1))] == [1, 1]


def test_a_refused_wide_policy_spends_nothing_narrower(limiter: RateLimiter) -> None:
    both = [charge(5, 60, "narrow"), charge(2, 3_600, "wide")]
    for _ in range(5):
        limiter.hit(both, NOON)
    narrow, wide = limiter.hit(both, NOON)
    assert (narrow.allowed, narrow.remaining) == (True, 3)
    assert (wide.allowed, wide.retry_after) == (False, 3_600)


def test_a_request_of_cost_0_consumes_nothing(limiter: RateLimiter) -> None:
    limit = [charge(2, 10)]
    for _ in range(5):
        (seen,) = limiter.hit(limit, NOON, cost=0)
        assert (seen.allowed, seen.remaining, seen.reset_after) == (True, 2, 0)
    assert limiter.hit(limit, NOON)[0].remaining == 1


def test_a_batch_fits_whole_or_not_at_all(limiter: RateLimiter) -> None:
    limit = [charge(5, 10)]
    assert limiter.hit(limit, NOON, cost=3)[0].remaining == 2
    assert not limiter.hit(limit, NOON, cost=3)[0].allowed
    assert limiter.hit(limit, NOON, cost=2)[0].remaining == 0
    assert not limiter.hit([charge(5, 10)], NOON, cost=6)[0].allowed


def test_a_clock_set_back_admits_no_more_requests(limiter: RateLimiter) -> None:
    limit = [charge(3, 10)]
    assert limiter.hit(limit, NOON, cost=2)[0].allowed
    assert limiter.hit(limit, after(-9))[0].allowed
    assert not limiter.hit(limit, after(9.5))[0].allowed
    assert limiter.hit(limit, after(10), cost=3)[0].allowed


def test_without_policies_no_request_is_refused(limiter: RateLimiter) -> None:
    assert list(limiter.hit([], NOON)) == []


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    gaps=st.lists(st.integers(0, 40), max_size=60),
    narrow=st.tuples(st.integers(1, 4), st.integers(1, 8)),
    wide=st.tuples(st.integers(1, 12), st.integers(9, 40)),
)
def test_no_span_ever_holds_more_than_the_limit(
    limiter: RateLimiter, gaps: list[int], narrow: tuple[int, int], wide: tuple[int, int]
) -> None:
    """And nothing is refused that would have fitted; gaps are in eighths of a second."""
    charges = [charge(*narrow, "narrow"), charge(*wide, "wide")]
    admitted: list[float] = []
    at = 0.0
    for gap in gaps:
        at += gap / 8
        decisions = limiter.hit(charges, after(at))
        spent = [sum(each > at - s for each in admitted) for _, s in (narrow, wide)]
        fits = [s < count for s, (count, _) in zip(spent, (narrow, wide), strict=True)]
        assert [each.allowed for each in decisions] == fits
        if all(fits):
            admitted.append(at)
    for count, seconds in (narrow, wide):
        assert all(
            sum(first <= each < first + seconds for each in admitted) <= count for first in admitted
        )


def test_many_at_once_get_exactly_the_limit(limiters: tuple[RateLimiter, RateLimiter]) -> None:
    """The limit holds for any number of threads and of processes that share a Redis."""
    charges = [charge(100, 3_600, "narrow"), charge(1_000, 3_600, "wide")]
    barrier = Barrier(16)

    def ask(n: int) -> int:
        barrier.wait()
        return sum(
            all(each.allowed for each in limiters[n % 2].hit(charges, after(n / 64)))
            for _ in range(20)
        )

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(ask, range(16))) == 100
    assert limiters[0].hit(charges, after(1), cost=0)[1].remaining == 900


@pytest.mark.unit
def test_memory_evicts_expired_keys() -> None:
    """Each new key evicts up to two expired ones."""
    windows = MemoryMovingWindows()
    limiter = MemoryRateLimiter(windows)
    for n in range(1_000):
        limiter.hit([charge(5, 1), charge(5, 60, "wide")], after(n / 100))
    assert len(windows) < 1_200
    for n in range(1_000):
        limiter.hit([charge(5, 1), charge(5, 60, "wide")], after(100 + n))
    assert len(windows) < 70


@pytest.mark.unit
def test_memory_has_a_bound() -> None:
    """A flood of addresses pushes out those that were admitted longest ago."""
    windows = MemoryMovingWindows(max_keys=100)
    limiter = MemoryRateLimiter(windows)
    recent = charge(1, 3_600)
    for n in range(1_000):
        limiter.hit([recent if n == 950 else charge(1, 3_600)], NOON)
    assert len(windows) == 100
    assert not limiter.hit([recent], NOON)[0].allowed
