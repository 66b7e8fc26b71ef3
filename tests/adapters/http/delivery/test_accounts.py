"""Accounts and members over HTTP: tokens, roles, visibility, invitations."""

import pytest

from tests.adapters.http.conftest import PASSWORD, ApiFixture

ACCOUNTS = "/api/v1/accounts"


@pytest.fixture
def account(api: ApiFixture) -> str:
    """Return the path of an account with the Admin ada and the Normal user una."""
    account_id = api.account()["id"]
    api.member(account_id, "una")
    return f"{ACCOUNTS}/{account_id}"


def test_an_account_is_shown_with_all_its_fields(api: ApiFixture) -> None:
    made = api.post(ACCOUNTS, "ada", {"name": "Shop"})
    assert (made.status_code, made.headers["location"]) == (201, f"{ACCOUNTS}/1")
    assert made.headers["cache-control"] == "no-store"
    assert made.json == api.get(f"{ACCOUNTS}/1").json
    body = dict(made.json)
    assert len(body.pop("app_secret_token")) == 36
    assert body == {
        "id": 1,
        "name": "Shop",
        "created_at": "2026-05-04T12:00:00Z",
        "updated_at": "2026-05-04T12:00:00Z",
    }


def test_the_token_is_absent_for_everyone_but_admins(api: ApiFixture, account: str) -> None:
    for caller in ("una", "root"):
        assert "app_secret_token" not in api.get(account, caller).json
        [listed] = api.get(ACCOUNTS, caller).json["results"]
        assert "app_secret_token" not in listed
    [listed] = api.get(ACCOUNTS).json["results"]
    assert listed == api.get(account).json


def test_a_rotated_token_is_shown_to_the_admin(api: ApiFixture, account: str) -> None:
    before = api.get(account).json["app_secret_token"]
    rotated = api.post(f"{account}/rotate_token")
    assert rotated.status_code == 200
    assert rotated.json["app_secret_token"] not in {"", before}
    assert api.get(account).json == rotated.json
    by_root = api.post(f"{account}/rotate_token", "root")
    assert (by_root.status_code, "app_secret_token" in by_root.json) == (200, False)


def test_accounts_are_searched_and_renamed(api: ApiFixture, account: str) -> None:
    api.account(name="Other")
    for method, name in (("PUT", "Store"), ("PATCH", "Storehouse")):
        assert api.call(method, account, "ada", {"name": name}).json["name"] == name
    found = api.get(f"{ACCOUNTS}?search=STORE").json
    assert [one["name"] for one in found["results"]] == ["Storehouse"]
    for body in ({"name": ""}, {"name": "x" * 256}, {"name": None}, {}):
        refused = api.call("PUT", account, "ada", body)
        assert (refused.status_code, list(refused.json["field_errors"])) == (400, ["name"])


def test_other_accounts_are_not_found(api: ApiFixture, account: str) -> None:
    for method, path in (
        ("GET", account),
        ("PUT", account),
        ("DELETE", account),
        ("POST", f"{account}/rotate_token"),
        ("GET", f"{account}/members"),
        ("POST", f"{account}/members"),
        ("PATCH", f"{account}/members/1"),
        ("DELETE", f"{account}/members/1"),
        ("POST", f"{account}/invitations"),
        ("GET", f"{account}/destinations"),
        ("POST", f"{account}/destinations"),
    ):
        assert api.call(method, path, "bob").status_code == 404, (method, path)
    assert api.get(ACCOUNTS, "bob").json["count"] == 0
    assert api.get(f"{ACCOUNTS}/999", "root").status_code == 404


def test_a_member_is_shown_with_all_its_fields(api: ApiFixture, account: str) -> None:
    bob = api.users["bob"].id
    added = api.post(f"{account}/members", "ada", {"user": bob})
    assert (added.status_code, added.headers["location"]) == (201, f"{account}/members")
    assert added.json == {
        "id": 3,
        "account": 1,
        "user": bob,
        "user_email": "bob@example.org",
        "role": 2,
        "role_name": "Normal user",
        "created_at": "2026-05-04T12:00:00Z",
        "updated_at": "2026-05-04T12:00:00Z",
    }
    listed = api.get(f"{account}/members", "una").json
    assert (listed["count"], listed["results"][2]) == (3, added.json)


def test_an_unknown_user_or_role_is_a_field_error(api: ApiFixture, account: str) -> None:
    bob = api.users["bob"].id
    for body, field in (
        ({"user": 999, "role": 2}, "user"),
        ({"user": bob, "role": "Owner"}, "role"),
        ({"user": "bob"}, "user"),
    ):
        refused = api.post(f"{account}/members", "ada", body)
        assert (refused.status_code, list(refused.json["field_errors"])) == (400, [field])
    assert api.post(f"{account}/members", "ada", {"user": 3}).status_code == 409


def test_roles_are_changed_and_one_admin_remains(api: ApiFixture, account: str) -> None:
    ada, una = (f"{account}/members/{api.users[name].id}" for name in ("ada", "una"))
    assert api.call("PATCH", ada, "ada", {"role": 2}).status_code == 409
    assert api.call("DELETE", ada, "ada").status_code == 409
    changed = api.call("PATCH", una, "ada", {"role": "Admin"})
    assert (changed.json["role"], changed.json["role_name"]) == (1, "Admin")
    assert api.call("DELETE", ada, "ada").status_code == 204
    assert api.get(account).status_code == 404
    assert api.call("DELETE", una, "una").status_code == 409
    missing = api.call("PATCH", f"{account}/members/{api.users['ada'].id}", "una")
    assert missing.status_code == 404


def test_a_normal_user_leaves_but_removes_no_other_member(api: ApiFixture, account: str) -> None:
    ada, una = (f"{account}/members/{api.users[name].id}" for name in ("ada", "una"))
    assert api.call("DELETE", ada, "una").status_code == 403
    assert api.call("DELETE", una, "una").status_code == 204
    assert api.get(account, "una").status_code == 404


def test_users_are_invited_by_address(api: ApiFixture, account: str) -> None:
    path = f"{account}/invitations"
    new = api.post(path, "ada", {"email": "new@example.org", "role": 1})
    assert (new.status_code, new.json["role_name"]) == (201, "Admin")
    assert api.mail.messages[-1].to == "new@example.org"
    reset = {"email": "new@example.org", "otp": api.mail.code(), "password": PASSWORD}
    assert api.post("/api/v1/auth/password/reset/confirm", None, reset).status_code == 200
    existing = api.post(path, "ada", {"email": "bob@example.org"})
    assert (existing.status_code, existing.json["user"]) == (200, api.users["bob"].id)
    assert api.post(path, "ada", {"email": "bob@example.org"}).status_code == 409
    assert api.post(path, "ada", {"email": "bob"}).json["field_errors"].keys() == {"email"}
    assert api.post(path, "una", {"email": "x@example.org"}).status_code == 403


def test_a_deleted_account_is_gone_with_its_destinations(api: ApiFixture, account: str) -> None:
    destination = api.destination(1)["id"]
    assert api.call("DELETE", account, "una").status_code == 403
    assert api.call("DELETE", account, "ada").status_code == 204
    for path in (account, f"{account}/members", f"/api/v1/destinations/{destination}"):
        assert api.get(path).status_code == 404
    assert api.get(ACCOUNTS).json["count"] == 0
