"""Connections are reused when that is safe, and only then."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.adapters.webhook_client.conftest import MakeClient
from tests.adapters.webhook_client.receivers import (
    OK,
    Connection,
    Receiver,
    ScriptedResolver,
    answering,
    post,
    receiving,
)
from workbell.adapters.webhook_client import keep_alive
from workbell.adapters.webhook_client.client import Urllib3WebhookClient

pytestmark = pytest.mark.integration

Script = Callable[[Connection], None]


def send_twice(client: Urllib3WebhookClient, receiver: Receiver) -> tuple[int | None, int | None]:
    first = client.send(post(receiver.url(), b"1"))
    second = client.send(post(receiver.url(), b"2"))
    return first.status_code, second.status_code


@pytest.mark.parametrize(
    "response",
    [
        OK,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 4096\r\n\r\n" + b"z" * 4_096,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK,
    ],
    ids=["length", "204", "304", "as_long_as_the_snippet", "chunked", "http_1_0", "interim"],
)
def test_a_connection_is_reused(response: bytes, client: Urllib3WebhookClient) -> None:
    with receiving(answering(response)) as receiver:
        first, second = send_twice(client, receiver)
        assert first == second == client.send(post(receiver.url())).status_code
    assert (receiver.connections, len(receiver.requests)) == (1, 3)


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4097\r\n\r\n" + b"z" * 4_097,
        b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        OK + b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nno colon\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nhello",
    ],
    ids=[
        "close", "http_1_0", "longer_than_the_snippet", "204_with_a_body", "second_response",
        "two_lengths", "malformed_header", "101",
    ],
)  # fmt: skip
def test_an_unclean_connection_is_not_reused(response: bytes, client: Urllib3WebhookClient) -> None:
    """Bytes that are left would be read as the response to another delivery."""

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(response)
        if b"no colon" not in response:  # that one has no length
            connection.wait()

    with receiving(script) as receiver:
        first, second = send_twice(client, receiver)
    assert first == second == int(response.split()[1])
    assert receiver.connections == 2


def test_a_late_body_of_a_204_does_not_answer_the_next_request(
    client: Urllib3WebhookClient,
) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        connection.receiver.closing.wait(0.05)
        connection.send(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")
        connection.wait()

    with receiving(script) as receiver:
        assert client.send(post(receiver.url())).status_code == 204
        receiver.closing.wait(0.2)
        assert client.send(post(receiver.url())).status_code == 204
    assert receiver.connections == 2


def test_a_connection_closed_between_requests_is_replaced(client: Urllib3WebhookClient) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(OK)

    with receiving(script) as receiver:
        assert send_twice(client, receiver) == (200, 200)
    assert (receiver.connections, len(receiver.requests)) == (2, 2)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_connection_closed_on_the_next_request_is_replaced_once(
    reset: bool, client: Urllib3WebhookClient
) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        if connection.number == 1:
            connection.send(OK)
            connection.read_request()
        if reset:
            connection.reset()

    with receiving(script) as receiver:
        assert client.send(post(receiver.url())).status_code == 200
        assert client.send(post(receiver.url())).error == "reset"
    assert (receiver.connections, len(receiver.requests)) == (2, 3)


def test_a_request_is_not_repeated_after_the_first_byte(client: Urllib3WebhookClient) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(OK)
        connection.read_request()
        connection.send(b"H")

    with receiving(script) as receiver:
        assert client.send(post(receiver.url())).status_code == 200
        assert client.send(post(receiver.url())).error == "reset"
    assert (receiver.connections, len(receiver.requests)) == (1, 2)


def test_a_request_is_not_repeated_after_a_timeout(client: Urllib3WebhookClient) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(OK)
        connection.read_request()
        connection.wait()

    with receiving(script) as receiver:
        assert client.send(post(receiver.url())).status_code == 200
        assert client.send(post(receiver.url(), seconds=0.2)).error == "timeout"
    assert (receiver.connections, len(receiver.requests)) == (1, 2)


def test_a_connection_is_not_reused_when_the_name_has_moved(make_client: MakeClient) -> None:
    client = make_client(resolver=ScriptedResolver([["127.0.0.1"], ["127.0.0.2"]]))
    with receiving(answering(), host="0.0.0.0") as receiver:
        url = receiver.url(host="hooks.example.test")
        assert [client.send(post(url)).address for _ in range(2)] == ["127.0.0.1", "127.0.0.2"]
    assert receiver.connections == 2


def test_names_at_one_address_do_not_share_connections(make_client: MakeClient) -> None:
    client = make_client(resolver=ScriptedResolver([["127.0.0.1"]]))
    with receiving(answering()) as receiver:
        for name in ("a.example.test", "b.example.test", "a.example.test"):
            assert client.send(post(receiver.url(host=name))).status_code == 200
    assert receiver.connections == 2


def test_the_number_of_idle_connections_is_limited(
    client: Urllib3WebhookClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep_alive, "MAX_IDLE", 1)
    with receiving(answering()) as one, receiving(answering()) as two:
        for receiver in (one, two, two, one):
            assert client.send(post(receiver.url())).status_code == 200
        assert (one.connections, two.connections) == (2, 1)


def test_connections_are_idle_for_a_limited_time(
    client: Urllib3WebhookClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep_alive, "MAX_IDLE_SECONDS", -1.0)
    with receiving(answering()) as receiver:
        assert send_twice(client, receiver) == (200, 200)
        assert receiver.connections == 2


def test_a_closed_client_keeps_no_connection(make_client: MakeClient) -> None:
    client = make_client()
    with receiving(answering()) as receiver:
        assert client.send(post(receiver.url())).status_code == 200
        client.close()
        assert send_twice(client, receiver) == (200, 200)
        assert receiver.connections == 3


def test_threads_share_the_client(client: Urllib3WebhookClient) -> None:
    def script(connection: Connection) -> None:
        while request := connection.read_request():
            body = request.partition(b"\r\n\r\n")[2]
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def send(number: int) -> bool:
        text = f"delivery {number}"
        return client.send(post(receiver.url(), text.encode())).snippet == text

    with receiving(script) as receiver, ThreadPoolExecutor(8) as threads:
        assert all(threads.map(send, range(400)))
    assert receiver.connections <= 8
