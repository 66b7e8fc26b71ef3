"""Rate limits over HTTP: response headers and enforcement."""

import socket
from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import falcon.testing
from attrs import define, evolve, fields

from tests.adapters.http.conftest import PASSWORD, ApiFixture
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


def limited(
    api: ApiFixture, limiter: RateLimiter | None = None, **rates: Rate | None
) -> ApiFixture:
    """Return the application with rate limits; unlimited unless given."""
    given = dict.fromkeys(("anonymous", "user", "login", "ingest", "free", "premium"))
    rate_limits = RateLimiting(
        store=api.store,
        limiter=limiter or MemoryRateLimiter(),
        clock=api.clock,
        policies=Policies.of(**{**given, **rates}),
    )
    login_service = evolve(api.deps.login, rate_limits=rate_limits)
    parts = evolve(api.deps, rate_limits=rate_limits, login=login_service)
    return evolve(api, deps=parts, client=falcon.testing.TestClient(build_app(parts)))


def test_every_response_states_the_limit_and_the_remaining_requests(api: ApiFixture) -> None:
    """The headers RateLimit and RateLimit-Policy (IETF draft)."""
    answer = limited(api, user=Rate(5, 3600)).get("/api/v1/jobs")

    assert answer.status_code == 200
    assert "q=5" in answer.headers["ratelimit-policy"]
    assert "r=4" in answer.headers["ratelimit"]


def test_exceeding_the_limit_is_429_with_retry_after(api: ApiFixture) -> None:
    """A refused request does not count."""
    api = limited(api, user=Rate(2, 3600))
    for _ in range(2):
        assert api.get("/api/v1/jobs").status_code == 200

    refused = api.get("/api/v1/jobs")

    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert refused.headers["retry-after"] in refused.json["detail"]
    assert refused.json["code"] == "throttled"
    assert "r=0" in refused.headers["ratelimit"]


def test_a_wrong_token_counts_as_anonymous(api: ApiFixture) -> None:
    """This limits guessing tokens from one address."""
    api = limited(api, anonymous=Rate(2, 3600))
    statuses = [api.get("/api/v1/jobs", None, headers=WRONG).status_code for _ in range(3)]

    assert statuses == [401, 401, 429]


def test_health_is_exempt(api: ApiFixture) -> None:
    """Probes are not limited."""
    api = limited(api, anonymous=Rate(1, 3600), login=Rate(1, 3600))

    for path in ("/livez", "/readyz", "/api/health/"):
        for _ in range(3):
            answer = api.get(path, None)
            assert answer.status_code == 200
            assert "ratelimit" not in answer.headers


def test_sign_in_has_its_own_limit(api: ApiFixture) -> None:
    """Ten a minute by default; here two."""
    api = limited(api, anonymous=Rate(100, 3600), login=Rate(2, 60))
    body = {"username": "nobody", "password": "wrong"}
    statuses = [api.post("/api/v1/auth/login", None, json=body).status_code for _ in range(3)]

    assert statuses == [401, 401, 429]


def test_an_account_allows_twenty_failed_sign_ins_an_hour(api: ApiFixture) -> None:
    """From any number of addresses; correct passwords do not count."""
    api.join("eve")
    api = limited(api)
    right = {"username": "eve", "password": PASSWORD}
    wrong = {"username": "eve", "password": "wrong"}

    for _ in range(25):
        assert api.post("/api/v1/auth/login", None, json=right).status_code == 200
    statuses = [api.post("/api/v1/auth/login", None, json=wrong).status_code for _ in range(21)]

    assert statuses == [401] * 20 + [429]
    assert api.post("/api/v1/auth/login", None, json=right).status_code == 429


