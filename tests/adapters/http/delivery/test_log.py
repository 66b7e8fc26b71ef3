"""Events and deliveries over HTTP: lists, filters, cursors, retry and replay."""

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from tests.adapters.http.conftest import NOON, ApiFixture
from workbell.domain.delivery.delivery import DeliveryAttempt, DeliveryId, DeliveryState, SendResult
from workbell.domain.delivery.destination import DestinationId

STATES = [state.label for state in DeliveryState if state is not DeliveryState.SENDING]


@pytest.fixture
def shop(api: ApiFixture) -> dict[str, Any]:
    """Ada's account, with Bob as a normal user and one destination (1)."""
    account = api.account()
    api.member(account["id"], "bob")
    api.destination(account["id"])
    return account


def logs(api: ApiFixture, query: str = "", caller: str = "ada") -> dict[str, Any]:
    found = api.get(f"/api/v1/accounts/1/logs{query}", caller)
    assert found.status_code == 200, found.json
    return dict(found.json)


def ids(page: dict[str, Any]) -> list[int]:
    return [row["id"] for row in page["results"]]


def publish_each_state(api: ApiFixture) -> None:
    """Publish an event for every state; the n-th delivery has id n and state n."""
    for n, state in enumerate(STATES, 1):
        api.clock.at = NOON + timedelta(minutes=n)
        api.publish(1, event_id=f"e{n}", event_type=f"type{n % 2}")
        api.set_delivery(n, DeliveryState[state.upper()])


def test_a_delivery_is_listed_with_every_field(api: ApiFixture, shop: dict[str, Any]) -> None:
    api.publish(1, event_id="evt_1")
    [row] = logs(api)["results"]
    assert row == {
        "id": 1, "event_id": "evt_1", "event_type": "order.paid", "account": 1, "destination": 1,
        "destination_url": "https://example.com/hook", "state": "pending", "attempts": 0,
        "next_attempt_at": "2026-05-04T12:00:00Z", "created_at": "2026-05-04T12:00:00Z",
        "completed_at": None, "last_status_code": None, "last_error": None,
    }  # fmt: skip
    [event] = api.get("/api/v1/accounts/1/events").json["results"]
    assert event == {
        "event_id": "evt_1", "event_type": "order.paid", "account": 1, "data": {"n": 1},
        "created_at": "2026-05-04T12:00:00Z",
    }  # fmt: skip


def test_deliveries_are_filtered_by_state(api: ApiFixture, shop: dict[str, Any]) -> None:
    publish_each_state(api)
    for n, state in enumerate(STATES, 1):
        page = logs(api, f"?state={state}")
        assert (ids(page), page["count"]) == ([n], 1)
        assert page["results"][0]["state"] == state
    assert ids(logs(api, "?state=failed,%20pending")) == [5, 1]
    assert ids(logs(api, "?state=sending")) == []


def test_a_delivery_whose_job_runs_is_sending(api: ApiFixture, shop: dict[str, Any]) -> None:
    api.publish(1)
    with api.store.begin() as tx:
        lease = NOON + timedelta(minutes=1)
        tx.jobs.claim(
            "deliveries", worker="w", now=NOON, lease_until=lease, limit=9, free_threads=9
        )  # fmt: skip
    assert ids(logs(api, "?state=sending")) == [1]
    assert ids(logs(api, "?state=pending")) == []
    assert api.get("/api/v1/deliveries/1").json["state"] == "sending"
    assert api.post("/api/v1/deliveries/1/retry").status_code == 409


def test_deliveries_are_filtered_by_event_destination_and_time(
    api: ApiFixture, shop: dict[str, Any]
) -> None:
    publish_each_state(api)
    api.destination(1, url="https://example.org/")
    api.publish(1, event_id="e7")
    assert ids(logs(api, "?event_id=e2")) == [2]
    assert ids(logs(api, "?event_id=E2")) == []
    assert ids(logs(api, "?destination=2")) == [8]
    assert ids(logs(api, "?destination=9")) == []
    assert ids(logs(api, "?created_at__gte=2026-05-04T12:05:00Z&destination=1")) == [7, 6, 5]
    assert ids(logs(api, "?created_at__lte=2026-05-04T14:02:00%2B02:00")) == [2, 1]
    assert ids(logs(api, "?created_at__gte=2026-05-04T12:02:00Z&state=retrying,failed")) == [5, 2]


