"""DataManager: registration, sign-in, users, accounts, members, destinations."""

from typing import Any
from uuid import UUID

import falcon.testing
import pytest
from attrs import evolve

from tests.adapters.http.conftest import PASSWORD, ApiFixture
from workbell.adapters.http.app import build_app

GRACE = {"email": "grace@example.org", "password": "a compiler, 1952"}


def register(api: ApiFixture, name: str = "grace") -> dict[str, Any]:
    """Register a user and return what the login answers; `api.tokens` has the token."""
    body = {**GRACE, "email": f"{name}@example.org"}
    made = api.post("/users/register/", None, body)
    assert made.status_code == 201, made.json
    login = api.post("/users/login/", None, body)
    assert login.status_code == 200, login.json
    api.tokens[name] = login.json["token"]
    return dict(login.json)


def test_sign_in_returns_an_opaque_token_and_the_account(empty: ApiFixture) -> None:
    made = empty.post("/users/register/", None, GRACE)
    assert (made.status_code, list(made.json)) == (201, ["message", "user", "token"])
    assert made.json["user"]["username"] == "grace"
    answer = empty.post("/users/login/", None, GRACE)
    assert list(answer.json) == ["token", "id", "user_id", "account_id"]
    assert answer.json["id"] == answer.json["account_id"]
    token = {"Authorization": f"Token {answer.json['token']}"}
    account = empty.get(f"/accounts/{answer.json['id']}/", None, headers=token)
    assert account.status_code == 200
    assert UUID(account.json["app_secret_token"]).version == 4
    assert empty.get("/users/", None, headers=token).json["count"] == 1
    assert empty.post("/users/logout/", None, headers=token).status_code == 200
    assert empty.get("/users/", None, headers=token).status_code == 401
    first = {"Authorization": f"Token {made.json['token']}"}
    assert empty.get("/users/", None, headers=first).status_code == 200
    wrong = empty.post("/users/login/", None, {**GRACE, "password": "no"})
    assert wrong.status_code == 401


def test_a_user_without_an_account_signs_in(api: ApiFixture) -> None:
    body = {"email": "ada@example.org", "password": PASSWORD}
    answer = api.post("/users/login/", None, body).json
    assert (answer["id"], answer["account_id"]) == (None, None)
    assert answer["user_id"] == api.users["ada"].id


def test_registration_returns_no_token_if_the_address_must_be_verified(empty: ApiFixture) -> None:
    strict = evolve(empty.deps.login, require_verified_email=True)
    client = falcon.testing.TestClient(build_app(evolve(empty.deps, login=strict)))
    made = client.simulate_post("/users/register/", json=GRACE, headers={"Host": "localhost"})
    assert (made.status_code, made.json["token"]) == (201, None)


def test_users_are_listed_for_superusers_and_admins_of_their_accounts(api: ApiFixture) -> None:
    assert [one["username"] for one in api.get("/users/").json["results"]] == ["ada"]
    assert api.get("/users/?email=bob@example.org").json["results"] == []
    assert api.get("/users/", "root").json["count"] == 4
    [bob] = api.get("/users/?email=bob@example.org", "root").json["results"]
    assert bob["username"] == "bob"
    api.member(api.account()["id"], "bob")
    assert [one["username"] for one in api.get("/users/").json["results"]] == ["ada", "bob"]
    assert api.get("/users/?email=BOB@example.org").json["count"] == 1
    assert api.get("/users/", "bob").json["count"] == 1


def test_users_change_themselves_with_the_current_password(api: ApiFixture) -> None:
    path = f"/users/{api.users['ada'].id}/"
    named = api.call("PUT", path, "ada", {"first_name": "Ada", "last_name": "L"})
    assert named.json["full_name"] == "Ada L"
    moving = {"email": "countess@example.org", "password": "another good one, 7"}
    assert api.call("PUT", path, "ada", moving).status_code == 400
    moved = api.call("PUT", path, "ada", {**moving, "current_password": PASSWORD})
    assert moved.json["email"] == moving["email"]
    assert api.call("PUT", path, "bob", {"first_name": "x"}).status_code == 404
    assert api.call("PUT", path, "root", {"first_name": "x"}).json["first_name"] == "x"
    assert api.call("PUT", "/users/999/", "root", {"first_name": "x"}).status_code == 404


def test_admins_see_but_never_edit_the_members_of_their_accounts(api: ApiFixture) -> None:
    api.member(api.account()["id"], "bob")
    path = f"/users/{api.users['bob'].id}/"
    assert api.call("PUT", path, "ada", {"first_name": "x"}).status_code == 403
    assert api.call("PUT", path, "bob", {"first_name": "B"}).json["first_name"] == "B"


