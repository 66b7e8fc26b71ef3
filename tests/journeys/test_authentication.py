"""User accounts in all APIs: registration, login, password, API keys."""

from typing import Any

import pytest

from tests.journeys.conftest import Client

PASSWORD, NEW = "SecurePass123!", "another-good-one-7"


def login(client: Client, path: str, body: dict[str, str], word: str) -> dict[str, Any]:
    client.token = None
    answer: dict[str, Any] = client.post(path, body)
    client.token = answer[word]
    return answer


def register(client: Client, name: str) -> None:
    client.token = None
    body = {"username": name, "email": f"{name}@example.org", "password": PASSWORD}
    client.post("/api/v1/auth/users", body, 201)


def administrator(client: Client) -> None:
    body = {"username": "admin", "password": "correct-horse-battery"}
    login(client, "/api/v1/auth/login", body, "access")


def test_insighthub_registers_logs_in_refreshes_and_shows_a_profile(client: Client) -> None:
    new = {
        "username": "testuser", "email": "test@example.org", "first_name": "Test",
        "last_name": "User", "password": "securepassword123",
        "password_confirm": "securepassword123",
    }  # fmt: skip
    made = client.post("/api/auth/register/", new, 201)
    assert (made["user"]["username"], set(made)) == ("testuser", {"user", "message"})
    body = {"username": "testuser", "password": "securepassword123"}
    tokens = login(client, "/api/auth/login/", body, "access_token")
    assert client.get("/api/auth/profile/")["full_name"] == "Test User"
    client.token = None
    pair = client.post("/api/auth/refresh/", {"refresh": tokens["refresh_token"]})
    client.token = pair["access"]
    assert client.get("/api/auth/profile/")["email"] == "test@example.org"
    client.token = None
    client.post("/api/auth/login/", {**body, "password": "wrong"}, 400)


def test_learnflow_registers_with_a_tier_and_lists_usernames(client: Client) -> None:
    new = {
        "username": "learner", "password": "secure_password", "email": "learner@example.org",
        "first_name": "Le", "last_name": "Arner", "tier": "free",
    }  # fmt: skip
    made = client.post("/api/user/", new, 201)
    assert set(made) == {"id", "username", "email", "first_name", "last_name", "tier"}
    body = {"username": "learner", "password": "secure_password"}
    tokens = login(client, "/api/token/", body, "access")
    assert client.get("/api/users/") == ["admin", "learner"]
    client.token = client.post("/api/token/refresh/", {"refresh": tokens["refresh"]})["access"]
    assert "learner" in client.get("/api/users/")
    client.token = None
    client.post("/api/token/", {**body, "password": "wrong"}, 401)
    client.get("/api/users/", 401)


def test_datamanager_logs_in_with_a_token_that_logout_revokes(client: Client) -> None:
    body = {"email": "user@example.org", "password": PASSWORD}
    made = client.post("/users/register/", body, 201)
    assert {"message", "user", "token"} <= set(made)
    short = {"email": "other@example.org", "password": "pass123"}
    client.post("/users/register/", short, 400)
    client.post("/users/login/", {**body, "password": "wrong"}, 401)
    token = login(client, "/users/login/", body, "token")["token"]
    client.token = None
    scheme = {"Authorization": f"Token {token}"}
    status, people, _ = client.call("GET", "/users/", **scheme)
    assert (status, [one["email"] for one in people["results"]]) == (200, ["user@example.org"])
    path = f"/users/{made['user']['id']}/"
    status, changed, _ = client.call("PUT", path, {"first_name": "U", "last_name": "X"}, **scheme)
    assert (status, changed["full_name"]) == (200, "U X")
    assert client.call("POST", "/users/logout/", **scheme)[0] == 200
    assert client.call("GET", "/users/", **scheme)[0] == 401
    client.token = made["token"]
    assert client.get("/users/")["count"] == 1
    administrator(client)
    assert client.get("/users/?email=user@example.org")["count"] == 1


