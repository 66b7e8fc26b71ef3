"""Rate limits over HTTP: response headers and enforcement."""

import socket
from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import falcon.testing
from attrs import define, evolve, fields

from tests.adapters.http.conftest import PASSWORD, World
from tests.services.accounts import AccountServiceSet
from workbell.adapters.crypto.password_hasher import Argon2Hasher
from workbell.adapters.http.app import build_app, make_operations
from workbell.adapters.http.web.middleware import HttpSettings
from workbell.adapters.rate_limits.memory import MemoryRateLimiter
from workbell.adapters.rate_limits.redis import RedisRateLimiter
from workbell.domain.identity.one_time_code import MAX_WRONG_PER_DAY
from workbell.domain.rate_limits.policy import Policies, Rate, RateLimitRequest, Route
from workbell.ports.rate_limits import RateLimiter
from workbell.services.rate_limits import RateLimiting

WRONG = {"Authorization": "Bearer wrong"}


def limited(world: World, limiter: RateLimiter | None = None, **rates: Rate | None) -> World:
    """Return the application with rate limits; unlimited unless given."""
    given = dict.fromkeys(("anonymous", "user", "login", "ingest", "free", "premium"))
    rate_limits = RateLimiting(
        store=world.store,
        limiter=limiter or MemoryRateLimiter(),
        clock=world.clock,
        policies=Policies.of(**{**given, **rates}),
    )
    login_service = evolve(world.parts.login, rate_limits=rate_limits)
    parts = evolve(world.parts, rate_limits=rate_limits, login=login_service)
    return evolve(world, parts=parts, client=falcon.testing.TestClient(build_app(parts)))


def test_every_response_states_the_limit_and_the_remaining_requests(world: World) -> None:
    """The headers RateLimit and RateLimit-Policy (IETF draft)."""
    answer = limited(world, user=Rate(5, 3600)).get("/api/v1/jobs")

    assert answer.status_code == 200
    assert "q=5" in answer.headers["ratelimit-policy"]
    assert "r=4" in answer.headers["ratelimit"]


def test_exceeding_the_limit_is_429_with_retry_after(world: World) -> None:
    """A refused request does not count."""
    world = limited(world, user=Rate(2, 3600))
    for _ in range(2):
        assert world.get("/api/v1/jobs").status_code == 200

    refused = world.get("/api/v1/jobs")

    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert refused.headers["retry-after"] in refused.json["detail"]
    assert refused.json["code"] == "throttled"
    assert "r=0" in refused.headers["ratelimit"]


def test_a_wrong_token_counts_as_anonymous(world: World) -> None:
    """This limits guessing tokens from one address."""
    world = limited(world, anonymous=Rate(2, 3600))
    statuses = [world.get("/api/v1/jobs", None, headers=WRONG).status_code for _ in range(3)]

    assert statuses == [401, 401, 429]


def test_health_is_exempt(world: World) -> None:
    """Probes are not limited."""
    world = limited(world, anonymous=Rate(1, 3600), login=Rate(1, 3600))

    for path in ("/livez", "/readyz", "/api/health/"):
        for _ in range(3):
            answer = world.get(path, None)
            assert answer.status_code == 200
            assert "ratelimit" not in answer.headers


def test_sign_in_has_its_own_limit(world: World) -> None:
    """Ten a minute by default; here two."""
    world = limited(world, anonymous=Rate(100, 3600), login=Rate(2, 60))
    body = {"username": "nobody", "password": "wrong"}
    statuses = [world.post("/api/v1/auth/login", None, json=body).status_code for _ in range(3)]

    assert statuses == [401, 401, 429]


def test_an_account_allows_twenty_failed_sign_ins_an_hour(world: World) -> None:
    """From any number of addresses; correct passwords do not count."""
    world.join("eve")
    world = limited(world)
    right = {"username": "eve", "password": PASSWORD}
    wrong = {"username": "eve", "password": "wrong"}

    for _ in range(25):
        assert world.post("/api/v1/auth/login", None, json=right).status_code == 200
    statuses = [world.post("/api/v1/auth/login", None, json=wrong).status_code for _ in range(21)]

    assert statuses == [401] * 20 + [429]
    assert world.post("/api/v1/auth/login", None, json=right).status_code == 429


