"""Outgoing requests: method, body, headers and signature."""

import json
from typing import Any

import pytest
from attrs import evolve

from tests.contract.factories import NOON
from tests.domain.delivery.factories import after
from tests.services.delivery.sending import KEY, OLD_KEY, DeliveryFixture
from workbell.adapters.crypto.secret_box import SodiumSecretBox
from workbell.domain.delivery.account import Account
from workbell.domain.delivery.delivery import DeliveryId
from workbell.domain.delivery.destination import SECRET_PURPOSE, Destination, HttpMethod
from workbell.domain.delivery.signature import format_secret, sign
from workbell.domain.identity.actor import Actor
from workbell.ports.webhook_client import OutgoingRequest

pytestmark = pytest.mark.unit

BODY = b'{ "f" : 1.0,"s":"\\/\xc3\xa9\\u00e9" }'
WITH_BODY = [HttpMethod.POST, HttpMethod.PUT, HttpMethod.PATCH, HttpMethod.DELETE]


def send(
    env: DeliveryFixture, admin: Actor, destination: Destination, data: bytes = BODY
) -> OutgoingRequest:
    """Publish an event, send its delivery and return the request."""
    with env.engine.store.view() as tx:
        account = tx.accounts.get(admin.scope, destination.account_id)
    env.publish(admin, account, json.loads(data), data=data, event_id="e-1")
    env.work()
    (request,) = env.client.requests
    return request


@pytest.mark.parametrize("method", WITH_BODY)
def test_the_body_is_the_data_byte_for_byte(
    env: DeliveryFixture, admin: Actor, account: Account, method: HttpMethod
) -> None:
    destination = env.add_destination(account, method=method, timeout_seconds=7)
    request = send(env, admin, destination)
    assert (request.method, request.url, request.body) == (method, destination.url, BODY)
    assert request.timeout_seconds == 7
    timestamp = int(NOON.timestamp())
    assert request.headers == {
        "Content-Type": "application/json",
        "webhook-id": "e-1",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(KEY, "e-1", timestamp, BODY),
    }


def test_by_get_the_data_is_in_the_query_which_is_signed_as_a_whole(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    url = "https://example.com/hook?own=1"
    destination = env.add_destination(account, url, method=HttpMethod.GET)
    request = send(env, admin, destination, b'{"b": [1, 2], "a": "x y"}')
    query = "own=1&b=%5B1%2C2%5D&a=x%20y"
    assert (request.url, request.body) == (f"https://example.com/hook?{query}", None)
    assert request.headers["webhook-signature"] == sign(
        KEY, "e-1", int(NOON.timestamp()), query.encode()
    )
    assert "Content-Type" not in request.headers


def test_own_headers_are_sent_and_may_replace_the_content_type(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    headers = {"X-Api-Key": "geheim", "content-type": "application/cloudevents+json"}
    request = send(env, admin, env.add_destination(account, plain_headers=headers))
    assert {name: request.headers[name] for name in headers} == headers
    assert "Content-Type" not in request.headers


def test_own_headers_never_replace_those_of_the_sender(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    headers = {"Webhook-Signature": "v1,forged", "WEBHOOK-X": "x", "Host": "h", "X-A": "b"}
    request = send(env, admin, env.add_destination(account, plain_headers=headers))
    assert list(request.headers) == [
        "Content-Type", "X-A", "webhook-id", "webhook-timestamp", "webhook-signature"
    ]  # fmt: skip


def test_the_attempt_has_the_headers_without_secret_values(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    send(env, admin, env.add_destination(account, plain_headers={"X-Api-Key": "geheim"}))
    (attempt,) = env.attempts()
    assert attempt.request_headers == {
        "Content-Type": "application/json",
        "X-Api-Key": "***",
        "webhook-id": "e-1",
        "webhook-timestamp": str(int(NOON.timestamp())),
        "webhook-signature": "***",
    }
    assert "geheim" not in repr(env.client.requests)


def test_during_a_rotation_both_secrets_sign_the_current_one_first(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    destination = env.add_destination(
        account,
        previous_secret=env.box.encrypt(format_secret(OLD_KEY), SECRET_PURPOSE),
        previous_secret_until=after(10),
    )
    request = send(env, admin, destination)
    expected = [sign(key, "e-1", int(NOON.timestamp()), BODY) for key in (KEY, OLD_KEY)]
    assert request.headers["webhook-signature"].split(" ") == expected
    with env.engine.store.view() as tx:
        dispatch: Any = tx.deliveries.load(DeliveryId(1))
    later = env.sending.requests.make(evolve(dispatch), after(10)).request
    assert later.headers["webhook-signature"] == sign(KEY, "e-1", int(after(10).timestamp()), BODY)


def test_a_previous_secret_whose_key_is_lost_does_not_sign(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    lost = SodiumSecretBox.create([b"l" * 32]).encrypt(format_secret(OLD_KEY), SECRET_PURPOSE)
    destination = env.add_destination(
        account, previous_secret=lost, previous_secret_until=after(10)
    )
    request = send(env, admin, destination)
    expected = sign(KEY, "e-1", int(NOON.timestamp()), BODY)
    assert request.headers["webhook-signature"] == expected