def test_a_user_registers_with_a_confirmed_password(client: Client) -> None:
    new = {"username": "john", "email": "john@example.org", "password": PASSWORD,
           "password_confirm": PASSWORD}  # fmt: skip
    client.post("/api/v1/auth/users/", {**new, "password_confirm": "other"}, 400)
    client.post("/api/v1/auth/users/", {**new, "role": "ADMIN"}, 400)
    made = client.post("/api/v1/auth/users/", new, 201)
    assert (made["role"], made["is_super_user"]) == ("MEMBER", False)
    body = {"email": "john@example.org", "password": PASSWORD}
    tokens = login(client, "/api/v1/auth/login/", body, "access")
    assert tokens["user"] == client.get("/api/v1/auth/users/me/")
    client.token = client.post("/api/v1/auth/refresh/", {"refresh": tokens["refresh"]})["access"]
    assert client.get("/api/v1/auth/users/me/")["username"] == "john"


def test_job_processing_requires_a_verified_address_to_log_in(client: Client) -> None:
    body = {"email": "worker@example.org", "password": PASSWORD}
    first, again = (
        client.post("/api/register/", body, 201),
        client.post("/api/register/", body, 201),
    )
    assert first == again
    client.post("/api/login/", body, 403)
    code = {"email": body["email"], "otp_code": client.code_for(body["email"])}
    client.post("/api/verify-email/", code)
    client.post("/api/verify-email/", code, 400)
    login(client, "/api/login/", body, "access")
    assert client.get("/api/v1/auth/users/me")["is_email_verified"] is True


def test_a_password_reset_ends_all_sessions(client: Client) -> None:
    register(client, "ana")
    body = {"email": "ana@example.org", "password": PASSWORD}
    login(client, "/api/v1/auth/login", body, "access")
    known = client.post("/api/v1/auth/password/reset", {"email": "ana@example.org"})
    unknown = client.post("/api/v1/auth/password/reset", {"email": "nobody@example.org"})
    assert known == unknown
    reset = {"email": "ana@example.org", "otp": client.code_for("ana@example.org"), "password": NEW}
    client.post("/api/v1/auth/password/reset/confirm", reset)
    client.get("/api/v1/auth/users/me", 401)
    client.token = None
    client.post("/api/v1/auth/login", body, 401)
    login(client, "/api/v1/auth/login", {**body, "password": NEW}, "access")


def test_an_api_key_works_until_it_is_revoked(client: Client) -> None:
    register(client, "ana")
    body = {"email": "ana@example.org", "password": PASSWORD}
    login(client, "/api/v1/auth/login", body, "access")
    person = client.token
    made = client.post("/api/v1/auth/api-keys", {"name": "robot", "scopes": ["read"]}, 201)
    client.token = made["key"]
    assert client.get("/api/v1/auth/users/me")["username"] == "ana"
    client.post("/api/v1/schedules", {}, 403)
    client.token = person
    assert client.call("DELETE", f"/api/v1/auth/api-keys/{made['id']}")[0] == 204
    client.token = made["key"]
    client.get("/api/v1/auth/users/me", 401)


def test_a_deactivated_user_is_logged_out_at_once(client: Client) -> None:
    register(client, "ana")
    body = {"email": "ana@example.org", "password": PASSWORD}
    mine = login(client, "/api/v1/auth/login", body, "access")
    client.get("/api/v1/auth/users/me")
    administrator(client)
    [ana] = client.get("/api/v1/users?search=ana")["results"]
    status, changed, _ = client.call("PATCH", f"/api/v1/users/{ana['id']}", {"is_active": False})
    assert (status, changed["is_active"]) == (200, False)
    client.token = mine["access"]
    client.get("/api/v1/auth/users/me", 401)
    client.token = None
    client.post("/api/v1/auth/login", body, 401)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer x", "Token x", "Basic YTpi", "Bearer wbk_a_b"]
)
def test_a_request_without_a_token_gets_a_challenge(client: Client, header: str) -> None:
    status, body, headers = client.call("GET", "/api/v1/auth/users/me", Authorization=header)
    assert (status, body["code"]) == (401, "unauthenticated")
    assert headers["www-authenticate"].startswith("Bearer")
