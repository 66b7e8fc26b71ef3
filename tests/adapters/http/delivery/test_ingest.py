"""Ingest over HTTP: exact bytes, batches, hostile bodies, five a second."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import falcon.testing
import pytest
from attrs import evolve

from tests.adapters.http.conftest import ApiFixture
from workbell.adapters.http.app import build_app
from workbell.adapters.rate_limits.memory import MemoryRateLimiter
from workbell.domain.delivery.event import MAX_DATA_BYTES
from workbell.domain.rate_limits.policy import Policies, Rate
from workbell.services.rate_limits import RateLimiting

EVENTS, INCOMING = "/api/v1/events", "/server/incoming_data/"
TEXT = r'{ "f" : 1.0,"s":"\/é\u00e9" }'.encode()
JSON = {"Content-Type": "application/json"}
MIB = 1024 * 1024


@pytest.fixture
def shop(api: ApiFixture) -> dict[str, Any]:
    """Ada's account, with one destination, and its token."""
    account = api.account()
    api.destination(account["id"])
    return account


def send(api: ApiFixture, body: bytes, caller: str | None = "ada") -> falcon.testing.Result:
    return api.call("POST", EVENTS, caller, body=body, headers=JSON)


def receive(
    api: ApiFixture, body: bytes, token: str | None, caller: str | None = "ada", **headers: str
) -> falcon.testing.Result:
    sent = {**JSON, **{name.replace("_", "-"): value for name, value in headers.items()}}
    if token is not None:
        sent["CL-X-TOKEN"] = token
    return api.call("POST", INCOMING, caller, body=body, headers=sent)


def one_event(account: int, data: bytes, more: bytes = b"") -> bytes:
    head = b'{"account": %d, "event_type": "order.paid", "data":' % account
    return head + data + more + b"}"


def stored(api: ApiFixture) -> list[bytes | None]:
    with api.store.view() as tx:
        return [event.data for event in tx.tables.events]


def test_the_bytes_of_the_data_are_stored_by_every_route(
    api: ApiFixture, shop: dict[str, Any]
) -> None:
    one = one_event(shop["id"], b"\n " + TEXT + b"\t ")
    escaped = one.replace(b'"data"', b'"d\\u0061ta"')
    for body in (one, escaped, b"[" + one + b" ,\r\n" + escaped + b" ]"):
        assert send(api, body).status_code == 201
    assert receive(api, TEXT, shop["app_secret_token"]).status_code == 200
    assert stored(api) == [TEXT] * 5
    listed = api.get(f"/api/v1/accounts/{shop['id']}/events")
    assert listed.content.count(TEXT) == 5


def test_the_data_of_datamanager_is_the_whole_body(api: ApiFixture, shop: dict[str, Any]) -> None:
    body = b" \n" + TEXT + b"\r\n"
    assert receive(api, body, shop["app_secret_token"]).status_code == 200
    assert stored(api) == [body]


def test_an_event_is_answered_with_its_location(api: ApiFixture, shop: dict[str, Any]) -> None:
    made = api.post(EVENTS, "ada", {
        "account": shop["id"], "event_type": "order.paid", "data": {}, "event_id": "evt:1_A-b",
    })  # fmt: skip
    assert made.json == {
        "event_id": "evt:1_A-b", "event_type": "order.paid", "account": shop["id"],
        "deliveries": 1, "created_at": "2026-05-04T12:00:00Z",
    }  # fmt: skip
    [found] = api.get(made.headers["location"]).json["results"]
    assert (found["event_id"], found["data"]) == ("evt:1_A-b", {})


def test_a_batch_is_answered_in_its_order(api: ApiFixture, shop: dict[str, Any]) -> None:
    batch = [
        {"account": shop["id"], "event_type": f"t{n}", "data": {"n": n}, "event_id": f"e{n}"}
        for n in range(100)
    ]
    made = api.post(EVENTS, "ada", batch)
    assert made.status_code == 201
    assert [event["event_id"] for event in made.json] == [event["event_id"] for event in batch]
    again = api.post(EVENTS, "ada", batch)
    assert again.json == made.json
    assert len(stored(api)) == 100


def test_the_same_id_with_other_data_is_a_conflict(api: ApiFixture, shop: dict[str, Any]) -> None:
    token = shop["app_secret_token"]
    event = {"account": shop["id"], "event_type": "incoming_data", "data": {"a": 1, "b": [1.0]}}
    first = api.post(EVENTS, "ada", {**event, "event_id": "e"})
    assert first.status_code == 201
    same = {**event, "event_id": "e", "data": {"b": [1], "a": 1.0}}
    assert api.post(EVENTS, "ada", same).json == first.json
    assert receive(api, b'{"b":[1],"a":1}', token, CL_X_EVENT_ID="e").status_code == 200
    other = api.post(EVENTS, "ada", {**event, "event_id": "e", "data": {"a": 2}})
    assert (other.status_code, other.json["code"]) == (409, "conflict")
    assert receive(api, b"{}", token, CL_X_EVENT_ID="e").status_code == 409
    assert len(stored(api)) == 1


