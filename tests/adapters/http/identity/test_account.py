"""The caller's account over HTTP: profile, password, sessions, API keys."""

from datetime import timedelta

from tests.adapters.http.conftest import NOON, PASSWORD, ApiFixture
from workbell.domain.identity.user import KeyScope

BASE = "/api/v1/auth"
NEW = "another good one, 7"


def login(api: ApiFixture, name: str = "ada", password: str = PASSWORD) -> dict[str, str]:
    answer = api.post(f"{BASE}/login", None, {"username": name, "password": password})
    assert answer.status_code == 200, answer.json
    return dict(answer.json)


def test_logging_out_takes_effect_immediately(api: ApiFixture) -> None:
    assert api.get(f"{BASE}/users/me").status_code == 200
    out = api.post(f"{BASE}/logout")
    assert (out.status_code, list(out.json)) == (200, ["message"])
    assert api.get(f"{BASE}/users/me").status_code == 401


def test_a_profile_is_changed_partially(api: ApiFixture) -> None:
    body = {"first_name": "Ada", "last_name": "Lovelace", "time_zone": "Europe/London"}
    changed = api.call("PATCH", f"{BASE}/users/me", "ada", body)
    assert changed.status_code == 200
    assert (changed.json["full_name"], changed.json["time_zone"]) == (
        "Ada Lovelace", "Europe/London",
    )  # fmt: skip
    again = api.call("PATCH", f"{BASE}/users/me", "ada", {"first_name": None})
    assert again.json["full_name"] == "Ada Lovelace"


def test_changing_the_address_requires_the_current_password(api: ApiFixture) -> None:
    moving = {"email": "countess@example.org"}
    refused = api.call("PATCH", f"{BASE}/users/me", "ada", moving)
    assert list(refused.json["field_errors"]) == ["current_password"]
    moved = api.call("PATCH", f"{BASE}/users/me", "ada", {**moving, "current_password": PASSWORD})
    assert (moved.json["email"], moved.json["is_email_verified"]) == (moving["email"], False)
    code = {"email": moving["email"], "otp": api.mail.messages[-2].text.split("code is ")[1][:6]}
    assert api.post(f"{BASE}/verify-otp", None, code).status_code == 200


def test_a_changed_password_ends_the_other_sessions(api: ApiFixture) -> None:
    other = login(api)
    body = {"current_password": PASSWORD, "password": NEW, "password_confirm": NEW}
    wrong = api.post(f"{BASE}/password/change", "ada", {**body, "current_password": "x"})
    assert (wrong.status_code, list(wrong.json["field_errors"])) == (400, ["current_password"])
    assert api.post(f"{BASE}/password/change", "ada", body).status_code == 200
    assert api.get(f"{BASE}/users/me").status_code == 200
    assert api.post(f"{BASE}/refresh", None, {"refresh": other["refresh"]}).status_code == 401
    login(api, password=NEW)


def test_a_forgotten_password_is_set_by_a_code(api: ApiFixture) -> None:
    known = api.post(f"{BASE}/password/reset", None, {"email": "ada@example.org"})
    unknown = api.post(f"{BASE}/password/reset", None, {"email": "nobody@example.org"})
    assert (known.status_code, known.json) == (unknown.status_code, unknown.json)
    assert known.status_code == 200
    path = f"{BASE}/password/reset/confirm"
    body = {"email": "ada@example.org", "otp": "000000", "password": NEW}
    wrong = api.post(path, None, body)
    stranger = api.post(path, None, {**body, "email": "nobody@example.org"})
    for refused in (wrong, stranger):
        assert refused.status_code == 400
        assert refused.json["code"] == "wrong_code"
    assert {**wrong.json, "request_id": ""} == {**stranger.json, "request_id": ""}
    assert api.post(path, None, {**body, "otp": api.mail.code()}).status_code == 200
    assert api.get(f"{BASE}/users/me").status_code == 401
    login(api, password=NEW)


