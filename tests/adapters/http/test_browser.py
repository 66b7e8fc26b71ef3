"""Browser sessions: their cookie, and who may ask with it."""

from typing import Any

import falcon
import falcon.testing
import pytest
from attrs import define

from workbell.adapters.http.browser import CSRF_HEADER, Browser
from workbell.adapters.http.face import Face, FaceSettings, Problems
from workbell.adapters.system import UuidIds
from workbell.domain.errors import WorkbellError
from workbell.domain.sessions import SessionKind

from .conftest import PASSWORD, World

HTTPS, HTTP = "https://bell.example.org", "http://localhost:8000"


@define
class Page:
    """A console of three routes, as the real one will be built."""

    browser: Browser

    def on_post_login(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked = req.get_media()
        self.browser.login(req, resp, asked["username"], asked["password"])
        resp.media = {}

    def on_post_logout(self, req: falcon.Request, resp: falcon.Response) -> None:
        self.browser.logout(req, resp)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"user": self.browser.actor(req).username, "csrf": self.browser.csrf(req)}

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"user": self.browser.actor(req).username}


@define
class Console:
    client: falcon.testing.TestClient
    url: str
    cookie: str = ""

    def ask(self, method: str, path: str = "/", json: Any = None, **headers: str) -> Any:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent.setdefault("Host", "localhost")
        if self.cookie:
            sent.setdefault("Cookie", self.cookie)
        return self.client.simulate_request(method, path, json=json, headers=sent)

    def login(self, name: str = "ada", password: str = PASSWORD, **headers: str) -> Any:
        headers.setdefault("Origin", self.url)
        body = {"username": name, "password": password}
        answer = self.ask("POST", "/login", body, **headers)
        if answer.status_code == 200:
            self.cookie = answer.headers["set-cookie"].partition(";")[0]
        return answer

    def csrf(self) -> str:
        return str(self.ask("GET").json["csrf"])


def console_of(world: World, url: str) -> Console:
    settings = FaceSettings(public_url=url, allowed_hosts=("*",))
    app: Any = falcon.App(middleware=[Face.of(settings, UuidIds())], independent_middleware=True)
    app.add_error_handler(WorkbellError, Problems().known)
    page = Page(Browser(signing_in=world.parts.signing_in, public_url=url))
    app.add_route("/", page)
    app.add_route("/login", page, suffix="login")
    app.add_route("/logout", page, suffix="logout")
    return Console(falcon.testing.TestClient(app), url)


@pytest.fixture(params=[HTTPS, HTTP])
def console(request: pytest.FixtureRequest, world: World) -> Console:
    return console_of(world, request.param)


def test_the_cookie_is_as_closed_as_can_be(world: World) -> None:
    header = console_of(world, HTTPS).login().headers["set-cookie"]
    assert header.startswith("__Host-workbell=wbs_")
    assert set(header.split("; ")[1:]) == {"Path=/", "HttpOnly", "SameSite=Lax", "Secure"}
    plain = console_of(world, HTTP).login()
    assert plain.headers["set-cookie"].startswith("workbell=wbs_")
    assert "Secure" not in plain.headers["set-cookie"]
    assert plain.headers["cache-control"] == "no-store"


def test_a_page_knows_its_person(console: Console) -> None:
    assert console.ask("GET").status_code == 401
    console.login()
    assert console.ask("GET").json["user"] == "ada"
    fetched = {"Origin": console.url, "Sec_Fetch_Site": "same-origin"}
    changed = console.ask("POST", **fetched, **{CSRF_HEADER: console.csrf()})
    assert changed.json == {"user": "ada"}


def test_what_changes_something_needs_the_sessions_own_token(console: Console) -> None:
    console.login("bob")
    bobs = console.csrf()
    console.login()
    for token in ("", "wrong", bobs, "\u00e9"):
        refused = console.ask("POST", Origin=console.url, **{CSRF_HEADER: token})
        assert refused.status_code == 403, token
    assert console.ask("POST", Origin=console.url).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://bell.example.org.evil.example"},
        {"Origin": "http://bell.example.org", "Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {},
    ],
)
def test_a_page_of_somebody_elses_gets_nowhere(console: Console, headers: dict[str, str]) -> None:
    console.login()
    token = console.csrf()
    assert console.ask("POST", **headers, **{CSRF_HEADER: token}).status_code == 403
    sent = headers or {"Sec_Fetch_Site": "cross-site"}
    body = {"username": "ada", "password": PASSWORD}
    assert console.ask("POST", "/login", body, **sent).status_code == 403


def test_signing_in_again_ends_what_the_browser_had(console: Console, world: World) -> None:
    """So a planted cookie is worth nothing afterwards (session fixation)."""
    console.login("bob")
    planted = console.cookie
    console.login("ada")
    assert console.cookie != planted
    assert console.ask("GET", Cookie=planted).status_code == 401
    assert console.ask("GET").json["user"] == "ada"


def test_logging_out_takes_the_cookie_back(console: Console) -> None:
    console.login()
    refused = console.ask("POST", "/logout", Origin=console.url)
    assert refused.status_code == 403
    out = console.ask("POST", "/logout", Origin=console.url, **{CSRF_HEADER: console.csrf()})
    assert out.status_code == 200
    assert "Max-Age=0" in out.headers["set-cookie"]
    assert "storage" in out.headers["clear-site-data"]
    assert console.ask("GET").status_code == 401


def test_a_cookie_that_is_none_is_401(console: Console, world: World) -> None:
    console.login()
    name, _, good = console.cookie.partition("=")
    opaque = world.parts.signing_in.login_opaque("ada", PASSWORD)
    for value in (
        "x", "", f"{name}=", f"{name}=wbs_a_b", f"{name}={good}x", f"{name}={good}; {name}={good}",
        f"{name}={opaque.token.text}", f"{name}=wbk_a_b", f'{name}="\x7f', f"{name}={good[:-1]}",
        f"other{name}={good}",
    ):  # fmt: skip
        assert console.ask("GET", Cookie=value).status_code == 401, value


def test_the_api_takes_no_cookie(console: Console, world: World) -> None:
    """What takes none needs no protection against forged requests."""
    console.login()
    answer = world.get("/api/v1/auth/users/me", None, headers={"Cookie": console.cookie})
    assert answer.status_code == 401
    _, _, value = console.cookie.partition("=")
    bearer = {"Authorization": f"Bearer {value}"}
    assert world.get("/api/v1/auth/users/me", None, headers=bearer).status_code == 401


def test_a_wrong_password_sets_no_cookie(console: Console) -> None:
    refused = console.login(password="wrong")
    assert refused.status_code == 401
    assert "set-cookie" not in refused.headers


def test_without_a_cookie_there_is_no_csrf_token(world: World) -> None:
    browser = Browser(signing_in=world.parts.signing_in, public_url=HTTP)
    request = falcon.testing.create_req()
    with pytest.raises(WorkbellError):
        browser.csrf(request)


def test_a_browsers_session_is_listed_as_one(console: Console, world: World) -> None:
    console.login()
    listed = world.get("/api/v1/auth/sessions").json["results"]
    assert {one["kind"] for one in listed} == {SessionKind.BROWSER, SessionKind.TOKENS}
