"""Requests as the client sends them, and results as it returns them."""

import socket
import threading
from ipaddress import ip_address
from threading import Event
from typing import Any

import pytest
from attrs import evolve

from tests.adapters.webhook_client.conftest import MakeClient
from tests.adapters.webhook_client.receivers import (
    OK,
    Connection,
    ScriptedResolver,
    answering,
    post,
    receiving,
)
from workbell.adapters.webhook_client import resolver as resolver_module
from workbell.adapters.webhook_client.client import Urllib3WebhookClient
from workbell.adapters.webhook_client.resolver import THREAD_NAME, SystemResolver
from workbell.ports.webhook_client import OutgoingRequest

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_the_body_arrives_byte_for_byte(method: str, client: Urllib3WebhookClient) -> None:
    body = '{ "f" : 1.0,"s":"\\/é\\u00e9" }'.encode() + b"\x00\xff"
    with receiving(answering()) as receiver:
        request = evolve(post(receiver.url("/a%20b?x=1&y=%2F")), method=method, body=body)
        assert client.send(request).is_success
    head, _, received = receiver.requests[0].partition(b"\r\n\r\n")
    assert received == body
    assert head.split(b"\r\n")[0] == b"%b /a%%20b?x=1&y=%%2F HTTP/1.1" % method.encode()


def test_a_get_request_has_no_body(client: Urllib3WebhookClient) -> None:
    with receiving(answering()) as receiver:
        url = receiver.url("?a=1")
        assert client.send(OutgoingRequest(method="GET", url=url)).is_success
    assert receiver.requests[0].startswith(b"GET /?a=1 HTTP/1.1\r\n")
    assert b"ontent-" not in receiver.requests[0]


def test_headers_of_the_connection_and_the_sender_cannot_be_replaced(
    client: Urllib3WebhookClient,
) -> None:
    with receiving(answering()) as receiver:
        request = post(
            receiver.url(), b"12", Host="evil.test", User_Agent="x", Content_Length="9",
            Transfer_Encoding="chunked", Accept_Encoding="gzip", Connection="close", X_A="b",
            webhook_id="evt_1",
        )  # fmt: skip
        assert client.send(request).is_success
    assert sorted(receiver.requests[0].split(b"\r\n")) == sorted(
        [
            b"POST /hook HTTP/1.1",
            b"Host: 127.0.0.1:%d" % receiver.port,
            b"Content-Length: 2",
            b"Accept-Encoding: identity",
            b"User-Agent: Workbell/1.0",
            b"X-A: b",
            b"webhook-id: evt_1",
            b"",
            b"12",
        ]
    )


@pytest.mark.parametrize(
    "changed",
    [{"headers": {"X-A": "b\r\nX-B: c"}}, {"headers": {"X-A": "\u20ac"}}, {"method": "GE T"}],
    ids=["line_break", "not_latin_1", "method"],
)
def test_a_malformed_request_is_a_failure(
    changed: dict[str, Any], client: Urllib3WebhookClient
) -> None:
    with receiving(answering()) as receiver:
        result = client.send(evolve(post(receiver.url()), **changed))
        assert (result.error, result.status_code) == ("protocol_error", None)
        assert client.send(post(receiver.url())).is_success
    assert len(receiver.requests) == 1


def test_environment_variables_of_proxies_have_no_effect(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving(answering()) as proxy, receiving(answering()) as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url("/"))
        assert make_client().send(post(receiver.url())).is_success
    assert (proxy.connections, receiver.connections) == (0, 1)


