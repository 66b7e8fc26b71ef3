"""Outgoing requests of deliveries: URL, body, headers and signature."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from attrs import field, frozen

from workbell.domain.delivery.destination import (
    HEADER_MASK,
    HEADER_PURPOSE,
    RESERVED_HEADERS,
    SECRET_PURPOSE,
    Destination,
    HttpMethod,
)
from workbell.domain.delivery.query_string import add_to_query
from workbell.domain.delivery.signature import SIGNATURE_HEADER, parse_secret, signature_headers
from workbell.domain.errors import Invalid, Unavailable
from workbell.ports.delivery.repository import Dispatch
from workbell.ports.secret_box import SecretBox
from workbell.ports.webhook_client import OutgoingRequest

CONTENT_TYPE = "content-type"
PURGED = "The data of the event has been deleted."


@frozen(kw_only=True)
class SignedRequest:
    """A signed request; `masked_headers` are its headers without secret values."""

    request: OutgoingRequest = field(repr=False)
    masked_headers: Mapping[str, str]


@frozen(kw_only=True)
class OutgoingRequests:
    """Builds the request of a delivery, signed with the secrets that are valid now."""

    secret_box: SecretBox

    def make(self, dispatch: Dispatch, now: datetime) -> SignedRequest:
        """
        Return the signed request of an attempt at a time.

        Raises:
            Invalid: The event cannot be sent to this destination, now or later.
            Unavailable: A secret cannot be decrypted.
        """
        event, destination = dispatch.event, dispatch.destination
        if event.data is None:
            raise Invalid(PURGED)
        url, payload, body = destination.url, event.data, None
        if destination.method is HttpMethod.GET:
            url, payload = add_to_query(url, event.data)
        else:
            body = event.data
        own = self._own_headers(destination)
        standard = {} if body is None or CONTENT_TYPE in map(str.lower, own) else _JSON
        signed = signature_headers(
            self._signing_keys(destination, now), event.key, int(now.timestamp()), payload
        )
        return SignedRequest(
            request=OutgoingRequest(
                method=destination.method,
                url=url,
                headers={**standard, **own, **signed},
                body=body,
                timeout_seconds=destination.timeout_seconds,
            ),
            masked_headers={
                **standard,
                **dict.fromkeys(own, HEADER_MASK),
                **signed,
                SIGNATURE_HEADER: HEADER_MASK,
            },
        )

    def _signing_keys(self, destination: Destination, now: datetime) -> Sequence[bytes]:
        """Return the keys to sign with; a previous one that cannot be decrypted is left out."""
        current, *previous = destination.active_secrets(now)
        secrets = [self.secret_box.decrypt(current, SECRET_PURPOSE)]
        for encrypted in previous:
            with suppress(Unavailable):  # its key was lost, which is why it was replaced
                secrets.append(self.secret_box.decrypt(encrypted, SECRET_PURPOSE))
        return [parse_secret(secret) for secret in secrets]

    def _own_headers(self, destination: Destination) -> dict[str, str]:
        """Return the decrypted headers of a destination, without reserved ones."""
        return {
            name: self.secret_box.decrypt(value, HEADER_PURPOSE)
            for name, value in destination.headers.items()
            if not _is_reserved(name.lower())
        }


_JSON = {"Content-Type": "application/json"}


def _is_reserved(name: str) -> bool:
    return name in RESERVED_HEADERS or name.startswith("webhook-")
