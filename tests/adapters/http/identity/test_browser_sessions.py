"""Browser sessions: the cookie, CSRF protection and permissions."""

from pathlib import Path
from typing import Any

import falcon.testing
import pytest
from attrs import define, evolve

from tests.adapters.http.conftest import PASSWORD, ApiFixture, build_api
from workbell.adapters.http.app import build_app, make_operations
from workbell.adapters.http.web.browser_sessions import CSRF_HEADER, SAFE_METHODS
from workbell.adapters.http.web.middleware import HttpSettings
from workbell.adapters.http.web.operations import Access, AnyOperation, is_integer_parameter
from workbell.adapters.rate_limits.memory import MemoryRateLimiter
from workbell.domain.identity.session import SessionKind
from workbell.domain.rate_limits.policy import Policies, Rate
from workbell.services.rate_limits import RateLimiting

HTTPS, HTTP = "https://bell.example.org", "http://localhost:8000"
SESSION = "/api/v1/auth/session"
LOGOUT = "/api/v1/auth/logout"
OPERATIONS = {one.name: one for one in make_operations(build_api(Path()).deps)}
GUARDED = [name for name, one in OPERATIONS.items() if one.access is not Access.ANYONE]
OURS = [name for name in GUARDED if OPERATIONS[name].by_cookie]
UNSAFE = [name for name in OURS if OPERATIONS[name].method not in SAFE_METHODS]


@define
class Page:
    """A page of the service in a user's browser."""

    api: ApiFixture
    url: str
    cookie: str = ""
    csrf: str = ""

    def ask(self, method: str, path: str, json: Any = None, **headers: str | None) -> Any:
        """Send a request as the page does; headers given as None are omitted."""
        sent: dict[str, str | None] = {"Cookie": self.cookie or None}
        if method not in SAFE_METHODS:
            sent |= {"Origin": self.url, CSRF_HEADER: self.csrf or None}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        kept = {name: value for name, value in sent.items() if value is not None}
        return self.api.call(method, path, None, json, headers=kept)

    def login(self, name: str = "ada", password: str = PASSWORD, **headers: str | None) -> Any:
        answer = self.ask("POST", SESSION, {"username": name, "password": password}, **headers)
        if answer.status_code == 200:
            self.cookie = answer.headers["set-cookie"].partition(";")[0]
            self.csrf = answer.json["csrf_token"]
        return answer

    def call(self, operation: AnyOperation, **headers: str | None) -> int:
        names = {name: 1 if is_integer_parameter(name) else "x" for name in operation.path_names}
        path = operation.path.format(**names)
        return int(self.ask(operation.method, path, **headers).status_code)


def make_page(api: ApiFixture, url: str) -> Page:
    parts = evolve(api.deps, settings=HttpSettings(public_url=url, docs=False))
    client = falcon.testing.TestClient(build_app(parts))
    return Page(evolve(api, deps=parts, client=client), url)


@pytest.fixture(params=[HTTPS, HTTP])
def page(request: pytest.FixtureRequest, api: ApiFixture) -> Page:
    return make_page(api, request.param)


def test_the_cookie_has_all_protective_attributes(api: ApiFixture) -> None:
    header = make_page(api, HTTPS).login().headers["set-cookie"]
    assert header.startswith("__Host-workbell=wbs_")
    assert set(header.split("; ")[1:]) == {"Path=/", "HttpOnly", "SameSite=Lax", "Secure"}
    plain = make_page(api, HTTP).login()
    assert plain.headers["set-cookie"].startswith("workbell=wbs_")
    assert "Secure" not in plain.headers["set-cookie"]
    assert plain.headers["cache-control"] == "no-store"


def test_a_page_reads_its_user_and_csrf_token(page: Page) -> None:
    """Also after a reload, when it has only the cookie."""
    assert page.ask("GET", SESSION).status_code == 401
    opened = page.login().json
    shown = page.ask("GET", SESSION)
    assert shown.json == opened
    assert shown.json["user"]["username"] == "ada"
    assert shown.headers["cache-control"] == "no-store"
    listed = page.ask("GET", "/api/v1/schedules")
    assert (listed.status_code, listed.headers["cache-control"]) == (200, "private, no-cache")
    body = {"task_definition": 1, "cron_expression": "0 9 * * *", "parameters": {"email": "e"}}
    assert page.ask("POST", "/api/v1/schedules", body).json["user_username"] == "ada"


def test_a_bearer_token_has_no_csrf_token(api: ApiFixture) -> None:
    assert api.get(SESSION).json["csrf_token"] is None


def test_unsafe_methods_require_the_csrf_token_of_the_session(page: Page) -> None:
    page.login("bob")
    bobs = page.csrf
    page.login()
    for token in (None, "", "wrong", bobs, "\u00e9"):
        refused = page.ask("POST", LOGOUT, **{CSRF_HEADER: token})
        assert refused.status_code == 403, token
    assert (
        page.ask("POST", LOGOUT, ClientInfo=None, Sec_Fetch_Site="same-origin").status_code == 200
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://bell.example.org.evil.example"},
        {"Origin": "http://bell.example.org", "Sec_Fetch_Site": "cross-site"},
        {"Origin": "https://bell.example.org", "Sec_Fetch_Site": "cross-site"},
        {"Origin": None, "Sec_Fetch_Site": "cross-site"},
        {"Origin": None, "Sec_Fetch_Site": "same-site"},
        {"Origin": None},
    ],
)
def test_requests_from_another_origin_are_rejected(page: Page, headers: dict[str, Any]) -> None:
    page.login()
    assert page.ask("POST", LOGOUT, **headers).status_code == 403
    body = {"username": "bob", "password": PASSWORD}
    refused = page.ask("POST", SESSION, body, **headers)
    assert refused.status_code == 403
    assert "set-cookie" not in refused.headers
    if headers != {"Origin": None}:  # old browsers send neither header on reads
        assert page.ask("GET", SESSION, **headers).status_code == 403
    assert page.ask("GET", SESSION).json["user"]["username"] == "ada"


