"""Destinations over HTTP: secrets, headers, versions, commands."""

from typing import Any

import pytest
from attrs import evolve

from tests.adapters.http.conftest import ApiFixture
from workbell.domain.delivery.circuit_breaker import BreakerState, CircuitBreaker
from workbell.domain.delivery.destination import DestinationId
from workbell.domain.delivery.signature import parse_secret

ONE = "/api/v1/destinations/1"
OWN = "/api/v1/accounts/1/destinations"
BODY: dict[str, Any] = {
    "url": "https://example.com/hook",
    "headers": {"Authorization": "Bearer s3cr3t"},
}


@pytest.fixture
def shop(api: ApiFixture) -> ApiFixture:
    """Return an account with the Admin ada, the Normal user una and one destination."""
    api.member(api.account()["id"], "una")
    api.destination(1, **BODY)
    return api


def open_breaker(api: ApiFixture, **fields: Any) -> None:
    """Store an open breaker, as the sending side does."""
    with api.store.begin() as tx:
        destination = tx.destinations.get_for_update(DestinationId(1))
        breaker = CircuitBreaker(state=BreakerState.OPEN, failures=5, openings=1)
        tx.destinations.replace(evolve(destination, breaker=breaker, **fields))


def test_a_destination_is_shown_with_all_its_fields(api: ApiFixture) -> None:
    api.account()
    made = api.post(OWN, "ada", BODY)
    assert (made.status_code, made.headers["location"]) == (201, ONE)
    assert made.headers["etag"] == '"v1"'
    assert made.headers["cache-control"] == "no-store"
    assert made.json == api.get(ONE).json == api.get(OWN).json["results"][0]
    body = dict(made.json)
    assert len(parse_secret(body.pop("secret"))) == 32
    assert body == {
        "id": 1,
        "account": 1,
        "url": "https://example.com/hook",
        "http_method": "POST",
        "headers": {"Authorization": "***"},
        "event_types": [],
        "is_active": True,
        "state": "closed",
        "disabled_reason": None,
        "timeout_seconds": 15,
        "retry_delays": [],
        "rate_per_second": None,
        "concurrency": 4,
        "previous_secret_until": None,
        "created_at": "2026-05-04T12:00:00Z",
        "updated_at": "2026-05-04T12:00:00Z",
        "version": 1,
    }


def test_members_see_neither_the_secret_nor_the_values_of_headers(shop: ApiFixture) -> None:
    for caller in ("una", "root"):
        for answer in (shop.get(ONE, caller), shop.get(OWN, caller)):
            assert answer.status_code == 200
            assert '"secret"' not in answer.text
            assert "s3cr3t" not in answer.text


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": "http://localhost/"}, "url"),
        ({"url": ""}, "url"),
        ({"url": "https://example.com/" + "x" * 2048}, "url"),
        ({"http_method": "TRACE"}, "http_method"),
        ({"headers": {"Host": "x"}}, "headers.Host"),
        ({"headers": {"webhook-id": "x"}}, "headers.webhook-id"),
        ({"headers": {"X-A": "b\r\nX-B: c"}}, "headers.X-A"),
        ({"headers": {"X-A": 1}}, "headers.X-A"),
        ({"headers": {"X-New": "***"}}, "headers.X-New"),
        ({"headers": {f"X-{n}": "x" for n in range(51)}}, "headers"),
        ({"event_types": ["Order"]}, "event_types.0"),
        ({"event_types": ["x"] * 101}, "event_types"),
        ({"retry_delays": [0]}, "retry_delays.0"),
        ({"retry_delays": [1] * 21}, "retry_delays"),
        ({"timeout_seconds": 31}, "timeout_seconds"),
        ({"rate_per_second": 0}, "rate_per_second"),
        ({"concurrency": 101}, "concurrency"),
        ({"secret": "whsec_x"}, "secret"),
    ],
    ids=str,
)
def test_invalid_input_names_the_field(shop: ApiFixture, body: dict[str, Any], field: str) -> None:
    made = shop.post(OWN, "ada", {"url": BODY["url"], **body})
    changed = shop.call("PATCH", ONE, "ada", body)
    for refused in (made, changed):
        assert (refused.status_code, list(refused.json["field_errors"])) == (400, [field])
    assert shop.get(ONE).json["version"] == 1
    assert shop.get(OWN).json["count"] == 1


