"""Documentation pages load no resource from another server."""

import re
from typing import Any

import pytest

from tests.adapters.http.conftest import ApiFixture
from workbell.adapters.http.web.middleware import HttpSettings

PAGES = ["/api/docs/", "/api/schema/swagger-ui/", "/api/redoc/", "/api/schema/redoc/"]
FILES = [
    "page.css", "swagger-ui/swagger-ui.css", "swagger-ui/swagger-ui-bundle.js",
    "swagger-ui/start.js", "redoc/redoc.standalone.js", "redoc/start.js",
]  # fmt: skip
LOADS = re.compile(
    r"""(?:src|href)\s*[=:]\s*["'](https?:)?//[^"']+\.(?:svg|png|js|css|woff2?)["']"""
)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_loads_only_resources_of_this_server(documented: ApiFixture, path: str) -> None:
    page = documented.get(path, None)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert '<meta charset="utf-8">' in page.text
    assert "//" not in page.text.replace("<!doctype", "")
    loaded = re.findall(r'(?:src|href|data-schema)="([^"]+)"', page.text)
    assert len(loaded) >= 4
    assert loaded.pop(0) == "data:,"  # an empty icon keeps browsers from requesting one
    for address in loaded:
        assert address.startswith("/api/")
        assert documented.get(address, None).status_code == 200


@pytest.mark.parametrize("path", PAGES)
def test_the_content_security_policy_allows_only_this_server(
    documented: ApiFixture, path: str
) -> None:
    policy = documented.get(path, None).headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self'"
    assert rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"
    for rule in rules.values():
        assert set(rule.split()) <= {"'self'", "'none'", "'unsafe-inline'", "data:", "blob:"}


@pytest.mark.parametrize("name", FILES)
def test_files_have_a_media_type_and_an_etag(documented: ApiFixture, name: str) -> None:
    got = documented.get(f"/api/static/{name}", None)
    kind = "text/css" if name.endswith("css") else "text/javascript"
    assert got.headers["content-type"] == f"{kind}; charset=utf-8"
    assert "max-age" in got.headers["cache-control"]
    headers = {"If-None-Match": got.headers["etag"]}
    assert documented.get(f"/api/static/{name}", None, headers=headers).status_code == 304
    assert "cdn.redoc.ly" not in got.text
    assert "sourceMappingURL=swagger" not in got.text
    assert LOADS.search(got.text) is None


@pytest.mark.parametrize(
    "name",
    ["../app.py", "..%2fapp.py", "swagger-ui/../../app.py", "swagger-ui/..%2f..%2fapp.py",
     "%2e%2e/app.py", "//etc/passwd", "swagger-ui", "", "missing.js", "start.js"],
)  # fmt: skip
def test_no_path_escapes_the_static_folder(documented: ApiFixture, name: str) -> None:
    assert documented.get(f"/api/static/{name}", None).status_code == 404


@pytest.mark.parametrize("path", ["/", "/admin/", "/monitor/"])
def test_old_paths_redirect_to_the_docs(documented: ApiFixture, path: str) -> None:
    led = documented.get(path, None)
    assert (led.status_code, led.headers["location"]) == (302, "/api/docs/")


def test_licences_are_served_with_the_files_they_cover(documented: ApiFixture) -> None:
    for name in ("swagger-ui/LICENSE.txt", "redoc/LICENSE.txt", "NOTICE.txt"):
        assert documented.get(f"/api/static/{name}", None).status_code == 200


def test_the_pages_can_be_disabled(make_api: Any) -> None:
    api = make_api(HttpSettings(docs=False))
    for path in (
        *PAGES,
        "/api/schema/",
        "/",
    ):  # `api.get` would check them against the OpenAPI document
        found = api.client.simulate_get(path, headers={"Host": "localhost"})
        assert found.status_code == 404
