"""HTTP Request: checked at creation, sent by the client of webhook destinations."""

from collections.abc import Iterator
from typing import Any

import pytest
from attrs import Factory, frozen

from tests.adapters.builtin_tasks.context import RecordedContext
from tests.adapters.webhook_client.receivers import answering, receiving
from workbell.adapters.builtin_tasks.http_request import HttpRequest, HttpRequester, RequestFailed
from workbell.adapters.serialization.serializer import JsonSerializer
from workbell.adapters.webhook_client.client import Urllib3WebhookClient
from workbell.domain.delivery.delivery import SendResult
from workbell.domain.errors import Invalid, Unavailable
from workbell.domain.identity.actor import SYSTEM
from workbell.domain.jobs.task import Cancelled
from workbell.ports.webhook_client import OutgoingRequest

SERIALIZER = JsonSerializer()


@frozen
class ScriptedClient:
    """A client with a fixed result."""

    result: SendResult
    requests: list[OutgoingRequest] = Factory(list)

    def check_url(self, url: str) -> None:
        raise NotImplementedError

    def send(self, request: OutgoingRequest) -> SendResult:
        self.requests.append(request)
        return self.result


@pytest.fixture
def local() -> Iterator[HttpRequester]:
    client = Urllib3WebhookClient(user_agent="Workbell/1.0", allow_private=True)
    yield HttpRequester(client)
    client.close()


def parameters(**given: Any) -> HttpRequest:
    return SERIALIZER.structure(given, HttpRequest)


@pytest.mark.integration
def test_the_result_has_status_headers_body_address_and_timings(local: HttpRequester) -> None:
    created = b"HTTP/1.1 201 Created\r\nX-A: b\r\nContent-Length: 6\r\n\r\nid=\x00\xff9"
    with receiving(answering(created)) as receiver:
        given = parameters(
            url=receiver.url("/a?b=c"), method="PUT", headers={"X-Key": "k"}, body='{"é":1}'
        )
        result = local.run(RecordedContext(), given)
    assert SERIALIZER.unstructure(result) == result
    assert result["status_code"] == 201
    assert result["headers"] == {"x-a": "b", "content-length": "6"}
    assert (result["body"], result["address"]) == ("id=\ufffd\ufffd9", "127.0.0.1")
    assert set(result["timings"]) == {"connect", "first_byte", "total"}
    (request,) = receiver.requests
    assert request.startswith(b"PUT /a?b=c HTTP/1.1\r\n")
    assert b"\r\nX-Key: k\r\n" in request
    assert request.endswith('\r\n\r\n{"é":1}'.encode())


@pytest.mark.integration
def test_the_default_is_a_get_request_without_body(local: HttpRequester) -> None:
    with receiving(answering()) as receiver:
        assert local.run(RecordedContext(), parameters(url=receiver.url()))["body"] == "ok"
    assert receiver.requests[0].startswith(b"GET /hook HTTP/1.1\r\n")


@pytest.mark.unit
@pytest.mark.parametrize("status", [199, 301, 404, 410, 500, 503])
def test_a_response_other_than_2xx_fails_the_attempt(status: int) -> None:
    client = ScriptedClient(SendResult(status_code=status, snippet="no" * 5_000))
    context = RecordedContext()
    with pytest.raises(RequestFailed, match=f"status {status}"):
        HttpRequester(client).run(context, parameters(url="https://example.com/"))
    assert context.log.lines == [("warning", "http_response", {"body": "no" * 250})]


@pytest.mark.unit
def test_the_retry_waits_as_long_as_the_response_asks() -> None:
    headers = {"retry-after": "120"}
    client = ScriptedClient(SendResult(status_code=503, response_headers=headers))
    with pytest.raises(Unavailable, match="status 503") as caught:
        HttpRequester(client).run(RecordedContext(), parameters(url="https://example.com/"))
    assert caught.value.retry_after == 120.0


@pytest.mark.unit
@pytest.mark.parametrize("error", ["timeout", "dns_error", "connect_error", "tls_error", "reset"])
def test_a_request_without_a_response_fails_the_attempt(error: str) -> None:
    client = ScriptedClient(SendResult(error=error, detail="a reason"))
    with pytest.raises(RequestFailed, match=f"{error}: a reason"):
        HttpRequester(client).run(RecordedContext(), parameters(url="https://example.com/"))


@pytest.mark.unit
@pytest.mark.parametrize("error", ["invalid_url", "refused_address"])
def test_a_url_that_is_not_allowed_fails_the_job(error: str) -> None:
    client = ScriptedClient(SendResult(error=error))
    with pytest.raises(Invalid, match=error):
        HttpRequester(client).run(RecordedContext(), parameters(url="https://example.com/"))


@pytest.mark.unit
def test_a_cancelled_job_sends_nothing() -> None:
    client = ScriptedClient(SendResult(status_code=200))
    with pytest.raises(Cancelled):
        HttpRequester(client).run(
            RecordedContext(checks_left=[0]), parameters(url="https://example.com/")
        )
    assert client.requests == []


@pytest.mark.unit
@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"url": "ftp://example.com/"}, "url"),
        ({"url": "https://user:pw@example.com/"}, "url"),
        ({"url": "http://127.0.0.1/"}, "url"),
        ({"url": "http://[::ffff:7f00:1]/"}, "url"),
        ({"url": "http://localhost:8000/"}, "url"),
        ({"url": "https://8.8.8.8/", "headers": {"Host": "a"}}, "headers.Host"),
        ({"url": "https://8.8.8.8/", "headers": {"X-A": "b\r\nX-B: c"}}, "headers.X-A"),
        ({"url": "https://8.8.8.8/", "headers": {"X A": "b"}}, "headers"),
    ],
)
def test_a_bad_url_or_header_is_refused_at_creation(given: dict[str, Any], field: str) -> None:
    task = HttpRequester(Urllib3WebhookClient(user_agent="Workbell/1.0")).task()
    assert task.check is not None
    with pytest.raises(Invalid) as caught:
        task.check(SYSTEM, parameters(**given))
    assert list(caught.value.field_errors) == [field]


@pytest.mark.unit
def test_a_public_url_is_accepted_at_creation() -> None:
    requester = HttpRequester(Urllib3WebhookClient(user_agent="Workbell/1.0"))
    requester.check(SYSTEM, parameters(url="https://8.8.8.8/", headers={"X-A": "b"}))


@pytest.mark.unit
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"url": ""},
        {"url": "https://example.com/", "method": "TRACE"},
        {"url": "https://example.com/", "headers": {"X-A": 1}},
        {"url": "https://example.com/", "body": {"a": 1}},
        {"url": "https://example.com/", "body": "x" * 50_001},
        {"url": "https://example.com/", "timeout": 1},
    ],
    ids=list("abcdefg"),
)
def test_other_parameters_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        parameters(**given)
