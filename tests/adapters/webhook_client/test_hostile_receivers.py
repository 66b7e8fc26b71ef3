"""Receivers that are slow, endless, huge, broken or rude."""

import tracemalloc
from collections.abc import Callable
from time import monotonic

import pytest

from tests.adapters.webhook_client.receivers import (
    Connection,
    answering,
    post,
    receiving,
)
from workbell.adapters.webhook_client.client import Urllib3WebhookClient
from workbell.domain.delivery.delivery import SNIPPET_BYTES, SendResult

pytestmark = pytest.mark.integration

DEADLINE = 0.5
MARGIN = 0.5
"""What a busy machine may add; on an idle one it is a few milliseconds."""
MAX_MEMORY = 1_000_000

Script = Callable[[Connection], None]


def after_request(behave: Script) -> Script:
    """Return a script that reads one request first."""

    def script(connection: Connection) -> None:
        connection.read_request()
        behave(connection)

    return script


def sends(*parts: bytes, times: int = 1) -> Script:
    """Return a script that sends the parts, the last one several times, and waits."""

    def behave(connection: Connection) -> None:
        connection.send(b"".join(parts[:-1]))
        for _ in range(times):
            connection.send(parts[-1])
        connection.wait()

    return after_request(behave)


def drips(before: bytes, dripped: bytes) -> Script:
    """Return a script that sends the first bytes at once, the others one by one, for ever."""

    def behave(connection: Connection) -> None:
        connection.send(before)
        while not connection.receiver.closing.is_set():
            connection.drip(dripped)

    return after_request(behave)


def closes(sent: bytes, *, reset: bool = False) -> Script:
    def behave(connection: Connection) -> None:
        connection.send(sent)
        if reset:
            connection.reset()

    return after_request(behave)


def never_reads(connection: Connection) -> None:
    connection.receiver.closing.wait()


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
ENDLESS = 100_000
"""So many times that the client is the one that ends it."""

