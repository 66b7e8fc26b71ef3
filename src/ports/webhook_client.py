"""Outgoing HTTP requests to addresses that users choose."""

from collections.abc import Mapping
from typing import Protocol

from attrs import field, frozen

from workbell.domain.delivery.delivery import SendResult


@frozen(kw_only=True)
class OutgoingRequest:
    """A request; `timeout_seconds` covers name resolution to response snippet."""

    method: str
    url: str
    headers: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    body: bytes | None = field(default=None, repr=False)
    timeout_seconds: float = 15.0


class WebhookClient(Protocol):
    """
    Sends requests to public addresses only.

    Redirects are not followed, proxies of the environment are not used, and
    responses are neither decompressed nor read beyond a snippet.
    """

    def check_url(self, url: str) -> None:
        """
        Check a URL before it is saved.

        A name that cannot be resolved is accepted.

        Raises:
            Invalid: The URL is malformed, has user information or another scheme
                than http and https, or its host is, or resolves to, an address
                that is not public.
        """

    def send(self, request: OutgoingRequest) -> SendResult:
        """Send a request; failures are part of the result and never raised."""
