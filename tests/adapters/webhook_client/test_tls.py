"""TLS: certificates are checked by the name of the URL, on the vetted address."""

import ssl
from pathlib import Path

import pytest

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
CERTIFICATES = Path(__file__).parent / "certificates"


@pytest.fixture
def trusting(make_client: MakeClient) -> Urllib3WebhookClient:
    """Return a client that trusts the tests' authority; every name is at this host."""

    def tls() -> ssl.SSLContext:
        context = make_tls_context()
        context.load_verify_locations(CERTIFICATES / "authority.pem")
        return context

    return make_client(tls=tls, resolver=ScriptedResolver([["127.0.0.1"]]))


def server_tls(certificate: str = "name") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{certificate}.pem")
    return context


def test_the_name_is_in_sni_certificate_and_host(
    trusting: Urllib3WebhookClient,
) -> None:
    asked: list[str | None] = []
    tls = server_tls()
    tls.sni_callback = lambda _, name, __: asked.append(name)
    with receiving(answering(), tls) as receiver:
        result = trusting.send(post(receiver.url(host=NAME + ".")))
    assert (result.status_code, result.address, asked) == (200, "127.0.0.1", [NAME])
    assert set(result.timings) == {"dns", "connect", "tls", "first_byte", "total"}
    assert f"\r\nHost: {NAME}:{receiver.port}\r\n".encode() in receiver.requests[0]


def test_a_certificate_may_be_that_of_an_address(
    trusting: Urllib3WebhookClient,
) -> None:
    with receiving(answering(), server_tls("address")) as receiver:
        assert trusting.send(post(receiver.url())).status_code == 200


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        ("expired", "certificate has expired"),
        ("not_yet_valid", "certificate is not yet valid"),
        ("other_name", "Hostname mismatch"),
        ("address", "Hostname mismatch"),
        ("unknown_issuer", "unable to get local issuer certificate"),
        ("self_signed", "self-signed certificate"),
    ],
)
def test_a_wrong_certificate_is_refused(
    certificate: str, reason: str, trusting: Urllib3WebhookClient
) -> None:
    with receiving(answering(), server_tls(certificate)) as receiver:
        result = trusting.send(post(receiver.url(host=NAME)))
    assert (result.error, result.status_code, receiver.requests) == ("tls_error", None, [])
    assert reason in result.detail


def test_the_systems_authorities_do_not_include_the_tests_one(
    make_client: MakeClient,
) -> None:
    client = make_client(resolver=ScriptedResolver([["127.0.0.1"]]))
    with receiving(answering(), server_tls()) as receiver:
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
        result = trusting.send(post(url, seconds=1.0))
    assert (result.error, result.detail) == ("timeout", "the TLS handshake did not end in time")
    assert result.timings["total"] < 2_000


def test_a_connection_that_is_closed_in_the_handshake_is_an_error(
    trusting: Urllib3WebhookClient,
) -> None:
    with receiving(lambda connection: None) as receiver:
        url = receiver.url(host=NAME).replace("http:", "https:")
        assert trusting.send(post(url)).error == "tls_error"


def test_the_deadline_holds_for_headers_dripped_over_tls(
    trusting: Urllib3WebhookClient,
) -> None:
    def drip(connection: Connection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nX-A: ")
        while not connection.receiver.closing.is_set():
            connection.drip(b"b")

    with receiving(drip, server_tls()) as receiver:
        result = trusting.send(post(receiver.url(host=NAME), seconds=0.3))
    assert (result.error, result.status_code) == ("timeout", None)
    assert result.timings["total"] < 800


def test_a_connection_with_tls_is_reused_for_its_name_only(
    trusting: Urllib3WebhookClient,
) -> None:
    tls = server_tls()
    with receiving(answering(), tls) as receiver:
        for _ in range(3):
            assert trusting.send(post(receiver.url(host=NAME))).status_code == 200
        assert receiver.connections == 1
        assert trusting.send(post(receiver.url(host="second.example.test"))).status_code == 200
        assert receiver.connections == 2


def test_bytes_after_the_response_in_one_record_end_the_connection(
    trusting: Urllib3WebhookClient,
) -> None:
    """They would be read as the response to the next request."""
    junk = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n" * 250  # more than one read
    with receiving(answering(OK + junk), server_tls()) as receiver:
        for _ in range(2):
            assert trusting.send(post(receiver.url(host=NAME))).status_code == 200
        assert receiver.connections == 2


def test_tls_contexts_require_certificates() -> None:
    context = make_tls_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert bounded(context) is context
