"""TLS: certificates are checked by the name of the URL, on the vetted address."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme

from tests.adapters.webhook_client.conftest import MakeClient
from tests.adapters.webhook_client.receivers import (
    OK,
    Connection,
    ScriptedResolver,
    answering,
    post,
    receiving,
)
from workbell.adapters.webhook_client.client import Urllib3WebhookClient
from workbell.adapters.webhook_client.connections import bounded, make_tls_context

pytestmark = pytest.mark.integration

NAME = "hooks.example.test"
YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA, make_client: MakeClient) -> Urllib3WebhookClient:
    """Return a client that trusts the authority; every name is at this host."""

    def tls() -> ssl.SSLContext:
        context = make_tls_context()
        authority.configure_trust(context)
        return context

    return make_client(tls=tls, resolver=ScriptedResolver([["127.0.0.1"]]))


def server_tls(authority: trustme.CA, *names: str, **options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **options).configure_cert(context)
    return context


def test_the_name_is_in_sni_certificate_and_host(
    authority: trustme.CA, trusting: Urllib3WebhookClient
) -> None:
    asked: list[str | None] = []
    tls = server_tls(authority, NAME)
    tls.sni_callback = lambda _, name, __: asked.append(name)
    with receiving(answering(), tls) as receiver:
        result = trusting.send(post(receiver.url(host=NAME + ".")))
    assert (result.status_code, result.address, asked) == (200, "127.0.0.1", [NAME])
    assert set(result.timings) == {"dns", "connect", "tls", "first_byte", "total"}
    assert f"\r\nHost: {NAME}:{receiver.port}\r\n".encode() in receiver.requests[0]


def test_a_certificate_may_be_that_of_an_address(
    authority: trustme.CA, trusting: Urllib3WebhookClient
) -> None:
    with receiving(answering(), server_tls(authority, "127.0.0.1")) as receiver:
        assert trusting.send(post(receiver.url())).status_code == 200


@pytest.mark.parametrize(
    ("make_tls", "reason"),
    [
        (
            lambda ca: server_tls(ca, NAME, not_before=YESTERDAY - timedelta(1), not_after=YESTERDAY),
            "certificate has expired",
        ),
        (
            lambda ca: server_tls(ca, NAME, not_before=YESTERDAY + timedelta(2)),
            "certificate is not yet valid",
        ),
        (lambda ca: server_tls(ca, "other.example.test"), "Hostname mismatch"),
        (lambda ca: server_tls(ca, "127.0.0.1"), "Hostname mismatch"),
        (lambda _: server_tls(trustme.CA(), NAME), "unable to get local issuer certificate"),
        (lambda _: self_signed(), "self-signed certificate"),
    ],
    ids=["expired", "not_yet_valid", "another_name", "address", "unknown_issuer", "self_signed"],
)  # fmt: skip
def test_a_wrong_certificate_is_refused(
    make_tls: Callable[[trustme.CA], ssl.SSLContext],
    reason: str,
    authority: trustme.CA,
    trusting: Urllib3WebhookClient,
) -> None:
    with receiving(answering(), make_tls(authority)) as receiver:
        result = trusting.send(post(receiver.url(host=NAME)))
    assert (result.error, result.status_code, receiver.requests) == ("tls_error", None, [])
    assert reason in result.detail


def self_signed() -> ssl.SSLContext:
    """Return a context with the certificate of an authority itself."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with authority.cert_pem.tempfile() as cert, authority.private_key_pem.tempfile() as key:
        context.load_cert_chain(cert, key)
    return context


def test_the_systems_authorities_do_not_include_the_tests_one(
    authority: trustme.CA, make_client: MakeClient
) -> None:
    client = make_client(resolver=ScriptedResolver([["127.0.0.1"]]))
    with receiving(answering(), server_tls(authority, NAME)) as receiver:
        assert client.send(post(receiver.url(host=NAME))).error == "tls_error"


def test_a_receiver_without_tls_is_an_error(trusting: Urllib3WebhookClient) -> None:
    def plain(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.wait()

    with receiving(plain) as receiver:
        url = receiver.url(host=NAME).replace("http:", "https:")
        assert trusting.send(post(url)).error == "tls_error"


def test_a_handshake_that_does_not_end_is_cut_off(trusting: Urllib3WebhookClient) -> None:
    with receiving(lambda connection: connection.wait()) as receiver:
        url = receiver.url(host=NAME).replace("http:", "https:")
        result = trusting.send(post(url, seconds=0.3))
    assert (result.error, result.detail) == ("timeout", "the TLS handshake did not end in time")
    assert result.timings["total"] < 800


def test_a_connection_that_is_closed_in_the_handshake_is_an_error(
    trusting: Urllib3WebhookClient,
) -> None:
    with receiving(lambda connection: None) as receiver:
        url = receiver.url(host=NAME).replace("http:", "https:")
        assert trusting.send(post(url)).error == "tls_error"


def test_the_deadline_holds_for_headers_dripped_over_tls(
    authority: trustme.CA, trusting: Urllib3WebhookClient
) -> None:
    def drip(connection: Connection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nX-A: ")
        while not connection.receiver.closing.is_set():
            connection.drip(b"b")

    with receiving(drip, server_tls(authority, NAME)) as receiver:
        result = trusting.send(post(receiver.url(host=NAME), seconds=0.3))
    assert (result.error, result.status_code) == ("timeout", None)
    assert result.timings["total"] < 800


def test_a_connection_with_tls_is_reused_for_its_name_only(
    authority: trustme.CA, trusting: Urllib3WebhookClient
) -> None:
    tls = server_tls(authority, NAME, "second.example.test")
    with receiving(answering(), tls) as receiver:
        for _ in range(3):
            assert trusting.send(post(receiver.url(host=NAME))).status_code == 200
        assert receiver.connections == 1
        assert trusting.send(post(receiver.url(host="second.example.test"))).status_code == 200
        assert receiver.connections == 2


def test_bytes_after_the_response_in_one_record_end_the_connection(
    authority: trustme.CA, trusting: Urllib3WebhookClient
) -> None:
    """They would be read as the response to the next request."""
    junk = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n" * 250  # more than one read
    with receiving(answering(OK + junk), server_tls(authority, NAME)) as receiver:
        for _ in range(2):
            assert trusting.send(post(receiver.url(host=NAME))).status_code == 200
        assert receiver.connections == 2


def test_tls_contexts_require_certificates() -> None:
    context = make_tls_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert bounded(context) is context