def test_every_unsafe_operation_by_cookie_requires_csrf_token_and_own_origin(
    api: ApiFixture,
) -> None:
    page = make_page(api, HTTP)
    for name in UNSAFE:
        page.login("root")
        assert page.call(OPERATIONS[name], **{CSRF_HEADER: None}) == 403, name
        assert page.call(OPERATIONS[name], Origin="https://evil.example") == 403, name
        assert page.call(OPERATIONS[name]) not in {401, 403}, name


def test_a_cookie_is_accepted_on_canonical_routes_only(api: ApiFixture) -> None:
    page = make_page(api, HTTP)
    for name in GUARDED:
        page.login("root")
        status = page.call(OPERATIONS[name])
        assert (status == 401) is (name not in OURS), (name, status)
        assert page.call(OPERATIONS[name], Sec_Fetch_Site="cross-site") in {401, 403}, name


def test_a_bearer_token_takes_precedence_over_a_cookie(page: Page, api: ApiFixture) -> None:
    """It needs no CSRF token: browsers do not send it on their own."""
    page.login()
    bobs = f"Bearer {api.tokens['bob']}"
    assert page.ask("GET", SESSION, Authorization=bobs).json["user"]["username"] == "bob"
    assert page.ask("GET", SESSION, Authorization="Bearer x").status_code == 401
    out = page.ask("POST", LOGOUT, Authorization=bobs, ClientInfo=None, **{CSRF_HEADER: None})
    assert out.status_code == 200
    assert page.ask("GET", SESSION).status_code == 200
    _, _, value = page.cookie.partition("=")
    stolen = page.ask("GET", SESSION, Cookie=None, Authorization=f"Bearer {value}")
    assert stolen.status_code == 401


def test_signing_in_again_ends_the_previous_browser_session(page: Page) -> None:
    """A planted cookie is therefore worthless (session fixation)."""
    page.login("bob")
    planted = page.cookie
    page.login("ada")
    assert page.cookie != planted
    assert page.ask("GET", SESSION, Cookie=planted).status_code == 401
    assert page.ask("GET", SESSION).json["user"]["username"] == "ada"


def test_logging_out_deletes_the_cookie(page: Page) -> None:
    page.login()
    assert page.ask("DELETE", SESSION, **{CSRF_HEADER: None}).status_code == 403
    out = page.ask("DELETE", SESSION)
    assert out.status_code == 204
    assert "Max-Age=0" in out.headers["set-cookie"]
    assert "storage" in out.headers["clear-site-data"]
    assert page.ask("GET", SESSION).status_code == 401


def test_an_invalid_cookie_is_401(page: Page, api: ApiFixture) -> None:
    page.login()
    name, _, good = page.cookie.partition("=")
    opaque = api.deps.login.login_opaque("ada", PASSWORD)
    for value in (
        "x", "", f"{name}=", f"{name}=wbs_a_b", f"{name}={good}x", f"{name}={good}; {name}={good}",
        f"{name}={opaque.token.text}", f"{name}=wbk_a_b", f'{name}="\x7f', f"{name}={good[:-1]}",
        f"other{name}={good}",
    ):  # fmt: skip
        assert page.ask("GET", SESSION, Cookie=value).status_code == 401, value


def test_a_wrong_password_sets_no_cookie(page: Page) -> None:
    refused = page.login(password="wrong")
    assert refused.status_code == 401
    assert "set-cookie" not in refused.headers


def test_a_browser_session_is_listed_with_its_kind(page: Page, api: ApiFixture) -> None:
    page.login()
    listed = api.get("/api/v1/auth/sessions").json["results"]
    assert {one["kind"] for one in listed} == {SessionKind.BROWSER, SessionKind.TOKENS}


def test_browser_requests_have_their_own_rate_limit(api: ApiFixture) -> None:
    """Ten a second for each session, not counted in the user's hourly limit."""
    off = dict.fromkeys(("anonymous", "login", "ingest", "free", "premium"))
    policies = Policies.of(user=Rate(1, 3600), **off)
    rate_limits = RateLimiting(
        store=api.store, limiter=MemoryRateLimiter(), clock=api.clock, policies=policies
    )
    api.deps = evolve(api.deps, rate_limits=rate_limits)
    page = make_page(api, HTTP)
    page.login()
    statuses = [page.ask("GET", SESSION).status_code for _ in range(11)]
    assert statuses == [200] * 10 + [429]
    assert 'console";q=10;w=1' in page.ask("GET", SESSION).headers["ratelimit-policy"]
    page.login("bob")
    assert page.ask("GET", SESSION).status_code == 200