def test_an_idempotency_key_repeats_the_first_answer(api: ApiFixture, shop: dict[str, Any]) -> None:
    body = {"account": shop["id"], "event_type": "order.paid", "data": {"n": 1}}
    headers = {"Idempotency-Key": "order 4711/é".encode().decode("latin-1")}
    first = api.post(EVENTS, "ada", body, headers=headers)
    again = api.post(EVENTS, "ada", body, headers=headers)
    assert (again.status_code, again.json) == (201, first.json)
    assert api.post(EVENTS, "ada", {**body, "data": {}}, headers=headers).status_code == 409
    assert api.post(EVENTS, "ada", [body], headers=headers).json == [first.json]
    assert len(stored(api)) == 1


GOOD = {"account": 1, "event_type": "order.paid", "data": {}}
WRONG: dict[str, tuple[Any, set[str]]] = {
    "no account": ({"event_type": "t", "data": {}}, {"account"}),
    "an account as text": ({**GOOD, "account": "1"}, {"account"}),
    "account 0": ({**GOOD, "account": 0}, {"account"}),
    "a negative account": ({**GOOD, "account": -1}, {"account"}),
    "an unknown account": ({**GOOD, "account": 2**63 - 1}, {"account"}),
    "an account of 128 bits": ({**GOOD, "account": 2**63}, {"account"}),
    "data with a number of 128 bits": ({**GOOD, "data": {"a": 2**127}}, {"data.a"}),
    "no type": ({"account": 1, "data": {}}, {"event_type"}),
    "an empty type": ({**GOOD, "event_type": ""}, {"event_type"}),
    "a type in capitals": ({**GOOD, "event_type": "Order"}, {"event_type"}),
    "a type with a line feed": ({**GOOD, "event_type": "order\n"}, {"event_type"}),
    "an operational type": ({**GOOD, "event_type": "workbell.test"}, {"event_type"}),
    "a long type": ({**GOOD, "event_type": "a" * 129}, {"event_type"}),
    "no data": ({"account": 1, "event_type": "t"}, {"data"}),
    "null": ({**GOOD, "data": None}, {"data"}),
    "a list as data": ({**GOOD, "data": [1]}, {"data"}),
    "text as data": ({**GOOD, "data": "{}"}, {"data"}),
    "an empty id": ({**GOOD, "event_id": ""}, {"event_id"}),
    "a dotted id": ({**GOOD, "event_id": "a.b"}, {"event_id"}),
    "an id with a line feed": ({**GOOD, "event_id": "a\n"}, {"event_id"}),
    "a long id": ({**GOOD, "event_id": "a" * 129}, {"event_id"}),
    "an id as a number": ({**GOOD, "event_id": 1}, {"event_id"}),
    "an unknown field": ({**GOOD, "priority": 1}, {"priority"}),
    "an empty batch": ([], {"events"}),
    "101 events": ([GOOD] * 101, {"events"}),
    "a batch of other things": ([GOOD, 1, "x", [GOOD]], {"1", "2", "3"}),
    "a batch with a wrong event": ([GOOD, {**GOOD, "data": 1}], {"1.data"}),
    "a batch with two accounts": ([GOOD, {**GOOD, "account": 2}], {"1.account"}),
    "a batch for an unknown account": ([{**GOOD, "account": 9}] * 2, {"0.account"}),
    "a text": ("x", {""}),
    "a number": (1, {""}),
    "null as body": (None, {""}),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_body_is_refused_as_a_whole(
    api: ApiFixture, shop: dict[str, Any], kind: str
) -> None:
    body, named = WRONG[kind]
    answer = send(api, json.dumps(body).encode())
    assert answer.status_code == 400, answer.json
    assert answer.json["field_errors"].keys() == named
    assert stored(api) == []


def test_the_length_of_a_batch_is_explained(api: ApiFixture, shop: dict[str, Any]) -> None:
    assert send(api, b"[]").json["detail"] == "events must not be empty"
    too_many = json.dumps([GOOD] * 101).encode()
    assert send(api, too_many).json["detail"] == "events must have at most 100 entries"


MALFORMED = {
    "nothing": b"",
    "spaces": b" \n",
    "not JSON": b"{",
    "two values": b"{} {}",
    "NaN": one_event(1, b'{"a":NaN}'),
    "infinity": one_event(1, b'{"a":-Infinity}'),
    "1e999": one_event(1, b'{"a":1e999}'),
    "an integer of 80 bits": one_event(1, b'{"a":999999999999999999999999}'),
    "data twice": one_event(1, b"{}", b',"data":{}'),
    "data twice, escaped": one_event(1, b"{}", b',"d\\u0061ta":{}'),
    "a name twice within": one_event(1, b'{"a":1,"a":1}'),
    "a name twice in a batch": b"[" + one_event(1, b'[{"x":{"a":1,"a":1}}]') + b"]",
    "NUL": one_event(1, b'{"a":"\\u0000"}'),
    "NUL in a name": one_event(1, b'{"\\u0000":1}'),
    "a raw NUL": one_event(1, b'{"a":"\0"}'),
    "a lone surrogate": one_event(1, b'{"a":"\\ud800"}'),
    "not UTF-8": one_event(1, b'{"a":"\xff"}'),
    "Latin-1": one_event(1, '{"a":"é"}'.encode("latin-1")),
    "UTF-16": one_event(1, b"{}").decode().encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + one_event(1, b"{}"),
    "too deep": one_event(1, b'{"a":' * 32 + b"1" + b"}" * 32),
    "very deep": one_event(1, b"[" * 100_000),
    "a comment": one_event(1, b"{/* */}"),
    "a trailing comma": one_event(1, b'{"a":1,}'),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_json_is_refused_by_both_routes(
    api: ApiFixture, shop: dict[str, Any], kind: str
) -> None:
    body = MALFORMED[kind]
    assert send(api, body).status_code == 400
    assert receive(api, body, shop["app_secret_token"]).status_code == 400
    assert stored(api) == []


def test_data_has_at_most_256_kib(api: ApiFixture, shop: dict[str, Any]) -> None:
    def data(size: int) -> bytes:
        return b'{"x":"' + b"x" * (size - 8) + b'"}'

    most, more = data(MAX_DATA_BYTES), data(MAX_DATA_BYTES + 1)
    token = shop["app_secret_token"]
    assert send(api, one_event(1, most)).status_code == 201
    assert receive(api, most, token).status_code == 200
    refused = send(api, one_event(1, more))
    assert (refused.status_code, refused.json["field_errors"].keys()) == (400, {"data"})
    assert receive(api, more, token).status_code == 413
    batch = [one_event(1, most), one_event(1, more), one_event(1, b"{}")]
    refused = send(api, b"[" + b",".join(batch) + b"]")
    assert (refused.status_code, refused.json["field_errors"].keys()) == (400, {"1.data"})
    assert stored(api) == [most, most]


def test_a_batch_has_at_most_one_mebibyte(api: ApiFixture, shop: dict[str, Any]) -> None:
    event = one_event(1, b'{"x":"' + b"x" * 200_000 + b'"}')
    fits = b"[" + b",".join([event] * 5)
    fits += b" " * (MIB - len(fits) - 1) + b"]"
    assert send(api, fits).status_code == 201
    assert send(api, fits[:-1] + b" ]").status_code == 413
    assert len(stored(api)) == 5


def test_escaped_data_is_measured_as_received(api: ApiFixture, shop: dict[str, Any]) -> None:
    """Spaces and escapes count: the bytes are stored."""
    wide = b'{"a":"' + b"\\u00e9" * 50_000 + b'"}'
    refused = send(api, one_event(1, wide))
    assert refused.json["field_errors"].keys() == {"data"}


@pytest.mark.parametrize("media_type", ["text/plain", "application/json; charset=latin-1", ""])
def test_other_media_types_are_refused(
    api: ApiFixture, shop: dict[str, Any], media_type: str
) -> None:
    for path in (EVENTS, INCOMING):
        headers = {"Content-Type": media_type, "CL-X-TOKEN": shop["app_secret_token"]}
        answer = api.call("POST", path, "ada", body=one_event(1, b"{}"), headers=headers)
        assert answer.status_code == 415


def test_an_account_without_destinations_refuses_events(api: ApiFixture) -> None:
    account = api.account()
    assert send(api, one_event(account["id"], b"{}")).status_code == 400
    assert receive(api, b"{}", account["app_secret_token"]).status_code == 400
    assert stored(api) == []


def test_only_members_send_to_an_account(api: ApiFixture, shop: dict[str, Any]) -> None:
    token = shop["app_secret_token"]
    for caller, statuses in {"bob": (400, 403), "root": (403, 403), None: (401, 401)}.items():
        answers = (
            send(api, one_event(shop["id"], b"{}"), caller),
            receive(api, b"{}", token, caller),
        )
        assert tuple(answer.status_code for answer in answers) == statuses, caller
    api.member(shop["id"], "bob")
    assert send(api, one_event(shop["id"], b"{}"), "bob").status_code == 201
    assert receive(api, b"{}", token, "bob").status_code == 200


TOKENS = {
    "none": None,
    "empty": "",
    "a word": "secret",
    "too short": "00000000-0000-4000-8000-00000000000",
    "no hyphens": "00000000000040008000000000000000",
    "a space": "00000000-0000-4000-8000-00000000000 ",
    "a brace": "{00000000-0000-4000-8000-000000000000}",
    "very long": "0" * 10_000,
    "not ASCII": "é",
}


@pytest.mark.parametrize("kind", TOKENS)
def test_a_missing_or_malformed_token_is_400(
    api: ApiFixture, shop: dict[str, Any], kind: str
) -> None:
    answer = receive(api, b"{}", TOKENS[kind])
    assert (answer.status_code, answer.json["code"]) == (400, "invalid")
    assert stored(api) == []


def test_a_token_of_no_account_of_the_caller_is_403(api: ApiFixture, shop: dict[str, Any]) -> None:
    other = api.account("bob")
    api.destination(other["id"], "bob")
    for token in ("00000000-0000-4000-8000-000000000000", other["app_secret_token"]):
        assert receive(api, b"{}", token).status_code == 403
    assert receive(api, b"{}", shop["app_secret_token"].upper()).status_code == 200


@pytest.mark.parametrize("event_id", ["", "a b", "a.b", "a" * 129, "é", "a\tb", "evt_1;x"])
def test_a_malformed_event_id_header_is_400(
    api: ApiFixture, shop: dict[str, Any], event_id: str
) -> None:
    answer = receive(api, b"{}", shop["app_secret_token"], CL_X_EVENT_ID=event_id)
    assert answer.status_code == 400
    assert stored(api) == []


def test_datamanager_answers_the_event_id(api: ApiFixture, shop: dict[str, Any]) -> None:
    token = shop["app_secret_token"]
    answer = receive(api, b"{}", token, CL_X_EVENT_ID="mine-1")
    assert answer.json == {"message": "Data Received", "event_id": "mine-1"}
    made = receive(api, b"{}", token)
    assert made.json["event_id"].startswith("evt_")
    assert made.json["message"] == "Data Received"


@pytest.mark.parametrize("body", [b"[]", b'[{"a":1}]', b"1", b'"x"', b"null", b"true"])
def test_datamanager_takes_objects_only(api: ApiFixture, shop: dict[str, Any], body: bytes) -> None:
    answer = receive(api, body, shop["app_secret_token"])
    assert (answer.status_code, stored(api)) == (400, [])


@pytest.fixture
def limited(api: ApiFixture, shop: dict[str, Any]) -> ApiFixture:
    """The same application with five ingest requests a second."""
    off = dict.fromkeys(("anonymous", "user", "login", "free", "premium"))
    limits = RateLimiting(
        store=api.store,
        limiter=MemoryRateLimiter(),
        clock=api.clock,
        policies=Policies.of(ingest=Rate(5, 1), **off),
    )
    parts = evolve(api.deps, rate_limits=limits)
    return evolve(api, deps=parts, client=falcon.testing.TestClient(build_app(parts)))


def test_both_routes_share_five_requests_a_second(
    limited: ApiFixture, shop: dict[str, Any]
) -> None:
    """Of many at the same time exactly five are admitted; a batch counts as one."""
    limited.member(shop["id"], "bob")
    one = one_event(shop["id"], b"{}")

    def ask(n: int, caller: str = "ada") -> int:
        if n % 2:
            return receive(limited, b"{}", shop["app_secret_token"], caller).status_code
        return send(limited, b"[" + one + b"," + one + b"]", caller).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(ask, range(24)))
    assert statuses.count(429) == 19
    assert set(statuses) <= {200, 201, 429}
    assert ask(0, "bob") == 201
    refused = send(limited, one)
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["ratelimit-policy"].startswith('"ingest";q=5;w=1')
    limited.clock.at = limited.clock.at.replace(second=1)
    assert [ask(n) for n in range(6)] == [201, 200, 201, 200, 201, 429]


def test_requests_that_are_refused_for_their_body_count(
    limited: ApiFixture, shop: dict[str, Any]
) -> None:
    statuses = [send(limited, b"{").status_code for _ in range(6)]
    assert statuses == [400] * 5 + [429]