def test_sessions_are_listed_and_ended(api: ApiFixture) -> None:
    api.clock.at = NOON + timedelta(seconds=1)
    other = login(api)
    listed = api.get(f"{BASE}/sessions").json
    assert listed["count"] == 2
    newest, mine = listed["results"]
    assert (newest["current"], mine["current"], mine["kind"]) == (False, True, "tokens")
    assert set(mine) == {
        "id", "kind", "created_at", "last_used_at", "expires_at", "address", "user_agent", "current",
    }  # fmt: skip
    path = f"{BASE}/sessions/{newest['id']}"
    assert api.call("DELETE", path, "bob").status_code == 404
    assert api.call("DELETE", path, "ada").status_code == 204
    assert api.call("DELETE", path, "ada").status_code == 404
    assert api.post(f"{BASE}/refresh", None, {"refresh": other["refresh"]}).status_code == 401


def test_a_key_is_shown_once_and_authenticates_its_user(api: ApiFixture) -> None:
    body = {"name": "nightly", "scopes": ["read"]}
    made = api.post(f"{BASE}/api-keys", "ada", body)
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    text = made.json["key"]
    listed = api.get(f"{BASE}/api-keys")
    assert listed.json["count"] == 1
    assert text.rpartition("_")[2] not in listed.text
    api.tokens["robot"] = text
    assert api.get(f"{BASE}/users/me", "robot").json["username"] == "ada"
    header = {"Authorization": f"Token {text}"}
    assert api.get(f"{BASE}/users/me", None, headers=header).status_code == 200
    assert api.call("DELETE", made.headers["location"], "bob").status_code == 404
    assert api.call("DELETE", made.headers["location"], "ada").status_code == 204
    assert api.get(f"{BASE}/users/me", "robot").status_code == 401


def key(api: ApiFixture, caller: str, *scopes: KeyScope) -> None:
    body = {"name": "k", "scopes": list(scopes)}
    api.tokens["robot"] = api.post(f"{BASE}/api-keys", caller, body).json["key"]


def test_a_read_only_key_cannot_write(api: ApiFixture) -> None:
    key(api, "ada", KeyScope.READ)
    assert api.get("/api/v1/schedules", "robot").status_code == 200
    assert api.post("/api/schedules/search/", "robot", {}).status_code == 200
    for method, path in (
        ("POST", "/api/v1/schedules"), ("POST", "/api/v1/jobs"), ("DELETE", "/api/v1/schedules/1"),
        ("PATCH", f"{BASE}/users/me"), ("POST", f"{BASE}/logout"),
    ):  # fmt: skip
        refused = api.call(method, path, "robot", {})
        assert (refused.status_code, refused.json["code"]) == (403, "not_allowed"), path


def test_a_key_requires_the_admin_scope_on_superuser_routes(api: ApiFixture) -> None:
    key(api, "root", KeyScope.WRITE)
    assert api.get("/api/v1/users", "robot").status_code == 403
    assert api.get("/api/v1/workers", "robot").status_code == 403
    key(api, "root", KeyScope.ADMIN)
    assert api.get("/api/v1/users", "robot").status_code == 200


def test_a_key_cannot_create_keys(api: ApiFixture) -> None:
    key(api, "ada", KeyScope.ADMIN)
    for method, path, body in (
        ("POST", f"{BASE}/api-keys", {"name": "x", "scopes": ["admin"]}),
        ("GET", f"{BASE}/api-keys", None),
        ("GET", f"{BASE}/sessions", None),
        ("POST", f"{BASE}/logout", None),
    ):
        assert api.call(method, path, "robot", body).status_code == 403


def test_invalid_keys_are_refused(api: ApiFixture) -> None:
    for body in (
        {"name": "", "scopes": ["read"]},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["everything"]},
        {"name": "x", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"},
        {"name": "x"},
    ):
        assert api.post(f"{BASE}/api-keys", "ada", body).status_code == 400