FAILURES: dict[str, tuple[Script, str]] = {
    "no_response": (after_request(never_reads), "timeout"),
    "unfinished_status_line": (drips(b"HTTP/1.", b"1"), "timeout"),
    "dripped_header_value": (drips(HEAD + b"X-A: ", b"b"), "timeout"),
    "dripped_headers": (drips(HEAD, b"X-A: b\r\n"), "timeout"),
    "dripped_interim_responses": (drips(b"", b"HTTP/1.1 102 Processing\r\n\r\n"), "timeout"),
    "end_of_headers_is_missing": (sends(HEAD, b"Content-Length: 0\r\n"), "timeout"),
    "endless_status_line": (sends(b"HTTP/1.1 200 ", b"O" * 1_000, times=ENDLESS), "response_too_large"),
    "header_of_10_mb": (sends(HEAD + b"X-A: ", b"b" * 10_000_000), "response_too_large"),
    "headers_of_10_mb": (sends(HEAD, b"X-A: " + b"b" * 60_000 + b"\r\n", times=170), "response_too_large"),
    "headers_without_end": (sends(HEAD, b"X-A: b\r\n" * 100, times=ENDLESS), "response_too_large"),
    "endless_100": (sends(b"HTTP/1.1 100 Continue\r\n\r\n" * 100, times=ENDLESS), "response_too_large"),
    "endless_103": (sends(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" * 100, times=ENDLESS), "response_too_large"),
    "not_http": (sends(b"220 mail.example.test ESMTP\r\n"), "protocol_error"),
    "status_is_no_number": (sends(b"HTTP/1.1 abc OK\r\n\r\n"), "protocol_error"),
    "status_out_of_range": (sends(b"HTTP/1.1 99 OK\r\n\r\n"), "protocol_error"),
    "another_version": (sends(b"HTTP/2.0 200 OK\r\n\r\n"), "protocol_error"),
    "closed_without_response": (closes(b""), "reset"),
    "closed_in_the_status_line": (closes(b"HTTP/1.1 200"), "reset"),
    "closed_in_the_headers": (closes(HEAD + b"Content-Length: 0\r\n"), "reset"),
    "reset_without_response": (closes(b"", reset=True), "reset"),
    "reset_in_the_headers": (closes(HEAD + b"X-A", reset=True), "reset"),
}  # fmt: skip

SUCCESSES: dict[str, tuple[Script, str]] = {
    "body_dripped_past_the_deadline": (drips(HEAD + b"\r\n", b"z"), "zzz"),
    "body_does_not_come": (sends(HEAD + b"Content-Length: 5\r\n\r\n"), ""),
    "endless_body": (sends(HEAD + b"\r\n", b"z" * 10_000, times=ENDLESS), "z" * SNIPPET_BYTES),
    "endless_chunks": (sends(CHUNKED, b"1\r\nz\r\n" * 100, times=ENDLESS), "z" * SNIPPET_BYTES),
    "endless_chunk_extension": (sends(CHUNKED + b"1;", b"z" * 1_000, times=ENDLESS), ""),
    "endless_trailers": (sends(CHUNKED + b"1\r\nz\r\n0\r\n", b"A: b\r\n" * 100, times=ENDLESS), "z"),
    "bad_chunk_size": (sends(CHUNKED + b"1\r\nz\r\nxyz\r\n"), "z"),
    "negative_chunk_size": (closes(CHUNKED + b"-5\r\n" + b"z" * 8_000), "zzz"),
    "body_shorter_than_its_length": (closes(HEAD + b"Content-Length: 9\r\n\r\nzz"), "zz"),
    "reset_in_the_body": (closes(HEAD + b"Content-Length: 9\r\n\r\n", reset=True), ""),
    "length_of_10_tb": (closes(HEAD + b"Content-Length: 10000000000000\r\n\r\nzz"), "zz"),
    "length_is_no_number": (closes(HEAD + b"Content-Length: many\r\n\r\nzz"), "zz"),
    "nul_and_broken_utf8": (sends(HEAD + b"Content-Length: 6\r\n\r\na\x00\xff\xc3\xa9\xc3"), "a\ufffd\ufffdé\ufffd"),
    "malformed_header": (closes(HEAD + b"no colon here\r\n\r\nzz"), "zz"),
    "empty_reason": (sends(b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nz"), "z"),
    "interim_responses_first": (
        sends(b"HTTP/1.1 100 \r\n\r\nHTTP/1.1 103 \r\nLink: a\r\n\r\n" + HEAD + b"Content-Length: 1\r\n\r\nz"),
        "z",
    ),
}  # fmt: skip


def send(client: Urllib3WebhookClient, script: Script, body: bytes = b"{}") -> SendResult:
    """Send to a receiver; the client ends in time and uses little memory."""
    with receiving(script) as receiver:
        request = post(receiver.url(), body, seconds=DEADLINE)
        tracemalloc.start()
        began_at = monotonic()
        result = client.send(request)
        seconds = monotonic() - began_at
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert seconds < DEADLINE + MARGIN
    assert peak < MAX_MEMORY
    return result


@pytest.mark.parametrize("name", FAILURES)
def test_a_response_without_a_complete_head_is_a_failure(
    name: str, client: Urllib3WebhookClient
) -> None:
    script, error = FAILURES[name]
    result = send(client, script)
    assert (result.error, result.status_code, result.is_success) == (error, None, False)
    assert result.detail
    assert result.address == "127.0.0.1"
    assert len(result.detail) <= 300
    assert result.detail.isprintable()


@pytest.mark.parametrize("name", SUCCESSES)
def test_a_complete_head_of_2xx_is_a_success_regardless_of_its_body(
    name: str, client: Urllib3WebhookClient
) -> None:
    script, snippet = SUCCESSES[name]
    result = send(client, script)
    assert (result.status_code, result.error, result.is_success) == (200, None, True)
    assert result.snippet.startswith(snippet)
    assert len(result.snippet) <= SNIPPET_BYTES
    assert "\0" not in result.snippet


def test_a_response_of_4xx_keeps_its_status_if_its_body_does_not_end(
    client: Urllib3WebhookClient,
) -> None:
    result = send(client, drips(b"HTTP/1.1 410 Gone\r\n\r\n", b"z"))
    assert (result.status_code, result.error, result.is_gone) == (410, None, True)


def test_a_compressed_body_is_not_unpacked(client: Urllib3WebhookClient) -> None:
    bomb = b"\x1f\x8b\x08\x00" + b"\xff" * 10_000
    head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    result = send(client, sends(head + bomb))
    assert result.is_success
    assert result.response_headers["content-encoding"] == "gzip"
    assert len(result.snippet) <= SNIPPET_BYTES
    assert result.snippet.startswith("\x1f\ufffd\x08\ufffd\ufffd")


def test_a_receiver_that_does_not_read_is_cut_off(client: Urllib3WebhookClient) -> None:
    result = send(client, never_reads, body=b"x" * 8_000_000)
    assert (result.error, result.status_code) == ("timeout", None)


def test_a_response_to_a_request_that_is_not_read_is_received(
    client: Urllib3WebhookClient,
) -> None:
    def refuse(connection: Connection) -> None:
        connection.stream.recv(100)
        connection.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

    result = send(client, refuse, body=b"x" * 8_000_000)
    assert (result.status_code, result.error) == (413, None)


def test_many_hostile_responses_leave_no_memory_behind(client: Urllib3WebhookClient) -> None:
    with receiving(sends(HEAD + b"\r\n", b"z" * 10_000, times=ENDLESS)) as receiver:
        client.send(post(receiver.url()))
        tracemalloc.start()
        for _ in range(50):
            assert client.send(post(receiver.url())).is_success
        left, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert left < 500_000


def test_a_healthy_receiver_is_answered_at_once(client: Urllib3WebhookClient) -> None:
    result = send(client, answering())
    assert (result.status_code, result.snippet) == (200, "ok")
    assert result.timings["total"] < DEADLINE * 1_000
