"""LearnFlow and DataManager: registration, sign-in and users."""

import falcon.testing
from attrs import evolve

from tests.adapters.http.conftest import PASSWORD, World
from workbell.adapters.http.app import build_app

NEW = {"username": "grace", "email": "grace@example.org", "password": "a compiler, 1952"}


def test_learnflow_registers_with_a_tier_and_signs_in(empty: World) -> None:
    names = {"first_name": "Grace", "last_name": "Hopper", "tier": "free"}
    made = empty.post("/api/user/", None, {**NEW, **names})
    assert made.status_code == 201
    assert made.json == {"id": 1, "username": "grace", "email": NEW["email"], **names}
    body = {"username": "grace", "password": NEW["password"]}
    pair = empty.post("/api/token/", None, body)
    assert list(pair.json) == ["access", "refresh"]
    again = empty.post("/api/token/refresh/", None, {"refresh": pair.json["refresh"]})
    assert list(again.json) == ["access", "refresh"]
    empty.tokens["grace"] = again.json["access"]
    assert empty.get("/api/users/", "grace").json == ["grace"]
    assert empty.get("/api/users/", None).status_code == 401
    wrong = empty.post("/api/token/", None, {**body, "password": "wrong"})
    assert wrong.status_code == 401


def test_datamanager_signs_in_with_opaque_tokens(empty: World) -> None:
    body = {"email": "grace@example.org", "password": NEW["password"]}
    made = empty.post("/users/register/", None, body)
    assert (made.status_code, set(made.json)) == (201, {"message", "user", "token"})
    assert made.json["user"]["username"] == "grace"
    answer = empty.post("/users/login/", None, body)
    assert set(answer.json) >= {"token", "user_id"}
    token = {"Authorization": f"Token {answer.json['token']}"}
    assert empty.get("/users/", None, headers=token).json["count"] == 1
    assert empty.post("/users/logout/", None, headers=token).status_code == 200
    assert empty.get("/users/", None, headers=token).status_code == 401
    first = {"Authorization": f"Token {made.json['token']}"}
    assert empty.get("/users/", None, headers=first).status_code == 200
    assert empty.post("/users/login/", None, {**body, "password": "no"}).status_code == 401


def test_datamanager_lists_the_caller_or_all_users_for_superusers(world: World) -> None:
    assert [one["username"] for one in world.get("/users/").json["results"]] == ["ada"]
    assert world.get("/users/?email=bob@example.org").json["results"] == []
    assert world.get("/users/", "root").json["count"] == 4
    [bob] = world.get("/users/?email=bob@example.org", "root").json["results"]
    assert bob["username"] == "bob"


def test_datamanager_changes_the_caller_with_the_current_password(world: World) -> None:
    path = f"/users/{world.people['ada'].id}/"
    named = world.call("PUT", path, "ada", {"first_name": "Ada", "last_name": "L"})
    assert named.json["full_name"] == "Ada L"
    moving = {"email": "countess@example.org", "password": "another good one, 7"}
    assert world.call("PUT", path, "ada", moving).status_code == 400
    moved = world.call("PUT", path, "ada", {**moving, "current_password": PASSWORD})
    assert moved.json["email"] == moving["email"]
    assert world.call("PUT", path, "bob", {"first_name": "x"}).status_code == 404
    assert world.call("PUT", path, "root", {"first_name": "x"}).json["first_name"] == "x"
    assert world.call("PUT", "/users/999/", "root", {"first_name": "x"}).status_code == 404


def test_datamanager_returns_no_token_if_the_address_must_be_verified(empty: World) -> None:
    strict = evolve(empty.parts.login, require_verified_email=True)
    client = falcon.testing.TestClient(build_app(evolve(empty.parts, login=strict)))
    body = {"email": "grace@example.org", "password": NEW["password"]}
    made = client.simulate_post("/users/register/", json=body, headers={"Host": "localhost"})
    assert (made.status_code, made.json["token"]) == (201, None)


def test_datamanager_invites_users_without_a_password(world: World) -> None:
    """The second invitation returns the existing user; only superusers may invite."""
    body = {"email": "new@example.org"}
    assert world.post("/users/invite/", "root", body).status_code == 201
    assert world.post("/users/invite/", "root", body).status_code == 200
    assert world.post("/users/invite/", "ada", body).status_code == 403

    world.post(
        "/api/v1/auth/password/reset/confirm", None,
        {"email": "new@example.org", "otp": world.mail.code(), "password": PASSWORD},
    )  # fmt: skip
    signed_in = world.post(
        "/users/login/", None, {"email": "new@example.org", "password": PASSWORD}
    )
    assert signed_in.status_code == 200
