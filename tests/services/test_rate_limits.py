"""Throttling: refused requests spend nothing, and guessers get nowhere."""

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
    """A service on fakes, and short ways to ask it."""

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

    def ask(self, route: Route = Route.GENERAL, times: int = 1, **who: Any) -> int:
        """Ask so many times; return how often it was admitted."""
        admitted = 0
        for _ in range(times):
            with suppress(RateLimited):
                self.rate_limits.admit(
                    RateLimitRequest(**{"address": "192.0.2.7", "route": route} | who)
                )
                admitted += 1
        return admitted

    def wait(self, **span: float) -> None:
        """Let time pass."""
        self.clock.at += timedelta(**span)

    def left(self, tier: Tier = Tier.FREE) -> dict[str, int]:
        """Return what Ann has left, by policy."""
        decisions = self.rate_limits.remaining(Actor(user_id=ANN, tier=tier))
        return {each.policy.name: each.remaining for each in decisions}


@pytest.fixture
def env() -> RateLimitFixture:
    """Return a service at noon, with the limits of the settings' defaults."""
    return RateLimitFixture()


def test_strangers_are_counted_by_address(env: RateLimitFixture) -> None:
    """A hundred an hour, and no help from another address of the same network."""
    assert env.ask(times=120) == 100
    assert env.ask(address="192.0.2.8") == 1
    assert env.ask(address="2001:db8::1", times=100) == 100
    assert env.ask(address="2001:db8::2") == 0
    env.wait(hours=1)
    assert env.ask(times=120) == 100


def test_users_are_counted_wherever_they_are(env: RateLimitFixture) -> None:
    """And are not slowed down by strangers behind the same address."""
    env.ask(times=100)
    assert env.ask(user_id=ANN, times=600) == 600
    assert env.ask(user_id=ANN, address="192.0.2.8", times=600) == 400


def test_the_headers_say_the_narrowest_first(env: RateLimitFixture) -> None:
    """What is left is what is left after this request."""
    decisions = env.rate_limits.admit(
        RateLimitRequest(address="192.0.2.7", route=Route.PROGRESS, user_id=ANN)
    )
    assert [(each.policy.name, each.remaining) for each in decisions] == [
        ("free", 9),
        ("user", 999),
    ]


def test_a_spent_quota_spends_nothing_wider(env: RateLimitFixture) -> None:
    """A client that goes on asking has its hour untouched."""
    assert env.ask(Route.PROGRESS, user_id=ANN, times=50) == 10
    assert env.left() == {"free": 0, "user": 990}
    with pytest.raises(RateLimited) as refused:
        env.rate_limits.admit(RateLimitRequest(address="", route=Route.PROGRESS, user_id=ANN))
    assert refused.value.retry_after == 86_400
    assert [each.policy.name for each in refused.value.decisions] == ["free"]


def test_a_spent_hour_spends_no_quota(env: RateLimitFixture) -> None:
    """Both are spent, or neither is."""
    assert env.ask(user_id=ANN, times=1_000) == 1_000
    assert env.ask(Route.PROGRESS, user_id=ANN, times=5) == 0
    assert env.left() == {"free": 10, "user": 0}


def test_any_24_hours_hold_ten(env: RateLimitFixture) -> None:
    """Not ten before midnight and ten after it."""
    for _ in range(10):
        assert env.ask(Route.PROGRESS, user_id=ANN) == 1
        env.wait(hours=2)
    assert env.ask(Route.PROGRESS, user_id=ANN, times=3) == 0
    env.wait(hours=4)
    assert env.ask(Route.PROGRESS, user_id=ANN, times=3) == 1


def test_a_change_of_tier_refills_nothing(env: RateLimitFixture) -> None:
    """What was spent stays spent, in both directions."""
    assert env.ask(Route.PROGRESS, user_id=ANN, times=20) == 10
    assert env.ask(Route.PROGRESS, user_id=ANN, tier=Tier.PREMIUM, times=20) == 20
    assert env.left(Tier.PREMIUM)["premium"] == 970
    assert env.ask(Route.PROGRESS, user_id=ANN) == 0


def test_of_32_at_once_exactly_ten_are_admitted(env: RateLimitFixture) -> None:
    """Also after a restart: the store is what counts."""
    barrier = Barrier(32)

    def ask(_: int) -> int:
        barrier.wait()
        return env.ask(Route.PROGRESS, user_id=ANN)

    with ThreadPoolExecutor(32) as pool:
        assert sum(pool.map(ask, range(32))) == 10
    restarted = RateLimitFixture(clock=env.clock, store=env.store)
    assert restarted.ask(Route.PROGRESS, user_id=ANN, times=5) == 0
    assert env.left()["user"] == 990


