"""DataManager's log: rows and every documented filter."""

from datetime import timedelta
from typing import Any

import pytest

from tests.adapters.http.conftest import NOON, ApiFixture
from workbell.domain.delivery.delivery import DeliveryState

STATUSES = {
    "pending": "pending", "retrying": "pending", "parked": "pending", "succeeded": "success",
    "failed": "failed", "cancelled": "failed",
}  # fmt: skip


@pytest.fixture
def shop(api: ApiFixture) -> ApiFixture:
    """Ada's account with two destinations, and an event for each stored state."""
    api.account()
    api.destination(1)
    api.destination(1, event_types=["type1"], url="https://example.org/")
    for n, state in enumerate(STATUSES, 1):
        api.clock.at = NOON + timedelta(minutes=n)
        kind = "incoming_data" if n % 2 else "other"
        api.publish(1, event_id=f"e{n}", event_type=kind, data={"n": n})
        at = None if STATUSES[state] == "pending" else api.clock.at
        api.set_delivery(n, DeliveryState[state.upper()], completed_at=at)
    return api


def rows(api: ApiFixture, query: str = "", caller: str = "ada") -> list[dict[str, Any]]:
    found = api.get(f"/accounts/1/logs/{query}", caller)
    assert found.status_code == 200, found.json
    assert set(found.json) == {"count", "next", "previous", "results"}
    return list(found.json["results"])


def ids(api: ApiFixture, query: str) -> list[int]:
    return [row["id"] for row in rows(api, query)]


def test_a_row_has_the_documented_fields(shop: ApiFixture) -> None:
    found = rows(shop)
    assert found[2] == {
        "id": 4, "event_id": "e4", "account": 1, "destination": 1,
        "received_timestamp": "2026-05-04T12:04:00Z",
        "processed_timestamp": "2026-05-04T12:04:00Z",
        "received_data": {"n": 4}, "status": "success",
    }  # fmt: skip
    assert [row["status"] for row in found[::-1]] == list(STATUSES.values())
    assert found[-1]["processed_timestamp"] is None


def test_every_documented_filter_selects(shop: ApiFixture) -> None:
    assert ids(shop, "?status=pending") == [3, 2, 1]
    assert ids(shop, "?status=success") == [4]
    assert ids(shop, "?status=failed") == [6, 5]
    assert ids(shop, "?status=failed,success") == [6, 5, 4]
    assert ids(shop, "?event_id=e2") == [2]
    assert ids(shop, "?destination_id=1&status=success") == [4]
    assert ids(shop, "?destination_id=2") == []
    assert ids(shop, "?received_timestamp__gte=2026-05-04T12:05:00Z") == [6, 5]
    assert ids(shop, "?received_timestamp__lte=2026-05-04T12:01:00Z") == [1]
    assert ids(shop, "?received_timestamp__gte=2026-05-04T14:02:00+02:00"
                     "&received_timestamp__lte=2026-05-04T12:03:00Z") == [3, 2]  # fmt: skip


def test_a_list_is_paged_as_other_lists_are(shop: ApiFixture) -> None:
    first = shop.get("/accounts/1/logs/?page_size=4").json
    assert (first["count"], len(first["results"])) == (6, 4)
    assert [
        row["id"] for row in shop.get("/accounts/1/logs/?page_size=4&page=2").json["results"]
    ] == [2, 1]
    assert shop.get("/accounts/1/logs/?page_size=4&page=3").status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "status=done", "status=succeeded", "status=SUCCESS", "status=", "status=0",
        "event_id=a%20b", "event_id=", "destination_id=x", "destination_id=0", "destination_id=-1",
        "destination_id=", "destination_id=1,2", "received_timestamp__gte=yesterday",
        "received_timestamp__gte=2026-05-04T12:00:00", "received_timestamp__lte=1",
        "received_timestamp__lte=", "received_timestamp=2026-05-04T12:00:00Z", "destination=1",
        "status=failed&status=success",
    ],
)  # fmt: skip
def test_a_bad_value_is_400(shop: ApiFixture, query: str) -> None:
    refused = shop.get(f"/accounts/1/logs/?{query}")
    assert refused.status_code == 400
    [path] = {path.partition(".")[0] for path in refused.json["field_errors"]}
    assert path == query.partition("=")[0]


def test_members_and_superusers_read_the_log(shop: ApiFixture) -> None:
    assert shop.get("/accounts/1/logs/", "bob").status_code == 404
    shop.member(1, "bob")
    assert len(rows(shop, caller="bob")) == len(rows(shop, caller="root")) == 6
