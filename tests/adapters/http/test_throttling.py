"""Limits over HTTP: told on every answer, and kept."""

import falcon.testing
from attrs import evolve

from workbell.adapters.http.app import build_app
from workbell.adapters.throttling.memory import MemoryRateLimiter
from workbell.domain.throttling import Policies, Rate
from workbell.services.throttling import Throttling

from .conftest import World

WRONG = {"Authorization": "Bearer wrong"}


def limited(world: World, **rates: Rate | None) -> World:
    """Return the world with such limits, none where nothing is said."""
    given = dict.fromkeys(("anonymous", "user", "login", "ingest", "free", "premium"))
    throttling = Throttling(
        store=world.store,
        limiter=MemoryRateLimiter(),
        clock=world.clock,
        policies=Policies.of(**{**given, **rates}),
    )
    parts = evolve(world.parts, throttling=throttling)
    return evolve(world, parts=parts, client=falcon.testing.TestClient(build_app(parts)))


def test_every_answer_tells_the_limit_and_what_is_left(world: World) -> None:
    """In the two headers of the draft."""
    answer = limited(world, user=Rate(5, 3600)).get("/api/v1/jobs")

    assert answer.status_code == 200
    assert "q=5" in answer.headers["ratelimit-policy"]
    assert "r=4" in answer.headers["ratelimit"]


def test_one_too_many_is_429_and_says_when_to_come_again(world: World) -> None:
    """The refused request consumes nothing."""
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
    """So guessing tokens is limited by address."""
    world = limited(world, anonymous=Rate(2, 3600))
    statuses = [world.get("/api/v1/jobs", None, headers=WRONG).status_code for _ in range(3)]

    assert statuses == [401, 401, 429]


def test_health_is_exempt(world: World) -> None:
    """Probes may ask as often as they like."""
    world = limited(world, anonymous=Rate(1, 3600), login=Rate(1, 3600))

    for path in ("/livez", "/readyz", "/api/health/"):
        for _ in range(3):
            answer = world.get(path, None)
            assert answer.status_code == 200
            assert "ratelimit" not in answer.headers


def test_signing_in_has_its_own_limit(world: World) -> None:
    """Ten a minute by default; here two."""
    world = limited(world, anonymous=Rate(100, 3600), login=Rate(2, 60))
    body = {"username": "nobody", "password": "wrong"}
    statuses = [world.post("/api/v1/auth/login", None, json=body).status_code for _ in range(3)]

    assert statuses == [401, 401, 429]
