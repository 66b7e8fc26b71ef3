"""Audit of refused requests: repeats collapsed, without secrets."""

from datetime import timedelta
from typing import Any

import falcon.testing
import pytest
from attrs import define, evolve

from tests.adapters.http.conftest import PASSWORD, ApiFixture
from tests.adapters.http.identity.test_browser_sessions import HTTP, make_page
from tests.adapters.http.web.test_rate_limits import limited
from workbell.adapters.http.app import build_app
from workbell.domain.audit.entry import AuditEntry
from workbell.domain.errors import Unavailable
from workbell.domain.rate_limits.policy import Rate


def audited(api: ApiFixture, *actions: str) -> list[AuditEntry]:
    with api.store.view() as tx:
        return [one for one in tx.audit.latest(limit=1000) if one.action in actions]


def test_a_denied_request_is_audited_once_a_minute(api: ApiFixture) -> None:
    for _ in range(50):
        assert api.get("/api/v1/users", "ada").status_code == 403
    [denied] = audited(api, "DENIED")
    assert (denied.user_id, denied.object_id) == (api.users["ada"].id, "list_users")
    assert denied.changes == {"reason": [None, "not_allowed"]}
    assert denied.address == "127.0.0.1"
    api.clock.at += timedelta(minutes=1)
    assert api.get("/api/v1/users", "ada").status_code == 403
    assert audited(api, "DENIED")[0].changes["repeated"] == [None, 49]


def test_invalid_credentials_are_audited_without_their_values(api: ApiFixture) -> None:
    """Expired tokens are not audited: every token expires."""
    for n in range(20):
        sent = {"Authorization": f"Bearer forged-{n}"}
        assert api.get("/api/v1/schedules", None, headers=sent).status_code == 401
    [refused] = audited(api, "CREDENTIAL_REFUSED")
    assert "forged" not in str(refused)
    api.clock.at += timedelta(minutes=16)
    assert api.get("/api/v1/schedules", "ada").status_code == 401
    assert api.get("/api/v1/schedules", None).status_code == 401
    assert len(audited(api, "CREDENTIAL_REFUSED")) == 1


@pytest.mark.parametrize("path", ["auth/refresh", "token/refresh", "v1/auth/refresh"])
def test_an_invalid_refresh_token_is_audited(api: ApiFixture, path: str) -> None:
    """Forged tokens and those of ended sessions, but not expired ones."""
    pair = api.deps.login.login("ada", PASSWORD)
    for token in (pair.access, "forged.forged.forged"):
        assert api.post(f"/api/{path}", None, {"refresh": token}).status_code == 401
    [refused] = audited(api, "CREDENTIAL_REFUSED")
    assert refused.changes == {"reason": [None, "unauthenticated"]}
    assert "forged" not in str(refused)
    api.clock.at += timedelta(days=2)
    assert api.post(f"/api/{path}", None, {"refresh": pair.refresh}).status_code == 401
    assert len(audited(api, "CREDENTIAL_REFUSED")) == 1


def test_an_invalid_metrics_token_is_audited(api: ApiFixture) -> None:
    assert api.get("/metrics", None).status_code == 401
    assert not audited(api, "CREDENTIAL_REFUSED")
    assert api.get("/metrics", None, headers={"Authorization": "Bearer no"}).status_code == 401
    assert len(audited(api, "CREDENTIAL_REFUSED")) == 1


def test_a_cross_origin_request_is_audited(api: ApiFixture) -> None:
    page = make_page(api, HTTP)
    page.login()
    page.ask("DELETE", "/api/v1/auth/session", Origin="https://evil.example")
    page.login(Origin="https://evil.example")
    found = {one.object_id for one in audited(api, "DENIED")}
    assert found == {"open_browser_session", "close_browser_session"}


def test_a_throttled_login_is_audited_but_an_ordinary_request_is_not(api: ApiFixture) -> None:
    api = limited(api, login=Rate(1, 60), user=Rate(1, 60), anonymous=Rate(99, 60))
    body = {"username": "ada", "password": PASSWORD}
    assert [api.post("/api/v1/auth/login", None, body).status_code for _ in range(3)][1:] == [
        429, 429,
    ]  # fmt: skip
    assert [api.get("/api/v1/jobs").status_code for _ in range(2)] == [200, 429]
    [throttled] = audited(api, "SIGN_IN_THROTTLED")
    assert throttled.object_id == "login"


def test_an_unverified_login_is_audited_once(api: ApiFixture) -> None:
    body = {"email": "una@example.org", "password": PASSWORD}
    assert api.post("/api/login", None, body).status_code == 403
    assert len(audited(api, "LOGIN_FAILED", "DENIED")) == 1


def test_a_failing_audit_does_not_change_the_response(api: ApiFixture) -> None:
    @define
    class Reading:
        store: Any

        def begin(self, *, single_statement: bool = False) -> Any:
            raise Unavailable("It takes no writes.")

        def view(self) -> Any:
            return self.store.view()

    login_service = evolve(api.deps.login, store=Reading(api.store))
    parts = evolve(api.deps, login=login_service)
    reading = evolve(api, deps=parts, client=falcon.testing.TestClient(build_app(parts)))
    assert reading.get("/api/v1/users", "ada").status_code == 403