def test_failed_sign_ins_of_strangers_do_not_lock_out_the_owner(
    make_world: Callable[[HttpSettings], World],
) -> None:
    """Not even from the owner's address: accounts are counted separately there."""
    world = make_world(HttpSettings(trusted_proxies=(ip_network("127.0.0.0/8"),)))
    world = limited(world, login=Rate(1000, 60))
    home, street = {"X-Forwarded-For": "198.51.100.1"}, {"X-Forwarded-For": "203.0.113.9"}

    def login(password: str, headers: dict[str, str]) -> int:
        body = {"username": "ada", "password": password}
        return world.post("/api/v1/auth/login", None, body, headers=headers).status_code

    assert login(PASSWORD, home) == 200
    assert [login("wrong", street) for _ in range(22)] == [401] * 20 + [429] * 2
    assert login(PASSWORD, street) == 429
    assert login(PASSWORD, home) == 200
    assert [login("wrong", home) for _ in range(21)] == [401] * 20 + [429]
    world.clock.at += timedelta(hours=1)
    assert login(PASSWORD, street) == 200
    assert login("wrong", street) == 401


@define
class Watched:
    """A hasher that counts comparisons with the hash of a real code."""

    real: Any
    compared: int = 0

    def verify(self, kept: str, typed: str) -> bool:
        self.compared += bool(kept)
        return bool(self.real.verify(kept, typed))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def test_an_attacker_with_a_thousand_addresses_gets_twenty_codes_compared(
    make_world: Callable[[HttpSettings], World],
) -> None:
    """For one account in one day, from all addresses and for all kinds of code."""
    world = make_world(HttpSettings(trusted_proxies=(ip_network("127.0.0.0/8"),)))
    hasher: Any = Watched(world.parts.identity.hasher)
    identity = evolve(world.parts.identity, hasher=hasher)
    members = AccountServiceSet.of(identity, world.parts.login)
    changed = {field.name: getattr(members, field.name) for field in fields(AccountServiceSet)}
    world = evolve(world, parts=evolve(world.parts, identity=identity, **changed))
    world = limited(world, login=Rate(10, 60), anonymous=Rate(100, 3600))
    ways: tuple[tuple[str, dict[str, str]], ...] = (
        ("verify-otp", {}),
        ("password/reset/confirm", {"password": "battery staple 9"}),
    )
    found = set()
    for n in range(1000):
        sent = {"X-Forwarded-For": f"198.51.{n // 250}.{n % 250}"}
        una = {"email": "una@example.org"}
        world.clock.at += timedelta(seconds=20)
        for way in ("resend-otp", "password/reset") if n % 10 == 0 else ():
            world.post(f"/api/v1/auth/{way}", None, una, headers=sent)
        for way, more in ways:
            guess = {**una, **more, "otp": f"{n:06}"}
            answer = world.post(f"/api/v1/auth/{way}", None, guess, headers=sent)
            found.add((answer.status_code, answer.json["code"]))
    assert found == {(400, "wrong_code")}
    assert hasher.compared == MAX_WRONG_PER_DAY


def test_sign_in_without_hashing_capacity_is_refused_first(world: World) -> None:
    """On every route that hashes: no row written, no limit spent, no body read."""
    full = Argon2Hasher.create(memory_kib=8, passes=1, slots=1, waiting=0)
    world = limited(world, login=Rate(1, 60), anonymous=Rate(1, 60))
    login_service = evolve(world.parts.login, hasher=full)
    parts = evolve(world.parts, login=login_service)
    crowded = evolve(world, parts=parts, client=falcon.testing.TestClient(build_app(parts)))
    hashing = [one for one in make_operations(parts) if one.route is Route.SIGN_IN]
    with full._admitted, world.store.begin() as tx:  # the store is locked for writing
        for one in hashing:
            refused = crowded.call(one.method, one.path, json={})
            assert (refused.status_code, refused.json["code"]) == (503, "unavailable"), one.name
            assert 1 <= int(refused.headers["retry-after"]) <= 3
        assert tx.users.by_login("ada") is not None
    body = {"username": "ada", "password": PASSWORD}
    assert crowded.post("/api/v1/auth/login", None, body).status_code == 200


def test_without_redis_requests_succeed_and_sign_in_is_still_limited(
    world: World,
) -> None:
    """The process counts ordinary requests, the store sign-ins."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # a port without a listener
        gone = RedisRateLimiter.connect(f"redis://127.0.0.1:{held.getsockname()[1]}")
        world = limited(world, gone, login=Rate(2, 60), user=Rate(2, 60), anonymous=Rate(9, 60))
        statuses = [world.get("/api/v1/jobs").status_code for _ in range(3)]
        body = {"username": "ada", "password": PASSWORD}
        logins = [world.post("/api/v1/auth/login", None, body).status_code for _ in range(3)]
        gone.close()
    assert statuses == [200, 200, 429]
    assert logins == [200, 200, 429]
    rate_limits = world.parts.rate_limits
    assert rate_limits is not None
    charge, *_ = rate_limits.policies.policies_for(
        RateLimitRequest(address="127.0.0.1", route=Route.SIGN_IN)
    )
    with world.store.view() as tx:
        assert tx.quotas.peek(charge, world.clock.now()).remaining == 0