def test_events_come_five_a_second(env: RateLimitFixture) -> None:
    """Per user; the hour goes on counting."""
    assert env.ask(Route.INGEST, user_id=ANN, times=9) == 5
    assert env.ask(Route.INGEST, user_id=UserId(8), times=9) == 5
    env.wait(seconds=1)
    assert env.ask(Route.INGEST, user_id=ANN, times=9) == 5
    assert env.left()["user"] == 990


def test_sign_in_is_counted_by_address(env: RateLimitFixture) -> None:
    """Whether or not somebody is signed in already."""
    assert env.ask(Route.SIGN_IN, times=20) == 10
    assert env.ask(Route.SIGN_IN, user_id=ANN) == 0
    env.wait(minutes=1)
    assert env.ask(Route.SIGN_IN) == 1


def test_console_and_exempt_routes_touch_no_general_limit(env: RateLimitFixture) -> None:
    """Ten a second of a session, and as often as one likes."""
    assert env.ask(Route.CONSOLE, session_id="a", user_id=ANN, times=15) == 10
    assert env.ask(Route.CONSOLE, session_id="b", user_id=ANN, times=15) == 10
    assert env.ask(Route.EXEMPT, times=2_000) == 2_000
    assert env.left() == {"free": 10, "user": 1_000}


def test_off_is_no_limit() -> None:
    """Then there is nothing to say either."""
    nothing = Policies.of(
        anonymous=None, user=None, login=Rate(1, 60), ingest=None, free=None, premium=None
    )
    env = RateLimitFixture(policies=nothing)
    for route in (Route.GENERAL, Route.SIGN_IN, Route.PROGRESS, Route.INGEST):
        assert env.ask(route, times=50) == 50
        assert env.ask(route, user_id=ANN, times=50) == 50
    assert env.left() == {}


def tries(env: RateLimitFixture, what: str, account: str, times: int) -> int:
    """Return how many tries of an account were let through."""
    done = 0
    for _ in range(times):
        with suppress(RateLimited):
            getattr(env.rate_limits, what)(account)
            done += 1
    return done


def test_an_account_fails_twenty_times_an_hour(env: RateLimitFixture) -> None:
    """From wherever: addresses do not come into it."""
    assert tries(env, "count_login_failure", "user-7", 1_000) == 20
    assert tries(env, "count_login_failure", "user-8", 1) == 1
    env.wait(minutes=59)
    assert tries(env, "count_login_failure", "user-7", 1) == 0
    env.wait(minutes=1)
    assert tries(env, "count_login_failure", "user-7", 1) == 1


def test_right_passwords_are_not_counted(env: RateLimitFixture) -> None:
    """And do not forgive what others got wrong."""
    assert tries(env, "count_login_failure", "user-7", 19) == 19
    for _ in range(100):
        env.rate_limits.count_login_failure("user-7")
        env.rate_limits.undo_login_failure("user-7")
    assert tries(env, "count_login_failure", "user-7", 5) == 1


def test_names_that_nobody_has_are_no_different(env: RateLimitFixture) -> None:
    """So the limit tells nothing about them."""
    assert tries(env, "count_login_failure", account_key(None, "Nobody@Example.org"), 15) == 15
    assert tries(env, "count_login_failure", account_key(None, "nobody@example.ORG"), 15) == 5


def test_parallel_guesses_are_no_better_than_single_ones(env: RateLimitFixture) -> None:
    """Forty logins at once: twenty passwords are compared."""
    barrier = Barrier(40)

    def guess(_: int) -> int:
        barrier.wait()
        return tries(env, "count_login_failure", "user-7", 1)

    with ThreadPoolExecutor(40) as pool:
        assert sum(pool.map(guess, range(40))) == 20


def test_what_is_right_or_cannot_be_compared_costs_no_try(env: RateLimitFixture) -> None:
    """Only a wrong password is counted."""

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


def test_what_counts_no_more_is_pruned(env: RateLimitFixture) -> None:
    """In batches, however much there is."""
    for n in range(1_100):
        env.rate_limits.count_login_failure(f"name-{n}")
    assert env.rate_limits.prune() == 0
    env.wait(minutes=30)
    env.rate_limits.count_login_failure("user-7")
    env.wait(minutes=30)
    assert env.rate_limits.prune() == 1_100
    assert tries(env, "count_login_failure", "user-7", 30) == 19


class AwayStore:
    """A store that does not answer."""

    def begin(self, *, single_statement: bool = False) -> AbstractContextManager[RateLimitTx]:
        """Fail."""
        raise Unavailable("The database does not answer.")

    view = begin


def test_without_a_store_sign_in_is_closed_and_the_rest_goes_on() -> None:
    """What guesses passwords is never let through uncounted."""
    env = RateLimitFixture(store=AwayStore())
    assert env.ask() == 1
    assert env.ask(Route.INGEST, user_id=ANN) == 1
    for route in (Route.SIGN_IN, Route.PROGRESS):
        with pytest.raises(Unavailable):
            env.ask(route, user_id=ANN)
    with pytest.raises(Unavailable):
        env.rate_limits.count_login_failure("user-7")