def test_an_admin_invites_a_new_user_into_the_account(empty: ApiFixture) -> None:
    account_id = register(empty)["id"]
    body = {"email": "new@example.org", "account_id": account_id}
    invited = empty.post("/users/invite/", "grace", body)
    assert (invited.status_code, invited.json["email"]) == (201, "new@example.org")
    reset = {"email": "new@example.org", "otp": empty.mail.code(), "password": PASSWORD}
    assert empty.post("/api/v1/auth/password/reset/confirm", None, reset).status_code == 200
    signed_in = empty.post("/users/login/", None, {"email": body["email"], "password": PASSWORD})
    assert signed_in.json["account_id"] == account_id
    empty.tokens["new"] = signed_in.json["token"]
    account = empty.get(f"/accounts/{account_id}/", "new")
    assert (account.status_code, "app_secret_token" in account.json) == (200, False)


def test_an_existing_user_is_added_with_a_role(empty: ApiFixture) -> None:
    account_id = register(empty)["id"]
    register(empty, "bob")
    body = {"email": "bob@example.org", "account_id": account_id, "role": "Admin"}
    assert empty.post("/users/invite/", "grace", body).status_code == 200
    assert empty.post("/users/invite/", "grace", body).status_code == 409
    assert "app_secret_token" in empty.get(f"/accounts/{account_id}/", "bob").json


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"account_id": 999}, 403),
        ({"email": "no address"}, 400),
        ({"role": 3}, 400),
        ({"role": True}, 400),
        ({"account_id": None}, 400),
    ],
    ids=str,
)
def test_invalid_invitations_are_refused(
    empty: ApiFixture, changes: dict[str, Any], status: int
) -> None:
    account_id = register(empty)["id"]
    body = {"email": "new@example.org", "account_id": account_id, **changes}
    assert empty.post("/users/invite/", "grace", body).status_code == status


def test_only_admins_of_the_account_invite(empty: ApiFixture) -> None:
    account_id = register(empty)["id"]
    bob = register(empty, "bob")["user_id"]
    body = {"email": "new@example.org", "account_id": account_id}
    assert empty.post("/users/invite/", "bob", body).status_code == 403
    added = {"user": bob, "role": 2}
    assert empty.post(f"/accounts/{account_id}/members/", "grace", added).status_code == 201
    assert empty.post("/users/invite/", "bob", body).status_code == 403


def test_accounts_are_created_listed_changed_and_deleted(empty: ApiFixture) -> None:
    own = register(empty)["id"]
    made = empty.post("/accounts/", "grace", {"name": "My Account"})
    assert (made.status_code, made.headers["location"]) == (201, f"/accounts/{made.json['id']}")
    assert list(made.json) == ["id", "name", "app_secret_token", "created_at", "updated_at"]
    listed = empty.get("/accounts/", "grace").json
    assert [one["id"] for one in listed["results"]] == [own, made.json["id"]]
    path = f"/accounts/{made.json['id']}/"
    assert empty.call("PUT", path, "grace", {"name": "Shop"}).json["name"] == "Shop"
    assert empty.call("DELETE", path, "grace").status_code == 204
    assert empty.get(path, "grace").status_code == 404


def test_members_are_added_by_id_and_role(empty: ApiFixture) -> None:
    account_id = register(empty)["id"]
    for name, role in (("bob", 2), ("eve", "Admin")):
        user_id = register(empty, name)["user_id"]
        body = {"user": user_id, "role": role}
        member = empty.post(f"/accounts/{account_id}/members/", "grace", body)
        assert (member.status_code, member.json["user"]) == (201, user_id)
    members = empty.get(f"/accounts/{account_id}/members/", "bob").json["results"]
    assert [(one["user_email"], one["role"], one["role_name"]) for one in members] == [
        ("grace@example.org", 1, "Admin"),
        ("bob@example.org", 2, "Normal user"),
        ("eve@example.org", 1, "Admin"),
    ]


def test_destinations_are_created_by_admins_and_updated_by_members(empty: ApiFixture) -> None:
    account_id = register(empty)["id"]
    bob = register(empty, "bob")["user_id"]
    empty.post(f"/accounts/{account_id}/members/", "grace", {"user": bob, "role": 2})
    base = f"/accounts/{account_id}/destinations/"
    body = {
        "url": "https://httpbin.org/post",
        "http_method": "POST",
        "headers": {"Content-Type": "application/json"},
    }
    made = empty.post(base, "grace", body)
    path = f"/destinations/{made.json['id']}/"
    assert (made.status_code, made.headers["location"]) == (201, path.rstrip("/"))
    assert empty.post(base, "bob", body).status_code == 403
    assert [one["id"] for one in empty.get(base, "bob").json["results"]] == [made.json["id"]]
    assert empty.get(path, "bob").json["headers"] == {"Content-Type": "***"}
    changed = empty.call("PUT", path, "bob", {**body, "http_method": "PUT"})
    assert (changed.status_code, changed.json["http_method"]) == (200, "PUT")
    missing = empty.call("PUT", path, "bob", {"http_method": "PUT"})
    assert missing.json["field_errors"] == {"url": ["url is required"]}
    assert empty.call("DELETE", path, "bob").status_code == 403
    assert empty.call("DELETE", path, "grace").status_code == 204
    assert empty.get(path, "grace").status_code == 404