def test_events_are_filtered_by_type_and_id(api: ApiFixture, shop: dict[str, Any]) -> None:
    publish_each_state(api)
    path = "/api/v1/accounts/1/events"

    def events(query: str) -> list[str]:
        return [row["event_id"] for row in api.get(path + query).json["results"]]

    assert events("?event_type=type0") == ["e6", "e4", "e2"]
    assert events("?event_id=e3") == ["e3"]
    assert events("?event_type=workbell.test") == []
    assert events("?page_size=2&page=2") == ["e4", "e3"]


@pytest.mark.parametrize("name", ["events", "logs"])
def test_histories_are_paged_by_number_and_by_cursor(
    api: ApiFixture, shop: dict[str, Any], name: str
) -> None:
    publish_each_state(api)
    path = f"/api/v1/accounts/1/{name}"
    first = api.get(f"{path}?page_size=4").json
    assert (first["count"], len(first["results"]), first["previous"]) == (6, 4, None)
    assert api.get(f"{path}?page_size=4&page=2").json["results"] != first["results"]
    assert api.get(f"{path}?page_size=4&page=3").status_code == 404
    assert api.get(f"/api/v1/accounts/{api.account()['id']}/{name}").json["count"] == 0
    seen = list[str]()
    url: str | None = f"{path}?page_size=2&cursor="
    while url is not None:
        page = api.get(url.removeprefix("http://localhost")).json
        assert "count" not in page
        seen += [row["event_id"] for row in page["results"]]
        url = page["next"]
    assert seen == ["e6", "e5", "e4", "e3", "e2", "e1"]


BAD_QUERIES = {
    "events": ("event_id=a.b", "event_id=", "event_type=" + "x" * 256, "page=0", "cursor=!", "x=1"),
    "logs": (
        "state=done", "state=", "state=pending,", "state=0", "destination=0", "destination=-1",
        "destination=x", "destination=1.0", "destination=99999999999999999999", "event_id=a%00",
        "event_id=" + "x" * 129, "created_at__gte=yesterday", "created_at__gte=2026-05-04",
        "created_at__lte=2026-05-04T12:00:00", "created_at__gte=", "status=failed", "page=0",
        "page_size=0", "cursor=MQ=x", "cursor=" + "x" * 65, "ordering=id", "state=failed&state=pending",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "query"), [(name, query) for name, found in BAD_QUERIES.items() for query in found]
)
def test_a_bad_filter_is_named(
    api: ApiFixture, shop: dict[str, Any], name: str, query: str
) -> None:
    refused = api.get(f"/api/v1/accounts/1/{name}?{query}")
    assert refused.status_code == 400
    [path] = {path.partition(".")[0] for path in refused.json["field_errors"]}
    assert path == query.partition("=")[0]


def test_a_delivery_has_its_attempts(api: ApiFixture, shop: dict[str, Any]) -> None:
    api.publish(1)
    result = SendResult(
        error="timeout", detail="no response within 15 s", address="192.0.2.7",
        response_headers={"Server": "x"}, snippet="\0", timings={"total": 15000.0},
    )  # fmt: skip
    with api.store.begin() as tx:
        tx.deliveries.add_attempt(
            DeliveryAttempt(
                delivery_id=DeliveryId(1),
                destination_id=DestinationId(1),
                number=1,
                started_at=NOON,
                duration_ms=15_000,
                result=result,
                request_headers={"X-Key": "***"},
            )
        )
    for caller in ("ada", "bob", "root"):
        shown = api.get("/api/v1/deliveries/1", caller).json
        assert shown.pop("attempt_log") == [{
            "number": 1, "started_at": "2026-05-04T12:00:00Z", "duration_ms": 15_000,
            "address": "192.0.2.7", "status_code": None, "error": "timeout",
            "error_detail": "no response within 15 s", "timings": {"total": 15_000.0},
            "request_headers": {"X-Key": "***"}, "response_headers": {"Server": "x"},
            "response_snippet": "\N{REPLACEMENT CHARACTER}",
        }]  # fmt: skip
        assert [shown] == logs(api, caller=caller)["results"]