def test_given_fields_are_changed_and_the_others_stay(shop: ApiFixture) -> None:
    body = {"url": "https://example.org/", "event_types": ["order.*", "*"], "rate_per_second": 5}
    for method in ("PUT", "PATCH"):
        changed = shop.call(method, ONE, "ada", {**body, "concurrency": 2})
        assert changed.status_code == 200
        assert {**changed.json, **body, "concurrency": 2} == changed.json
        assert changed.json["headers"] == {"Authorization": "***"}
    missing = shop.call("PUT", ONE, "ada", {"concurrency": 1})
    assert (missing.status_code, list(missing.json["field_errors"])) == (400, ["url"])


def test_a_normal_user_does_not_send_stored_values_to_another_host(shop: ApiFixture) -> None:
    refused = shop.call("PATCH", ONE, "una", {"url": "https://evil.example/"})
    assert refused.status_code == 400
    assert list(refused.json["field_errors"]) == ["headers.Authorization"]
    moved = shop.call("PATCH", ONE, "una", {"url": "https://evil.example/", "headers": {}})
    assert (moved.status_code, moved.json["headers"]) == (200, {})


def test_a_stale_change_is_412_with_the_fields_changed_since(shop: ApiFixture) -> None:
    def with_tag(method: str, tag: str, body: Any = None) -> Any:
        return shop.call(method, ONE, "ada", body, headers={"If-Match": tag})

    changed = with_tag("PATCH", '"v1"', {"concurrency": 2})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"v2"')
    for method in ("PATCH", "PUT", "DELETE"):
        stale = with_tag(method, '"v1"', {"url": BODY["url"]})
        assert (stale.status_code, stale.json["changed"]) == (412, ["concurrency"])
    assert with_tag("PATCH", '"v2"', {"concurrency": 3}).status_code == 200
    assert with_tag("DELETE", '"v3"').status_code == 204


def test_a_destination_is_paused_resumed_and_enabled(shop: ApiFixture) -> None:
    paused = shop.call("PATCH", ONE, "una", {"is_active": False}).json
    assert (paused["is_active"], paused["state"], paused["disabled_reason"]) == (
        False, "disabled", None,
    )  # fmt: skip
    assert shop.call("PATCH", ONE, "una", {"is_active": True}).json["state"] == "closed"
    open_breaker(shop, is_active=False, disabled_reason="gone")
    assert shop.call("PATCH", ONE, "una", {"is_active": True}).status_code == 403
    assert shop.post(f"{ONE}/enable", "una").status_code == 403
    enabled = shop.post(f"{ONE}/enable")
    assert (enabled.status_code, enabled.json["state"]) == (200, "closed")
    assert enabled.json["disabled_reason"] is None


def test_a_rotated_secret_is_shown_with_the_end_of_the_overlap(shop: ApiFixture) -> None:
    before = shop.get(ONE).json["secret"]
    assert shop.post(f"{ONE}/rotate_secret", "una").status_code == 403
    rotated = shop.post(f"{ONE}/rotate_secret")
    assert rotated.status_code == 200
    assert rotated.json["secret"] != before
    assert rotated.json["previous_secret_until"] == "2026-05-05T12:00:00Z"
    assert shop.get(ONE).json == rotated.json


def test_a_test_event_is_enqueued_also_for_a_disabled_destination(shop: ApiFixture) -> None:
    shop.call("PATCH", ONE, "ada", {"is_active": False})
    assert shop.post(f"{ONE}/test", "una").status_code == 403
    sent = shop.post(f"{ONE}/test")
    assert (sent.status_code, sent.headers["location"]) == (202, "/api/v1/deliveries/1")
    assert (sent.json["event_type"], sent.json["state"]) == ("workbell.test", "pending")
    assert sent.json["destination_url"] == BODY["url"]
    assert shop.get("/api/v1/deliveries/1").json["event_id"] == sent.json["event_id"]


def test_statistics_of_an_unused_destination_have_no_rate(shop: ApiFixture) -> None:
    assert shop.get(f"{ONE}/stats", "una").json == {
        "succeeded": 0,
        "failed": 0,
        "success_rate": None,
        "p50_ms": None,
        "p95_ms": None,
        "pending": 0,
        "oldest_pending_at": None,
        "state": "closed",
    }


def test_destinations_of_others_are_not_found(shop: ApiFixture) -> None:
    for method, path in (
        ("GET", ONE),
        ("PUT", ONE),
        ("PATCH", ONE),
        ("DELETE", ONE),
        ("POST", f"{ONE}/enable"),
        ("POST", f"{ONE}/test"),
        ("POST", f"{ONE}/rotate_secret"),
        ("GET", f"{ONE}/stats"),
    ):
        assert shop.call(method, path, "bob").status_code == 404, (method, path)
    assert shop.call("DELETE", ONE, "una").status_code == 403
    assert shop.post(OWN, "una", BODY).status_code == 403
