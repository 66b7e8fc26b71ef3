"""Rate limits of requests, logins and codes."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from attrs import Factory, define

from tests.contract.factories import ManualClock
from workbell.adapters.memory.store import MemoryStore
from workbell.adapters.rate_limits.memory import MemoryRateLimiter
from workbell.domain.errors import Unavailable
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.user import Tier, UserId
from workbell.domain.rate_limits.policy import (
    Policies,
    Rate,
    RateLimited,
    RateLimitRequest,
    Route,
    account_key,
)
from workbell.ports.rate_limits import RateLimitTx
from workbell.services.rate_limits import RateLimiting

pytestmark = pytest.mark.unit

ANN = UserId(7)
POLICIES = Policies.of(
    anonymous=Rate(100, 3_600),
    user=Rate(1_000, 3_600),
    login=Rate(10, 60),
    ingest=Rate(5, 1),
    free=Rate(10, 86_400),
    premium=Rate(1_000, 86_400),
)


@define
class RateLimitFixture:
    """The service on a memory store, with shortcuts."""

    clock: ManualClock = Factory(ManualClock)
    policies: Policies = POLICIES
    store: Any = None
    rate_limits: RateLimiting = None  # type: ignore[assignment]

    def __attrs_post_init__(self) -> None:
        self.store = self.store or MemoryStore(self.clock)
        self.rate_limits = RateLimiting(
            store=self.store,
            limiter=MemoryRateLimiter(),
            clock=self.clock,
            policies=self.policies,
        )

    def ask(self, route: Route = Route.GENERAL, times: int = 1, **values: Any) -> int:
        """Send this many requests; return how many were admitted."""
        admitted = 0
        for _ in range(times):
            with suppress(RateLimited):
                self.rate_limits.admit(
                    RateLimitRequest(**{"address": "192.0.2.7", "route": route} | values)
                )
                admitted += 1
        return admitted

    def wait(self, **span: float) -> None:
        """Advance the clock."""
        self.clock.at += timedelta(**span)

    def left(self, tier: Tier = Tier.FREE) -> dict[str, int]:
        """Return what Ann has remaining, by policy."""
        decisions = self.rate_limits.remaining(Actor(user_id=ANN, tier=tier))
        return {each.policy.name: each.remaining for each in decisions}


@pytest.fixture
def env() -> RateLimitFixture:
    """Return a service at noon, with the default limits."""
    return RateLimitFixture()


def test_anonymous_requests_are_counted_by_address(env: RateLimitFixture) -> None:
    """A hundred an hour; addresses of one IPv6 network count as one."""
    assert env.ask(times=120) == 100
    assert env.ask(address="192.0.2.8") == 1
    assert env.ask(address="2001:db8::1", times=100) == 100
    assert env.ask(address="2001:db8::2") == 0
    env.wait(hours=1)
    assert env.ask(times=120) == 100


def test_users_are_counted_across_addresses(env: RateLimitFixture) -> None:
    """Anonymous requests from the same address do not slow users down."""
    env.ask(times=100)
    assert env.ask(user_id=ANN, times=600) == 600
    assert env.ask(user_id=ANN, address="192.0.2.8", times=600) == 400


def test_decisions_are_ordered_strictest_first(env: RateLimitFixture) -> None:
    """The remaining counts include the current request."""
    decisions = env.rate_limits.admit(
        RateLimitRequest(address="192.0.2.7", route=Route.PROGRESS, user_id=ANN)
    )
    assert [(each.policy.name, each.remaining) for each in decisions] == [
        ("free", 9),
        ("user", 999),
    ]


def test_an_exceeded_quota_charges_no_other_policy(env: RateLimitFixture) -> None:
    """A client that keeps sending requests is not charged in its hourly limit."""
    assert env.ask(Route.PROGRESS, user_id=ANN, times=50) == 10
    assert env.left() == {"free": 0, "user": 990}
    with pytest.raises(RateLimited) as refused:
        env.rate_limits.admit(RateLimitRequest(address="", route=Route.PROGRESS, user_id=ANN))
    assert refused.value.retry_after == 86_400
    assert [each.policy.name for each in refused.value.decisions] == ["free"]


def test_an_exceeded_hourly_limit_charges_no_quota(env: RateLimitFixture) -> None:
    """Both are charged, or neither."""
    assert env.ask(user_id=ANN, times=1_000) == 1_000
    assert env.ask(Route.PROGRESS, user_id=ANN, times=5) == 0
    assert env.left() == {"free": 10, "user": 0}


def test_a_quota_is_a_moving_window_of_24_hours(env: RateLimitFixture) -> None:
    """Not ten before midnight and ten after it."""
    for _ in range(10):
        assert env.ask(Route.PROGRESS, user_id=ANN) == 1
        env.wait(hours=2)
    assert env.ask(Route.PROGRESS, user_id=ANN, times=3) == 0
    env.wait(hours=4)
    assert env.ask(Route.PROGRESS, user_id=ANN, times=3) == 1


def test_a_change_of_tier_refunds_nothing(env: RateLimitFixture) -> None:
    """Consumed requests stay consumed, in both directions."""
    assert env.ask(Route.PROGRESS, user_id=ANN, times=20) == 10
    assert env.ask(Route.PROGRESS, user_id=ANN, tier=Tier.PREMIUM, times=20) == 20
    assert env.left(Tier.PREMIUM)["premium"] == 970
    assert env.ask(Route.PROGRESS, user_id=ANN) == 0


def test_of_32_concurrent_requests_exactly_ten_are_admitted(env: RateLimitFixture) -> None:
    """Also after a restart: the counts are in the store."""
    barrier = Barrier(32)

    def ask(_: int) -> int:
        barrier.wait()
        return env.ask(Route.PROGRESS, user_id=ANN)

    with ThreadPoolExecutor(32) as pool:
        assert sum(pool.map(ask, range(32))) == 10
    restarted = RateLimitFixture(clock=env.clock, store=env.store)
    assert restarted.ask(Route.PROGRESS, user_id=ANN, times=5) == 0
    assert env.left()["user"] == 990


def test_events_are_limited_to_five_per_second(env: RateLimitFixture) -> None:
    """Per user; the hourly limit counts on."""
    assert env.ask(Route.INGEST, user_id=ANN, times=9) == 5
    assert env.ask(Route.INGEST, user_id=UserId(8), times=9) == 5
    env.wait(seconds=1)
    assert env.ask(Route.INGEST, user_id=ANN, times=9) == 5
    assert env.left()["user"] == 990


def test_logins_are_counted_by_address(env: RateLimitFixture) -> None:
    """Whether or not the client is logged in already."""
    assert env.ask(Route.SIGN_IN, times=20) == 10
    assert env.ask(Route.SIGN_IN, user_id=ANN) == 0
    env.wait(minutes=1)
    assert env.ask(Route.SIGN_IN) == 1


def test_console_and_exempt_routes_charge_no_general_limit(env: RateLimitFixture) -> None:
    """The console allows ten a second per session; exempt routes any number."""
    assert env.ask(Route.CONSOLE, session_id="a", user_id=ANN, times=15) == 10
    assert env.ask(Route.CONSOLE, session_id="b", user_id=ANN, times=15) == 10
    assert env.ask(Route.EXEMPT, times=2_000) == 2_000
    assert env.left() == {"free": 10, "user": 1_000}


def test_disabled_limits_admit_everything() -> None:
    """There are no decisions for the headers either."""
    nothing = Policies.of(
        anonymous=None, user=None, login=Rate(1, 60), ingest=None, free=None, premium=None
    )
    env = RateLimitFixture(policies=nothing)
    for route in (Route.GENERAL, Route.SIGN_IN, Route.PROGRESS, Route.INGEST):
        assert env.ask(route, times=50) == 50
        assert env.ask(route, user_id=ANN, times=50) == 50
    assert env.left() == {}


def tries(env: RateLimitFixture, what: str, account: str, times: int) -> int:
    """Return how many attempts of an account were admitted."""
    done = 0
    for _ in range(times):
        with suppress(RateLimited):
            getattr(env.rate_limits, what)(account)
            done += 1
    return done


def test_an_account_may_fail_twenty_times_an_hour(env: RateLimitFixture) -> None:
    """From any address."""
    assert tries(env, "count_login_failure", "user-7", 1_000) == 20
    assert tries(env, "count_login_failure", "user-8", 1) == 1
    env.wait(minutes=59)
    assert tries(env, "count_login_failure", "user-7", 1) == 0
    env.wait(minutes=1)
    assert tries(env, "count_login_failure", "user-7", 1) == 1


def test_right_passwords_are_not_counted(env: RateLimitFixture) -> None:
    """They do not undo failures of other clients."""
    assert tries(env, "count_login_failure", "user-7", 19) == 19
    for _ in range(100):
        env.rate_limits.count_login_failure("user-7")
        env.rate_limits.undo_login_failure("user-7")
    assert tries(env, "count_login_failure", "user-7", 5) == 1


def test_unknown_names_are_limited_like_known_ones(env: RateLimitFixture) -> None:
    """So the limit does not reveal whether a user exists."""
    assert tries(env, "count_login_failure", account_key(None, "Nobody@Example.org"), 15) == 15
    assert tries(env, "count_login_failure", account_key(None, "nobody@example.ORG"), 15) == 5


def test_parallel_guesses_are_limited_like_sequential_ones(env: RateLimitFixture) -> None:
    """Of forty parallel logins, twenty passwords are compared."""
    barrier = Barrier(40)

    def guess(_: int) -> int:
        barrier.wait()
        return tries(env, "count_login_failure", "user-7", 1)

    with ThreadPoolExecutor(40) as pool:
        assert sum(pool.map(guess, range(40))) == 20


def test_only_wrong_passwords_are_counted(env: RateLimitFixture) -> None:
    """A correct password, or an error of the hasher, is not counted."""

    def away() -> bool:
        raise Unavailable("Too many are hashing.")

    for _ in range(30):
        assert env.rate_limits.verify_counting_failures("user-7", lambda: True)
        with pytest.raises(Unavailable):
            env.rate_limits.verify_counting_failures("user-7", away)
    for _ in range(20):
        assert not env.rate_limits.verify_counting_failures("user-7", lambda: False)
    with pytest.raises(RateLimited):
        env.rate_limits.verify_counting_failures("user-7", lambda: True)


def test_expired_counters_are_pruned(env: RateLimitFixture) -> None:
    """In batches, until none is left."""
    for n in range(1_100):
        env.rate_limits.count_login_failure(f"name-{n}")
    assert env.rate_limits.prune() == 0
    env.wait(minutes=30)
    env.rate_limits.count_login_failure("user-7")
    env.wait(minutes=30)
    assert env.rate_limits.prune() == 1_100
    assert tries(env, "count_login_failure", "user-7", 30) == 19


class UnavailableStore:
    """A store that is unavailable."""

    def begin(self, *, single_statement: bool = False) -> AbstractContextManager[RateLimitTx]:
        """Raise Unavailable."""
        raise Unavailable("The database does not answer.")

    view = begin


def test_without_a_store_logins_are_refused_and_other_requests_admitted() -> None:
    """Password guesses are never admitted uncounted, nor what would be stored anyway."""
    env = RateLimitFixture(store=UnavailableStore())
    assert env.ask() == 1
    assert env.ask(user_id=ANN) == 1
    for route in (Route.SIGN_IN, Route.PROGRESS, Route.INGEST):
        with pytest.raises(Unavailable):
            env.ask(route, user_id=ANN)
    with pytest.raises(Unavailable):
        env.rate_limits.count_login_failure("user-7")