def test_failed_sign_ins_of_strangers_do_not_lock_out_the_owner(
    make_api: Callable[[HttpSettings], ApiFixture],
) -> None:
    """Not even from the owner's address: accounts are counted separately there."""
    api = make_api(HttpSettings(trusted_proxies=(ip_network("127.0.0.0/8"),)))
    api = limited(api, login=Rate(1000, 60))
    home, street = {"X-Forwarded-For": "198.51.100.1"}, {"X-Forwarded-For": "203.0.113.9"}

    def login(password: str, headers: dict[str, str]) -> int:
        body = {"username": "ada", "password": password}
        return api.post("/api/v1/auth/login", None, body, headers=headers).status_code

    assert login(PASSWORD, home) == 200
    assert [login("wrong", street) for _ in range(22)] == [401] * 20 + [429] * 2
    assert login(PASSWORD, street) == 429
    assert login(PASSWORD, home) == 200
    assert [login("wrong", home) for _ in range(21)] == [401] * 20 + [429]
    api.clock.at += timedelta(hours=1)
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
    make_api: Callable[[HttpSettings], ApiFixture],
) -> None:
    """For one account in one day, from all addresses and for all kinds of code."""
    api = make_api(HttpSettings(trusted_proxies=(ip_network("127.0.0.0/8"),)))
    hasher: Any = Watched(api.deps.identity.hasher)
    identity = evolve(api.deps.identity, hasher=hasher)
    members = AccountServiceSet.of(identity, api.deps.login)
    changed = {field.name: getattr(members, field.name) for field in fields(AccountServiceSet)}
    api = evolve(api, deps=evolve(api.deps, identity=identity, **changed))
    api = limited(api, login=Rate(10, 60), anonymous=Rate(100, 3600))
    ways: tuple[tuple[str, dict[str, str]], ...] = (
        ("verify-otp", {}),
        ("password/reset/confirm", {"password": "battery staple 9"}),
    )
    found = set()
    for n in range(1000):
        sent = {"X-Forwarded-For": f"198.51.{n // 250}.{n % 250}"}
        una = {"email": "una@example.org"}
        api.clock.at += timedelta(seconds=20)
        for way in ("resend-otp", "password/reset") if n % 10 == 0 else ():
            api.post(f"/api/v1/auth/{way}", None, una, headers=sent)
        for way, more in ways:
            guess = {**una, **more, "otp": f"{n:06}"}
            answer = api.post(f"/api/v1/auth/{way}", None, guess, headers=sent)
            found.add((answer.status_code, answer.json["code"]))
    assert found == {(400, "wrong_code")}
    assert hasher.compared == MAX_WRONG_PER_DAY


def test_sign_in_without_hashing_capacity_is_refused_first(api: ApiFixture) -> None:
    """On every route that hashes: no row written, no limit spent, no body read."""
    full = Argon2Hasher.create(memory_kib=8, passes=1, slots=1, waiting=0)
    api = limited(api, login=Rate(1, 60), anonymous=Rate(1, 60))
    login_service = evolve(api.deps.login, hasher=full)
    parts = evolve(api.deps, login=login_service)
    crowded = evolve(api, deps=parts, client=falcon.testing.TestClient(build_app(parts)))
    hashing = [one for one in make_operations(parts) if one.route is Route.SIGN_IN]
    with full._admitted, api.store.begin() as tx:  # the store is locked for writing
        for one in hashing:
            refused = crowded.call(one.method, one.path, json={})
            assert (refused.status_code, refused.json["code"]) == (503, "unavailable"), one.name
            assert 1 <= int(refused.headers["retry-after"]) <= 3
        assert tx.users.by_login("ada") is not None
    body = {"username": "ada", "password": PASSWORD}
    assert crowded.post("/api/v1/auth/login", None, body).status_code == 200


def test_without_redis_requests_succeed_and_sign_in_is_still_limited(
    api: ApiFixture,
) -> None:
    """The process counts ordinary requests, the store sign-ins."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # a port without a listener
        gone = RedisRateLimiter.connect(f"redis://127.0.0.1:{held.getsockname()[1]}")
        api = limited(api, gone, login=Rate(2, 60), user=Rate(2, 60), anonymous=Rate(9, 60))
        statuses = [api.get("/api/v1/jobs").status_code for _ in range(3)]
        body = {"username": "ada", "password": PASSWORD}
        logins = [api.post("/api/v1/auth/login", None, body).status_code for _ in range(3)]
        gone.close()
    assert statuses == [200, 200, 429]
    assert logins == [200, 200, 429]
    rate_limits = api.deps.rate_limits
    assert rate_limits is not None
    charge, *_ = rate_limits.policies.policies_for(
        RateLimitRequest(address="127.0.0.1", route=Route.SIGN_IN)
    )
    with api.store.view() as tx:
        assert tx.quotas.peek(charge, api.clock.now()).remaining == 0
