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
class Scene:
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
def scene() -> Scene:
    """Return a service at noon, with the limits of the settings' defaults."""
    return Scene()


def test_strangers_are_counted_by_address(scene: Scene) -> None:
    """A hundred an hour, and no help from another address of the same network."""
    assert scene.ask(times=120) == 100
    assert scene.ask(address="192.0.2.8") == 1
    assert scene.ask(address="2001:db8::1", times=100) == 100
    assert scene.ask(address="2001:db8::2") == 0
    scene.wait(hours=1)
    assert scene.ask(times=120) == 100


def test_users_are_counted_wherever_they_are(scene: Scene) -> None:
    """And are not slowed down by strangers behind the same address."""
    scene.ask(times=100)
    assert scene.ask(user_id=ANN, times=600) == 600
    assert scene.ask(user_id=ANN, address="192.0.2.8", times=600) == 400


def test_the_headers_say_the_narrowest_first(scene: Scene) -> None:
    """What is left is what is left after this request."""
    decisions = scene.rate_limits.admit(
        RateLimitRequest(address="192.0.2.7", route=Route.PROGRESS, user_id=ANN)
    )
    assert [(each.policy.name, each.remaining) for each in decisions] == [
        ("free", 9),
        ("user", 999),
    ]


def test_a_spent_quota_spends_nothing_wider(scene: Scene) -> None:
    """A client that goes on asking has its hour untouched."""
    assert scene.ask(Route.PROGRESS, user_id=ANN, times=50) == 10
    assert scene.left() == {"free": 0, "user": 990}
    with pytest.raises(RateLimited) as refused:
        scene.rate_limits.admit(RateLimitRequest(address="", route=Route.PROGRESS, user_id=ANN))
    assert refused.value.retry_after == 86_400
    assert [each.policy.name for each in refused.value.decisions] == ["free"]


def test_a_spent_hour_spends_no_quota(scene: Scene) -> None:
    """Both are spent, or neither is."""
    assert scene.ask(user_id=ANN, times=1_000) == 1_000
    assert scene.ask(Route.PROGRESS, user_id=ANN, times=5) == 0
    assert scene.left() == {"free": 10, "user": 0}


def test_any_24_hours_hold_ten(scene: Scene) -> None:
    """Not ten before midnight and ten after it."""
    for _ in range(10):
        assert scene.ask(Route.PROGRESS, user_id=ANN) == 1
        scene.wait(hours=2)
    assert scene.ask(Route.PROGRESS, user_id=ANN, times=3) == 0
    scene.wait(hours=4)
    assert scene.ask(Route.PROGRESS, user_id=ANN, times=3) == 1


def test_a_change_of_tier_refills_nothing(scene: Scene) -> None:
    """What was spent stays spent, in both directions."""
    assert scene.ask(Route.PROGRESS, user_id=ANN, times=20) == 10
    assert scene.ask(Route.PROGRESS, user_id=ANN, tier=Tier.PREMIUM, times=20) == 20
    assert scene.left(Tier.PREMIUM)["premium"] == 970
    assert scene.ask(Route.PROGRESS, user_id=ANN) == 0


def test_of_32_at_once_exactly_ten_are_admitted(scene: Scene) -> None:
    """Also after a restart: the store is what counts."""
    barrier = Barrier(32)

    def ask(_: int) -> int:
        barrier.wait()
        return scene.ask(Route.PROGRESS, user_id=ANN)

    with ThreadPoolExecutor(32) as pool:
        assert sum(pool.map(ask, range(32))) == 10
    restarted = Scene(clock=scene.clock, store=scene.store)
    assert restarted.ask(Route.PROGRESS, user_id=ANN, times=5) == 0
    assert scene.left()["user"] == 990


def test_events_come_five_a_second(scene: Scene) -> None:
    """Per user; the hour goes on counting."""
    assert scene.ask(Route.INGEST, user_id=ANN, times=9) == 5
    assert scene.ask(Route.INGEST, user_id=UserId(8), times=9) == 5
    scene.wait(seconds=1)
    assert scene.ask(Route.INGEST, user_id=ANN, times=9) == 5
    assert scene.left()["user"] == 990


def test_sign_in_is_counted_by_address(scene: Scene) -> None:
    """Whether or not somebody is signed in already."""
    assert scene.ask(Route.SIGN_IN, times=20) == 10
    assert scene.ask(Route.SIGN_IN, user_id=ANN) == 0
    scene.wait(minutes=1)
    assert scene.ask(Route.SIGN_IN) == 1


