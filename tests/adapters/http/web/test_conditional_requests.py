"""Conditional requests: If-None-Match."""

import pytest
from attrs import evolve

from tests.adapters.http.conftest import ApiFixture
from workbell.domain.delivery.destination import DestinationId

DESTINATION = "/api/v1/destinations/1"
CHANGES = {
    "/api/v1/schedules/1": {"name": "Another"},
    "/api/v1/goals/1": {"category": "Minor"},
    DESTINATION: {"concurrency": 2},
}


@pytest.fixture
def api(api: ApiFixture) -> ApiFixture:
    """Return an interface with a schedule, a goal and a destination."""
    api.schedule()
    api.goal()
    api.destination(api.account()["id"], url="https://example.com/hook")
    return api


@pytest.mark.parametrize("path", CHANGES)
def test_an_unchanged_response_is_304_without_a_body(api: ApiFixture, path: str) -> None:
    tag = api.get(path).headers["etag"]
    for header in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = api.call("GET", path, "ada", headers={"If-None-Match": header})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        assert "content-type" not in again.headers


@pytest.mark.parametrize("path", CHANGES)
def test_a_changed_response_is_sent_completely(api: ApiFixture, path: str) -> None:
    tag = api.get(path).headers["etag"]
    assert api.call("PATCH", path, "ada", CHANGES[path]).status_code == 200
    again = api.call("GET", path, "ada", headers={"If-None-Match": tag})
    assert (again.status_code, again.json) == (200, api.get(path).json)
    assert again.headers["etag"] != tag
    for header in ('"v2"', tag[:-2], tag[1:-1], '""'):
        assert api.call("GET", path, "ada", headers={"If-None-Match": header}).status_code == 200


def test_a_response_that_changes_without_a_new_version_is_sent(api: ApiFixture) -> None:
    """Failures of a destination change its state, but not its version."""
    before = api.get(DESTINATION)
    with api.store.begin() as tx:
        destination = tx.destinations.get_for_update(DestinationId(1))
        tx.destinations.replace(evolve(destination, is_active=False, disabled_reason="410"))
    headers = {"If-None-Match": before.headers["etag"]}
    after = api.call("GET", DESTINATION, "ada", headers=headers)
    assert (after.status_code, after.json["version"]) == (200, before.json["version"])
    assert after.json["state"] == "disabled"


@pytest.mark.parametrize("path", CHANGES)
def test_the_tag_of_a_response_is_a_version_for_if_match(api: ApiFixture, path: str) -> None:
    headers = {"If-Match": api.get(path).headers["etag"]}
    assert api.call("PATCH", path, "ada", CHANGES[path], headers=headers).status_code == 200
    assert api.call("PATCH", path, "ada", CHANGES[path], headers=headers).status_code == 412


def test_if_none_match_does_not_hide_errors(api: ApiFixture) -> None:
    for path in ("/api/v1/goals/9", "/api/v1/nowhere"):
        assert api.call("GET", path, "ada", headers={"If-None-Match": "*"}).status_code == 404


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize("path", CHANGES)
def test_an_excluded_version_is_not_changed(api: ApiFixture, method: str, path: str) -> None:
    before = api.get(path)
    body = CHANGES[path] if method == "PATCH" else None
    for header in (before.headers["etag"], '"v1"', 'W/"v1"', '"other", "v1"', "*"):
        refused = api.call(method, path, "ada", body, headers={"If-None-Match": header})
        assert (refused.status_code, refused.json["code"]) == (412, "version_excluded")
        assert (refused.json["version"], refused.headers["etag"]) == (1, '"v1"')
        assert "version 1" in refused.json["detail"]
    assert api.get(path).json == before.json


@pytest.mark.parametrize("path", CHANGES)
def test_a_version_that_is_not_excluded_is_changed(api: ApiFixture, path: str) -> None:
    headers = {"If-None-Match": '"v7", "other"'}
    assert api.call("PATCH", path, "ada", CHANGES[path], headers=headers).status_code == 200


def test_an_excluded_version_needs_an_object(api: ApiFixture) -> None:
    for method in ("PATCH", "DELETE"):
        missing = api.call(method, "/api/v1/goals/9", "ada", {}, headers={"If-None-Match": "*"})
        assert missing.status_code == 404
