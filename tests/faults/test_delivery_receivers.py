"""Deliveries to real receivers that respond in ways known to cause trouble."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from statistics import quantiles

import pytest
from attrs import define, field
from standardwebhooks import Webhook

from tests.adapters.webhook_client.receivers import (
    OK,
    Connection,
    Receiver,
    Script,
    answering,
    receiving,
)
from tests.faults.installation import SECRET, TOKEN, DeliveryClient, Installation, wait_for
from workbell import webhooks
from workbell.domain.delivery.account import TOKEN_PURPOSE
from workbell.domain.delivery.delivery import DeliveryState
from workbell.domain.delivery.destination import Destination, DestinationState, HttpMethod
from workbell.domain.delivery.signature import format_secret
from workbell.services.delivery.requests import NewEvent

pytestmark = pytest.mark.integration

PENDING, SENDING, RETRYING, PARKED, SUCCEEDED, FAILED, CANCELLED = DeliveryState
BODY = b'{ "f" : 1.0,"s":"\\/\xc3\xa9\\u00e9" }'
VALUE = {"f": 1.0, "s": "/\u00e9\u00e9"}
ERROR = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
GONE = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"


@define(eq=False)
class DeliveryFixture:
    """An installation and its receivers."""

    installation: Installation
    stack: ExitStack = field(factory=ExitStack)

    @property
    def client(self) -> DeliveryClient:
        """The sender."""
        return self.installation.client

    def receiver(self, script: Script) -> Receiver:
        """Start a receiver."""
        return self.stack.enter_context(receiving(script))

    def send(self, script: Script, *data: bytes, **fields: object) -> tuple[Receiver, Destination]:
        """Publish events to a new receiver, one after another."""
        receiver = self.receiver(script)
        destination = self.client.add_destination(receiver.url(), **fields)
        for each in data or (BODY,):
            self.client.publish(each)
        return receiver, destination

    def wait_for_states(self, *states: DeliveryState) -> None:
        """Wait until the deliveries have these states."""
        wait_for(lambda: self.client.states() == list(states))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[DeliveryFixture]:
    """Return an installation that may reach private addresses."""
    created = DeliveryFixture(Installation(tmp_path, {"allow_private_destinations": True}))
    created.installation.start()
    with created.stack:
        yield created
        created.installation.stop()


def in_turn(*responses: bytes) -> Script:
    """Return a script that sends one response to each request, and the last to all others."""
    left = list(responses)

    def script(connection: Connection) -> None:
        while connection.read_request():
            connection.send(left.pop(0) if len(left) > 1 else left[0])

    return script


def headers_of(request: bytes) -> dict[str, str]:
    """Return the headers of a request by lower-case name."""
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}


def body_of(request: bytes) -> bytes:
    """Return the body of a request."""
    return request.partition(b"\r\n\r\n")[2]


# 1. the body changes on its way


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_the_data_arrives_byte_for_byte_and_verified(running: DeliveryFixture, method: str) -> None:
    client = running.client
    receiver = running.receiver(answering())
    client.add_destination(receiver.url(), method=HttpMethod(method))
    client.publish(BODY, b'{"other": 1}')
    publishing = client.application.delivery.publishing
    with client.application.store.begin() as tx:
        box = client.application.delivery.secret_box
        account = tx.accounts.get_for_update(client.actor.scope, client.account.id)
        tx.accounts.replace(
            account.rotate_token(
                box.encrypt(TOKEN, TOKEN_PURPOSE), box.index(TOKEN, TOKEN_PURPOSE),
                client.application.clock.now(),
            )
        )  # fmt: skip
    publishing.publish_by_token(client.actor, TOKEN, NewEvent(data=BODY, value=VALUE))
    running.wait_for_states(SUCCEEDED, SUCCEEDED, SUCCEEDED)
    bodies = [body_of(request) for request in receiver.requests]
    assert sorted(bodies) == sorted([BODY, BODY, b'{"other": 1}'])
    for request in receiver.requests:
        assert request.startswith(method.encode())
        headers = headers_of(request)
        assert headers["content-type"] == "application/json"
        Webhook(SECRET).verify(body_of(request), headers)
        webhooks.verify(SECRET, headers, body_of(request))


def test_by_get_the_raw_query_arrives_and_is_verified(running: DeliveryFixture) -> None:
    receiver = running.receiver(answering())
    running.client.add_destination(receiver.url("/hook?own=%c3%a9&x"), method=HttpMethod.GET)
    running.client.publish(b'{"b": [1.50, {"c": null}], "a": "x y/\\u00e9"}')
    running.wait_for_states(SUCCEEDED)
    (request,) = receiver.requests
    path = request.split(b" ")[1].decode()
    assert path == (
        "/hook?own=%c3%a9&x&b=%5B1.5%2C%7B%22c%22%3Anull%7D%5D&a=x%20y%2F%C3%A9"
    )  # fmt: skip
    webhooks.verify(SECRET, headers_of(request), path.partition("?")[2])


# 3. a private address


def test_a_destination_that_resolves_to_a_private_address_receives_nothing(
    tmp_path: Path,
) -> None:
    installation = Installation(tmp_path)
    installation.start()
    with receiving(answering()) as receiver:
        destination = installation.client.add_destination(receiver.url())
        installation.client.publish(BODY)
        wait_for(lambda: installation.client.states() == [RETRYING])
        (delivery,) = installation.client.deliveries(destination_id=destination.id)
        assert str(delivery.last_error).startswith("refused_address")
        assert receiver.connections == 0
        installation.stop()


# 4. redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_and_not_followed(running: DeliveryFixture, status: int) -> None:
    other = running.receiver(answering())
    location = f"HTTP/1.1 {status} Moved\r\nLocation: {other.url()}\r\nContent-Length: 0\r\n\r\n"
    receiver, _ = running.send(answering(location.encode()), retry_delays=[3_600])
    running.wait_for_states(RETRYING)
    assert running.client.deliveries()[0].last_status_code == status
    assert len(receiver.requests) == 1
    assert other.connections == 0


# 5. the id of every attempt


def test_all_attempts_have_one_id_and_body_also_after_restart_retry_and_replay(
    running: DeliveryFixture,
) -> None:
    receiver, destination = running.send(in_turn(ERROR, ERROR, OK, ERROR, OK), retry_delays=[1])
    wait_for(lambda: len(receiver.requests) == 1)
    running.installation.restart()
    running.wait_for_states(FAILED)
    client = running.client
    client.retry(client.deliveries()[0])
    running.wait_for_states(SUCCEEDED)
    client.retry(client.deliveries()[0])
    wait_for(lambda: len(receiver.requests) == 5)
    running.wait_for_states(SUCCEEDED)
    with client.application.store.begin() as tx:
        (delivery,) = client.deliveries()
        now = client.application.clock.now()
        tx.deliveries.replace(delivery, delivery.fail("by hand", now))
    client.application.delivery.replays.replay(
        client.actor, destination.id, datetime(2020, 1, 1, tzinfo=UTC)
    )
    wait_for(lambda: len(receiver.requests) == 6)
    running.wait_for_states(SUCCEEDED)
    assert len({headers_of(each)["webhook-id"] for each in receiver.requests}) == 1
    assert {body_of(each) for each in receiver.requests} == {BODY}


# 6. retries outlive their destination


def test_nothing_is_sent_to_a_deleted_destination_and_nothing_is_pending(
    running: DeliveryFixture,
) -> None:
    receiver, destination = running.send(answering(ERROR), retry_delays=[2, 2, 2])
    running.wait_for_states(RETRYING)
    running.client.delete(destination)
    running.wait_for_states(CANCELLED)
    (delivery,) = running.client.deliveries()
    due = datetime.now(UTC) + timedelta(seconds=2.5)
    wait_for(lambda: datetime.now(UTC) > due)
    assert len(receiver.requests) == 1
    assert [each.result.status_code for each in running.client.attempts(delivery)] == [500]
    queues = running.client.application.jobs.queues()
    assert all(queue.scheduled + queue.held + queue.ready == 0 for queue in queues)


# 7. Retry-After


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("in a minute", 57, 61),
        ("a minute ago", 0.5, 1.5),
        ("-5", 4.4, 5.6),
        ("1.5", 1.4, 1.6),
        ("9999999999", 3_599, 3_601),
        ("soon", 4.4, 5.6),
        ("1e400", 4.4, 5.6),
    ],
)
def test_retry_after_moves_the_next_attempt_within_its_bounds(
    running: DeliveryFixture, value: str, low: float, high: float
) -> None:
    minutes = {"in a minute": 1, "a minute ago": -1}
    if value in minutes:
        at = datetime.now(UTC) + timedelta(minutes=minutes[value])
        value = format_datetime(at, usegmt=True)
    busy = f"HTTP/1.1 503 Busy\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n"
    running.send(answering(busy.encode()), retry_delays=[5, 5])
    healthy = running.receiver(answering())
    running.wait_for_states(RETRYING)
    (delivery,) = running.client.deliveries()
    assert delivery.next_attempt_at is not None
    wait = (delivery.next_attempt_at - delivery.updated_at).total_seconds()
    assert low <= wait <= high
    other = running.client.add_destination(healthy.url())
    running.client.publish(b"{}")
    wait_for(lambda: running.client.states(destination_id=other.id) == [SUCCEEDED])


# 8. the time of the signature


def test_every_attempt_is_signed_with_its_own_time(running: DeliveryFixture) -> None:
    receiver, _ = running.send(in_turn(ERROR, ERROR, OK))
    running.wait_for_states(SUCCEEDED)
    times = [int(headers_of(each)["webhook-timestamp"]) for each in receiver.requests]
    assert len(set(times)) == 3
    assert max(times) - min(times) >= 2
    for request in receiver.requests:
        webhooks.verify(SECRET, headers_of(request), body_of(request), tolerance_seconds=30)
    assert len({headers_of(each)["webhook-signature"] for each in receiver.requests}) == 3


def test_deliveries_verify_with_either_secret_during_a_rotation(running: DeliveryFixture) -> None:
    receiver = running.receiver(answering())
    destination = running.client.add_destination(receiver.url())
    application = running.client.application
    new = format_secret(b"n" * 32)
    encrypted = application.delivery.secret_box.encrypt(new, "destination secret")
    with application.store.begin() as tx:
        tx.destinations.replace(destination.rotate_secret(encrypted, application.clock.now()))
    running.client.publish(BODY)
    running.wait_for_states(SUCCEEDED)
    (request,) = receiver.requests
    for secret in (new, SECRET):
        Webhook(secret).verify(body_of(request), headers_of(request))


# 11. and 12. slow and endless responses are tests of the client


# 13. the response cannot be stored


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\x00\xff\xed\xa0",
        b"HTTP/1.1 200 OK\r\nX-Bad: \x00\xff\xed\xa0\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-" + b"a" * 5_000 + b": b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 90 + b"Content-Length: 0\r\n\r\n",
    ],
    ids=["body", "header", "long name", "many headers"],
)
def test_a_response_that_databases_refuse_is_a_success_and_sent_once(
    running: DeliveryFixture, response: bytes
) -> None:
    receiver, _ = running.send(answering(response))
    running.wait_for_states(SUCCEEDED)
    time.sleep(1.5)  # longer than the first retry of the engine
    assert len(receiver.requests) == 1
    (attempt,) = running.client.attempts(running.client.deliveries()[0])
    assert attempt.result.status_code == 200


# 15. off is not lost


def test_events_of_a_disabled_destination_arrive_after_it_is_enabled(
    running: DeliveryFixture,
) -> None:
    receiver, destination = running.send(in_turn(GONE, OK))
    running.wait_for_states(FAILED)
    assert running.client.destination(destination).state is DestinationState.DISABLED
    running.client.publish(b'{"n": 2}')
    running.wait_for_states(FAILED, PARKED)
    running.client.enable(destination)
    running.wait_for_states(FAILED, SUCCEEDED)
    assert [body_of(each) for each in receiver.requests] == [BODY, b'{"n": 2}']


def test_a_hanging_destination_does_not_hold_up_the_others(running: DeliveryFixture) -> None:
    def hang(connection: Connection) -> None:
        connection.read_request()
        connection.wait()

    hanging = running.receiver(hang)
    healthy = running.receiver(answering())
    stuck = running.client.add_destination(hanging.url(), timeout_seconds=30, concurrency=2)
    others = [running.client.add_destination(healthy.url(f"/{n}")) for n in range(9)]
    waits: list[float] = []
    for n in range(20):
        began = time.monotonic()
        running.client.publish(b'{"n": %d}' % n)
        wait_for(lambda n=n: len(healthy.requests) == 9 * (n + 1))  # type: ignore[misc]
        waits.append(time.monotonic() - began)
    assert quantiles(waits, n=20)[18] < 2.0
    wait_for(lambda: all(
        running.client.states(destination_id=each.id) == [SUCCEEDED] * 20 for each in others
    ))  # fmt: skip
    states = running.client.states(destination_id=stuck.id)
    assert sorted(set(states)) == [PENDING, SENDING]
    assert hanging.connections == 2