def test_console_and_exempt_routes_touch_no_general_limit(scene: Scene) -> None:
    """Ten a second of a session, and as often as one likes."""
    assert scene.ask(Route.CONSOLE, session_id="a", user_id=ANN, times=15) == 10
    assert scene.ask(Route.CONSOLE, session_id="b", user_id=ANN, times=15) == 10
    assert scene.ask(Route.EXEMPT, times=2_000) == 2_000
    assert scene.left() == {"free": 10, "user": 1_000}


def test_off_is_no_limit() -> None:
    """Then there is nothing to say either."""
    nothing = Policies.of(
        anonymous=None, user=None, login=Rate(1, 60), ingest=None, free=None, premium=None
    )
    scene = Scene(policies=nothing)
    for route in (Route.GENERAL, Route.SIGN_IN, Route.PROGRESS, Route.INGEST):
        assert scene.ask(route, times=50) == 50
        assert scene.ask(route, user_id=ANN, times=50) == 50
    assert scene.left() == {}


def tries(scene: Scene, what: str, account: str, times: int) -> int:
    """Return how many tries of an account were let through."""
    done = 0
    for _ in range(times):
        with suppress(RateLimited):
            getattr(scene.rate_limits, what)(account)
            done += 1
    return done


def test_an_account_fails_twenty_times_an_hour(scene: Scene) -> None:
    """From wherever: addresses do not come into it."""
    assert tries(scene, "try_login", "user-7", 1_000) == 20
    assert tries(scene, "try_login", "user-8", 1) == 1
    scene.wait(minutes=59)
    assert tries(scene, "try_login", "user-7", 1) == 0
    scene.wait(minutes=1)
    assert tries(scene, "try_login", "user-7", 1) == 1


def test_right_passwords_are_not_counted(scene: Scene) -> None:
    """And do not forgive what others got wrong."""
    assert tries(scene, "try_login", "user-7", 19) == 19
    for _ in range(100):
        scene.rate_limits.count_login_failure("user-7")
        scene.rate_limits.undo_login_failure("user-7")
    assert tries(scene, "try_login", "user-7", 5) == 1


def test_names_that_nobody_has_are_no_different(scene: Scene) -> None:
    """So the limit tells nothing about them."""
    assert tries(scene, "try_login", account_key(None, "Nobody@Example.org"), 15) == 15
    assert tries(scene, "try_login", account_key(None, "nobody@example.ORG"), 15) == 5


def test_parallel_guesses_are_no_better_than_single_ones(scene: Scene) -> None:
    """Forty logins at once: twenty passwords are compared."""
    barrier = Barrier(40)

    def guess(_: int) -> int:
        barrier.wait()
        return tries(scene, "try_login", "user-7", 1)

    with ThreadPoolExecutor(40) as pool:
        assert sum(pool.map(guess, range(40))) == 20


def test_what_is_right_or_cannot_be_compared_costs_no_try(scene: Scene) -> None:
    """Only a wrong password is counted."""

    def away() -> bool:
        raise Unavailable("Too many are hashing.")

    for _ in range(30):
        assert scene.rate_limits.verify_counting_failures("user-7", lambda: True)
        with pytest.raises(Unavailable):
            scene.rate_limits.verify_counting_failures("user-7", away)
    for _ in range(20):
        assert not scene.rate_limits.verify_counting_failures("user-7", lambda: False)
    with pytest.raises(RateLimited):
        scene.rate_limits.verify_counting_failures("user-7", lambda: True)


def test_what_counts_no_more_is_pruned(scene: Scene) -> None:
    """In batches, however much there is."""
    for n in range(1_100):
        scene.rate_limits.count_login_failure(f"name-{n}")
    assert scene.rate_limits.prune() == 0
    scene.wait(minutes=30)
    scene.rate_limits.count_login_failure("user-7")
    scene.wait(minutes=30)
    assert scene.rate_limits.prune() == 1_100
    assert tries(scene, "try_login", "user-7", 30) == 19


class AwayStore:
    """A store that does not answer."""

    def begin(self, *, single_statement: bool = False) -> AbstractContextManager[RateLimitTx]:
        """Fail."""
        raise Unavailable("The database does not answer.")

    view = begin


def test_without_a_store_sign_in_is_closed_and_the_rest_goes_on() -> None:
    """What guesses passwords is never let through uncounted."""
    scene = Scene(store=AwayStore())
    assert scene.ask() == 1
    assert scene.ask(Route.INGEST, user_id=ANN) == 1
    for route in (Route.SIGN_IN, Route.PROGRESS):
        with pytest.raises(Unavailable):
            scene.ask(route, user_id=ANN)
    with pytest.raises(Unavailable):
        scene.rate_limits.count_login_failure("user-7")
