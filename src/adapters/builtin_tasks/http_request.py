"""HTTP Request: calls a URL through the client of webhook destinations."""

from collections.abc import Mapping
from typing import Annotated, Any

from attrs import field, frozen

from workbell.domain.constraints import Constraints
from workbell.domain.delivery.delivery import SendResult
from workbell.domain.delivery.destination import HttpMethod, Url, check_headers
from workbell.domain.delivery.retry_policy import parse_retry_after
from workbell.domain.errors import Invalid, Unavailable
from workbell.domain.identity.actor import Actor
from workbell.domain.jobs.task import Task, TaskContext
from workbell.ports.webhook_client import OutgoingRequest, WebhookClient

REQUEST_SECONDS = 30
"""Deadline of the whole request and response."""
MAX_BODY = 50_000
MAX_LOGGED = 500
_PERMANENT = {"invalid_url", "refused_address"}


class RequestFailed(Exception):
    """There was no response, or its status is not 2xx; the job's backoff applies."""


@frozen(kw_only=True)
class HttpRequest:
    """Parameters of HTTP Request."""

    url: Url
    method: HttpMethod = HttpMethod.GET
    headers: Mapping[str, str] = field(factory=dict[str, str])
    body: Annotated[
        str | None, Constraints(max_length=MAX_BODY, description="Sent as it is, in UTF-8.")
    ] = None


@frozen
class HttpRequester:
    """Sends requests of jobs."""

    client: WebhookClient

    def check(self, _: Actor, parameters: HttpRequest) -> None:
        """Raise Invalid for a URL that is not allowed, or malformed headers."""
        check_headers(parameters.headers)
        self.client.check_url(parameters.url)

    def run(self, context: TaskContext, parameters: HttpRequest) -> dict[str, Any]:
        """
        Send the request and return the response, with the beginning of its body.

        Raises:
            Invalid: The URL or its address is not allowed.
            RequestFailed: There was no response, or its status is not 2xx.
            Unavailable: The same, and the response has a Retry-After header.
        """
        context.check()
        result = self.client.send(
            OutgoingRequest(
                method=parameters.method,
                url=parameters.url,
                headers=parameters.headers,
                body=None if parameters.body is None else parameters.body.encode(),
                timeout_seconds=REQUEST_SECONDS,
            )
        )
        _check_success(context, result)
        return {
            "status_code": result.status_code,
            "headers": dict(result.response_headers),
            "body": result.snippet,
            "address": result.address,
            "timings": dict(result.timings),
        }

    def task(self) -> Task:
        """Return the task."""
        return Task(
            key="http.request",
            name="HTTP Request",
            description="Calls a URL; a response other than 2xx fails the attempt.",
            parameters=HttpRequest,
            body=self.run,
            check=self.check,
            timeout_seconds=REQUEST_SECONDS + 30,
        )


def _check_success(context: TaskContext, result: SendResult) -> None:
    if result.is_success:
        return
    if result.error in _PERMANENT:
        raise Invalid.field("url", f"The request failed ({result.summary}).")
    context.log.warning("http_response", body=result.snippet[:MAX_LOGGED])
    delay = parse_retry_after(result.response_headers.get("retry-after"), context.now())
    if delay is not None:
        raise Unavailable(f"The request failed ({result.summary}).", retry_after=delay)
    raise RequestFailed(result.summary)
