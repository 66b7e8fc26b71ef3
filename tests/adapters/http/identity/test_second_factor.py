"""The second factor over HTTP: sign-in routes, enrolment and removal."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.http.conftest import PASSWORD, ApiFixture, build_api
from tests.adapters.http.identity.test_browser_sessions import HTTP, SESSION, make_page
from workbell.adapters.http.app import make_operations
from workbell.adapters.http.web.operations import Access
from workbell.domain.identity.one_time_code import MAX_WRONG_PER_DAY
from workbell.domain.identity.second_factor import STEP, SecondFactorPolicy
from workbell.domain.rate_limits.policy import SECOND_FACTOR_FAILURES

OWN = "/api/v1/auth/second-factor"
LOGINS: Mapping[str, str] = {
    "/api/v1/auth/login": "username",
    SESSION: "username",
    "/api/auth/login": "username",
    "/api/token": "username",
    "/users/login": "email",
    "/api/login": "email",
}
"""Every route that exchanges a password for a token, with its login field."""
ENROLLING = {
    "get_second_factor", "begin_second_factor", "confirm_second_factor", "get_me", "logout",
    "get_browser_session", "close_browser_session",
}  # fmt: skip
OPERATIONS = {one.name: one for one in make_operations(build_api(Path()).deps)}
GUARDED = [name for name, one in OPERATIONS.items() if one.access is not Access.ANYONE]


def sign_in(api: ApiFixture, path: str, password: str = PASSWORD, **more: str) -> Any:
    name = LOGINS[path]
    body = {name: "ada" if name == "username" else "ada@example.org", "password": password, **more}
    return api.post(path, None, body, headers={"Sec-Fetch-Site": "same-origin"})


def test_every_sign_in_route_is_listed() -> None:
    taking = {
        one.path
        for one in OPERATIONS.values()
        if (one.access is Access.ANYONE and one.request and "code" in one.request.__annotations__)
        or one.name.endswith("login")
    }  # fmt: skip
    assert taking == set(LOGINS)


@pytest.mark.parametrize("path", LOGINS)
def test_every_sign_in_route_requires_a_code_and_accepts_it_once(
    api: ApiFixture, path: str
) -> None:
    assert sign_in(api, path).status_code == 200
    api.enrol()
    asked = sign_in(api, path)
    assert (asked.status_code, asked.json["code"]) == (403, "second_factor_required")
    refusing = 400 if path == "/api/auth/login" else 401
    wrong = sign_in(api, path, code="000000")
    assert (wrong.status_code, wrong.json["code"]) == (refusing, "wrong_second_factor")
    typed = api.factor_code()
    stranger = sign_in(api, path, "wrong, 99", code=typed)
    assert (stranger.status_code, stranger.json["code"]) == (refusing, "wrong_credentials")
    assert sign_in(api, path, code=typed).status_code == 200
    assert sign_in(api, path, code=typed).status_code == refusing


@pytest.mark.parametrize("path", LOGINS)
def test_without_a_second_factor_the_code_is_ignored(api: ApiFixture, path: str) -> None:
    assert sign_in(api, path, code="123456").status_code == 200


def test_recovery_codes_are_accepted(api: ApiFixture) -> None:
    recovery = api.enrol()
    assert sign_in(api, "/api/v1/auth/login", code=recovery[0]).status_code == 200
    assert sign_in(api, "/api/v1/auth/login", code=recovery[0]).status_code == 401
    assert api.get(OWN).json["recovery_codes_left"] == 9


def test_secrets_shown_once_are_not_stored_in_plain_text(api: ApiFixture) -> None:
    begun = api.post(OWN, json={"current_password": PASSWORD})
    assert begun.headers["cache-control"] == "no-store"
    assert begun.json["uri"].startswith("otpauth://totp/Workbell:ada?secret=")
    shown = api.post(f"{OWN}/confirm", json={"code": api.factor_code()})
    assert shown.headers["cache-control"] == "no-store"
    with api.store.view() as tx:
        kept = repr((tx.second_factors.find(api.users["ada"].id), tx.audit.latest(limit=99)))
    for secret in (begun.json["secret"], *shown.json["recovery_codes"]):
        assert secret not in kept
        assert secret not in json.dumps(api.get(OWN).json)


def test_a_second_factor_is_shown_renewed_and_removed(api: ApiFixture) -> None:
    assert api.get(OWN).json == {
        "is_active": False, "is_required": False, "since": None, "recovery_codes_left": 0,
    }  # fmt: skip
    api.enrol()
    assert api.get(OWN).json["is_active"]
    both = {"current_password": PASSWORD, "code": api.factor_code()}
    assert len(api.post(f"{OWN}/recovery-codes", json=both).json["recovery_codes"]) == 10
    assert api.post(f"{OWN}/remove", json=both).status_code == 400, "the code was used"
    both["code"] = api.factor_code(steps=1)
    assert api.post(f"{OWN}/remove", json=both).status_code == 200
    assert api.post(f"{OWN}/remove", json=both).status_code == 409
    assert sign_in(api, "/api/v1/auth/login").status_code == 200


def test_a_superuser_removes_a_lost_second_factor(api: ApiFixture) -> None:
    api.enrol()
    path = f"/api/v1/users/{api.users['ada'].id}/second-factor"
    assert api.call("DELETE", path, "bob").status_code == 403
    assert api.call("DELETE", path, "root").status_code == 204
    assert api.get(OWN).status_code == 401, "the sessions have ended"
    assert sign_in(api, "/api/v1/auth/login").status_code == 200
    assert api.call("DELETE", path, "root").status_code == 204
    root = f"/api/v1/users/{api.users['root'].id}/second-factor"
    assert api.call("DELETE", root, "root").status_code == 409


def test_the_limit_of_wrong_codes_equals_that_of_emailed_codes() -> None:
    rate = SECOND_FACTOR_FAILURES.rate
    assert (rate.count, rate.seconds) == (MAX_WRONG_PER_DAY, 86_400)


# mandatory second factors


@pytest.fixture(scope="module")
def bound(tmp_path_factory: pytest.TempPathFactory) -> ApiFixture:
    """An application that requires second factors; no user has one."""
    api = build_api(tmp_path_factory.mktemp("bound"), duty=SecondFactorPolicy.EVERYONE)
    api.join("ada")
    api.join("root", is_super_user=True)
    return api


@pytest.mark.parametrize("name", GUARDED)
def test_before_enrolment_only_enrolment_operations_are_allowed(
    bound: ApiFixture, name: str
) -> None:
    operation = OPERATIONS[name]
    if name in {"logout", "close_browser_session"}:
        assert operation.allowed_while_enrolling
        return
    path = operation.path.format(**dict.fromkeys(operation.path_names, "1"))
    answer = bound.call(operation.method, path, "root")
    if name in ENROLLING:
        assert answer.status_code in {200, 400}
    else:
        assert (answer.status_code, answer.json["code"]) == (403, "second_factor_required")
        assert OWN in answer.json["detail"]


def test_before_enrolment_all_other_operations_are_refused(bound: ApiFixture) -> None:
    assert {one.name for one in OPERATIONS.values() if one.allowed_while_enrolling} == ENROLLING
    assert bound.get("/api/v1/jobs", "root").status_code == 403
    metrics = OPERATIONS["get_metrics"]
    answer = bound.call(metrics.method, metrics.path, "root")
    assert (answer.status_code, answer.json["code"]) == (403, "second_factor_required")
    [denied] = [
        one for one in trail(bound) if one.action == "DENIED" and one.object_id == "list_jobs"
    ]
    assert denied.changes == {"reason": [None, "second_factor_required"]}


def trail(api: ApiFixture) -> list[Any]:
    with api.store.view() as tx:
        return list(tx.audit.latest(limit=1000))


def test_enrolment_permits_all_operations_immediately(tmp_path: Path) -> None:
    api = build_api(tmp_path, duty=SecondFactorPolicy.SUPERUSERS)
    api.join("root", is_super_user=True)
    api.join("ada")
    assert api.get("/api/v1/jobs").status_code == 200
    assert api.get("/api/v1/jobs", "root").status_code == 403
    assert api.get(OWN, "root").json["is_required"]
    api.enrol("root")
    assert api.get("/api/v1/jobs", "root").status_code == 200


def test_enrolment_works_with_a_browser_session(tmp_path: Path) -> None:
    api = build_api(tmp_path, duty=SecondFactorPolicy.EVERYONE)
    api.join("ada")
    page = make_page(api, HTTP)
    page.login()
    assert page.ask("GET", "/api/v1/jobs").status_code == 403
    assert page.ask("GET", SESSION).status_code == 200
    assert page.ask("POST", OWN, {"current_password": PASSWORD}).status_code == 201
    confirmed = page.ask("POST", f"{OWN}/confirm", {"code": api.factor_code()})
    assert confirmed.status_code == 200
    assert page.ask("GET", "/api/v1/jobs").status_code == 200


def test_api_keys_of_users_who_must_enrol_continue_to_work(tmp_path: Path) -> None:
    api = build_api(tmp_path, duty=SecondFactorPolicy.NONE)
    api.join("ada")
    made = api.post("/api/v1/auth/api-keys", json={"name": "k", "scopes": ["read"]})
    api.enrol()
    api.tokens["ada"] = made.json["key"]
    assert api.get("/api/v1/jobs").status_code == 200
    assert api.get(OWN).status_code == 403, "but it does not handle the factor"


def test_the_time_step_is_thirty_seconds() -> None:
    assert STEP == 30