def test_cookies_are_not_sent_back(client: Urllib3WebhookClient) -> None:
    with receiving(answering(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b\r\n\r\n"))) as receiver:
        for _ in range(2):
            client.send(post(receiver.url()))
    assert b"ookie" not in receiver.requests[1]


def test_response_headers_are_bounded_clean_text(client: Urllib3WebhookClient) -> None:
    head = [b"HTTP/1.1 503 Busy", b"Retry-After: 120", b"RETRY-AFTER: 60", b"Content-Length: 0"]
    head += [b"X-Bell: a\x00\x07\x1b[31mb\x9f", b"X-Long: " + b"z" * 9_000, b"X-Folded: a", b"\tb"]
    head += [b"X-%d: y" % n for n in range(80)]
    with receiving(answering(b"\r\n".join([*head, b"", b""]))) as receiver:
        headers = client.send(post(receiver.url())).response_headers
    assert headers["retry-after"] == "120, 60"
    assert headers["x-bell"] == "a [31mb"
    assert headers["x-long"] == "z" * 1_024
    assert headers["x-folded"] == "a b"
    assert len(headers) <= 64
    assert all(text.isprintable() for each in headers.items() for text in each)


def test_timings_are_milliseconds_of_the_phases_that_happened(
    make_client: MakeClient,
) -> None:
    client = make_client(resolver=ScriptedResolver([["127.0.0.1"]]))

    def slow(connection: Connection) -> None:
        while connection.read_request():
            connection.receiver.closing.wait(0.05)
            connection.send(OK)

    with receiving(slow) as receiver:
        first, second = (
            client.send(post(receiver.url(host="a.example.test"))).timings for _ in range(2)
        )
        literal = client.send(post(receiver.url())).timings
    assert set(first) == {"dns", "connect", "first_byte", "total"}
    assert set(second) == {"dns", "first_byte", "total"}
    assert set(literal) == {"connect", "first_byte", "total"}
    assert 50 <= first["first_byte"] <= first["total"] < 5_000


def test_a_connection_that_is_refused_is_a_failure(client: Urllib3WebhookClient) -> None:
    with receiving(answering()) as receiver:
        url = receiver.url()
    result = client.send(post(url))
    assert (result.error, result.detail) == ("connect_error", "Connection refused")
    assert result.address == ""
    assert result.summary == "connect_error: Connection refused"


def test_the_next_address_is_tried_if_one_does_not_accept(make_client: MakeClient) -> None:
    client = make_client(resolver=ScriptedResolver([["::1", "127.0.0.9", "127.0.0.1"]]))
    with receiving(answering()) as receiver:
        result = client.send(post(receiver.url(host="many.example.test")))
    assert (result.status_code, result.address) == (200, "127.0.0.1")


def test_a_connection_without_an_answer_is_cut_off(client: Urllib3WebhookClient) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:  # the queue of the listener is full, and packets are dropped
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        result = client.send(post(f"http://127.0.0.1:{full.getsockname()[1]}/", seconds=0.3))
        for each in waiting:
            each.close()
    assert (result.error, result.detail) == ("timeout", "no connection was established in time")
    assert result.timings["total"] < 800


def test_an_invalid_url_is_a_failure(client: Urllib3WebhookClient) -> None:
    result = client.send(post("http://user:secret@example.com/"))
    assert (result.error, result.status_code) == ("invalid_url", None)
    assert "secret" not in result.detail


def test_a_fault_of_the_client_is_a_failure(make_client: MakeClient) -> None:
    client = make_client(resolver=ScriptedResolver([RuntimeError("a fault")]))
    assert client.send(post("http://a.example.test/")).error == "protocol_error"


# the system's resolver


@pytest.fixture
def silent_resolver(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make name resolution wait until the test is over."""
    over = Event()

    def wait(*_: object, **__: object) -> Any:
        over.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    yield
    over.set()


def test_a_name_is_resolved_by_the_system(client: Urllib3WebhookClient) -> None:
    with receiving(answering()) as receiver:
        result = client.send(post(receiver.url(host="localhost")))
    assert (result.status_code, result.address) == (200, "127.0.0.1")


def test_an_unknown_name_is_a_failure(client: Urllib3WebhookClient) -> None:
    result = client.send(post("http://unknown.invalid/"))
    assert result.error == "dns_error"
    assert result.detail


@pytest.mark.usefixtures("silent_resolver")
def test_name_resolution_without_an_answer_is_cut_off(client: Urllib3WebhookClient) -> None:
    result = client.send(post("http://silent.example.test/", seconds=0.2))
    assert (result.error, result.detail) == ("timeout", "the name was not resolved in time")
    assert result.timings["total"] < 700


@pytest.mark.usefixtures("silent_resolver")
def test_a_name_without_an_answer_may_be_saved(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbell.adapters.webhook_client.client.CHECK_SECONDS", 0.1)
    make_client(allow_private=False).check_url("http://silent.example.test/")


def resolver_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]


def test_the_number_of_concurrent_lookups_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lookups beyond it wait, and those that were given up are not made."""
    over, looked_up = Event(), list[str]()

    def wait(host: str, *_: object, **__: object) -> Any:
        looked_up.append(host)
        over.wait()
        return [(None, None, None, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    monkeypatch.setattr(resolver_module, "MAX_LOOKUPS", 2)
    resolver, before = SystemResolver(), len(resolver_threads())
    for host in ("a", "b", "given up", "given up"):
        with pytest.raises(TimeoutError):
            resolver.resolve(host, 0.02)
    assert len(resolver_threads()) == before + 2
    over.set()
    assert resolver.resolve("c", 5) == (ip_address("127.0.0.1"),)
    assert sorted(looked_up) == ["a", "b", "c"]


def test_threads_of_the_resolver_are_reused_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "IDLE_SECONDS", 0.5)
    resolver, before = SystemResolver(), set(resolver_threads())
    for _ in range(20):
        assert ip_address("127.0.0.1") in resolver.resolve("localhost", 5)
    started = set(resolver_threads()) - before
    assert len(started) <= 2  # the first may not be idle again at once
    for thread in started:
        thread.join(10)
        assert not thread.is_alive()
    assert resolver.resolve("localhost", 5)


def test_a_lookup_that_fails_in_another_way_is_a_failure(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise MemoryError("no memory")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    result = make_client(resolver=SystemResolver()).send(post("http://a.example.test/"))
    assert (result.error, result.detail) == ("dns_error", "no memory")


def test_a_thread_that_cannot_be_started_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    resolver = SystemResolver()
    with monkeypatch.context() as patch:
        patch.setattr("threading.Thread.start", refuse)
        with pytest.raises(OSError, match="can't start"):
            resolver.resolve("localhost", 1)
    assert resolver.resolve("localhost", 1)