def test_purged_data_is_null(api: ApiFixture, shop: dict[str, Any]) -> None:
    api.publish(1)
    with api.store.begin() as tx:
        tx.events.purge(NOON + timedelta(days=1), limit=10)
    assert api.get("/api/v1/accounts/1/events").json["results"][0]["data"] is None
    api.set_delivery(1, DeliveryState.FAILED, attempts=1)
    assert api.post("/api/v1/deliveries/1/retry").status_code == 409


def test_an_admin_retries_a_delivery(api: ApiFixture, shop: dict[str, Any]) -> None:
    api.publish(1)
    assert api.post("/api/v1/deliveries/1/retry").status_code == 409
    api.set_delivery(1, DeliveryState.FAILED, attempts=12, completed_at=NOON)
    assert api.post("/api/v1/deliveries/1/retry", "bob").status_code == 403
    retried = api.post("/api/v1/deliveries/1/retry")
    assert (retried.status_code, retried.json["state"]) == (200, "retrying")
    assert retried.json["completed_at"] is None
    assert [retried.json] == logs(api)["results"]


def test_replay_answers_with_a_job_of_the_caller(api: ApiFixture, shop: dict[str, Any]) -> None:
    path = "/api/v1/destinations/1/replay"
    body = {"since": "2026-05-04T10:00:00+02:00"}
    assert api.post(path, "bob", body).status_code == 403
    started = api.post(path, "ada", {**body, "until": "2026-05-04T11:00:00Z"})
    assert started.status_code == 202
    assert started.headers["location"] == f"/api/v1/jobs/{started.json['id']}"
    job = api.get(started.headers["location"]).json
    assert (job["origin"], job["status"]) == ("delivery", "pending")
    assert api.get(started.headers["location"], "bob").status_code == 404


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, {"since"}),
        ({"since": None}, {"since"}),
        ({"since": "yesterday"}, {"since"}),
        ({"since": "2026-05-04T12:00:00"}, {"since"}),
        ({"since": 1}, {"since"}),
        ({"since": "2026-05-05T12:00:00Z"}, {"since"}),
        ({"since": "2026-05-04T10:00:00Z", "until": "2026-05-04T09:00:00Z"}, {"since"}),
        ({"since": "2026-05-04T10:00:00Z", "until": "soon"}, {"until"}),
        ({"since": "2026-05-04T10:00:00Z", "all": True}, {"all"}),
        ([], {""}),
    ],
)
def test_a_wrong_period_is_refused(
    api: ApiFixture, shop: dict[str, Any], body: Any, named: set[str]
) -> None:
    refused = api.post("/api/v1/destinations/1/replay", "ada", body)
    assert (refused.status_code, refused.json["field_errors"].keys()) == (400, named)


PATHS = (
    ("GET", "/api/v1/accounts/{}/events"),
    ("GET", "/api/v1/accounts/{}/logs"),
    ("GET", "/accounts/{}/logs/"),
    ("GET", "/api/v1/deliveries/{}"),
    ("POST", "/api/v1/deliveries/{}/retry"),
    ("POST", "/api/v1/destinations/{}/replay"),
)


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_other_peoples_and_malformed_ids_are_not_found(
    api: ApiFixture, shop: dict[str, Any], method: str, path: str
) -> None:
    """Even if the body is wrong."""
    api.publish(1)
    api.join("eve")
    assert api.call(method, path.format(1), "eve").status_code == 404
    for bad in ("0", "-1", "01", "1.0", "x", "%00", "1%20", "9" * 19, "9" * 30, "\u0661"):
        assert api.call(method, path.format(bad), "ada").status_code == 404, bad
    assert api.call(method, path.format(1), None).status_code == 401


def test_the_log_of_a_deleted_destination_stays_readable(
    api: ApiFixture, shop: dict[str, Any]
) -> None:
    api.publish(1)
    api.set_delivery(1, DeliveryState.FAILED, attempts=1)
    with api.store.begin() as tx:
        destination = tx.destinations.get_for_update(DestinationId(1))
        tx.destinations.replace(evolve(destination, is_active=False, deleted_at=NOON))
    [row] = logs(api)["results"]
    assert row["destination_url"] == "https://example.com/hook"
    assert api.get("/api/v1/deliveries/1").status_code == 200
    assert api.post("/api/v1/deliveries/1/retry").status_code == 409
