"""
Verification of deliveries, for the programs that receive them.

Deliveries are signed as specified by Standard Webhooks 1.0. Importing
`workbell.webhooks` loads the standard library only, not the service.
"""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from hmac import compare_digest
from typing import Final, Protocol

from workbell.domain.delivery import signature
from workbell.domain.errors import Invalid

__all__ = ["HeaderItems", "VerificationError", "VerifiedWebhook", "sign", "verify"]

_ID: Final = re.compile(r"[\x21-\x2d\x2f-\x7e]+")
"""Without a dot, which separates the signed parts."""
_TIMESTAMP: Final = re.compile(r"0|[1-9][0-9]{0,10}")


class HeaderItems(Protocol):
    """Headers: a mapping, or any other object with `items()`, as of `http.server`."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Return names and values; names may have any letter case."""
        ...


class VerificationError(Invalid):
    """The webhook is not authentic, not current or malformed: do not process it."""

    code = "verification_failed"


@dataclass(frozen=True, slots=True)
class VerifiedWebhook:
    """
    The authentic metadata of a delivery.

    `id` is the same for all attempts and replays of an event: store it, and skip
    webhooks whose id is stored. `timestamp` is when this attempt was sent.
    """

    id: str
    timestamp: datetime


def verify(
    secret: str,
    headers: HeaderItems,
    body: str | bytes,
    *,
    tolerance_seconds: float = 300,
    now: datetime | None = None,
) -> VerifiedWebhook:
    """
    Verify a received webhook and return its id and timestamp.

    One valid signature is enough; while a secret is rotated, deliveries have two.

    Args:
        secret: The destination's secret, with or without `whsec_`.
        headers: The headers of the request.
        body: The body exactly as received; of a GET request, the raw query string.
        tolerance_seconds: How far the timestamp may be from `now`, in both directions.
        now: The current time, with a time zone; defaults to the system's clock.

    Raises:
        VerificationError: For every input that is not a valid webhook, also for
            arguments of wrong types. There are no other errors.
    """
    key, payload = _parse_secret(secret), _encode(body)
    values = _select_headers(headers)
    message_id = _check_id(values[signature.ID_HEADER])
    sent_at = _parse_timestamp(values[signature.TIMESTAMP_HEADER])
    expected = signature.sign(key, message_id, sent_at, payload).encode()
    candidates = values[signature.SIGNATURE_HEADER].encode().split()
    if not any(compare_digest(expected, candidate) for candidate in candidates):
        raise VerificationError("No signature matches the secret and the received body.")
    _check_age(sent_at, tolerance_seconds, _to_seconds(now))
    return VerifiedWebhook(message_id, datetime.fromtimestamp(sent_at, UTC))


def sign(
    secret: str, body: str | bytes, *, message_id: str = "evt_test", now: datetime | None = None
) -> dict[str, str]:
    """
    Return the headers of a signed webhook, for tests of a receiver.

    Args:
        secret: The secret, with or without `whsec_`.
        body: The body; of a GET request, the raw query string.
        message_id: The `webhook-id`: printable ASCII without dots.
        now: The time of sending, with a time zone; defaults to the system's clock.

    Raises:
        VerificationError: `verify` would refuse an argument.
    """
    key, payload = _parse_secret(secret), _encode(body)
    sent_at = _parse_timestamp(str(int(_to_seconds(now))))
    return signature.signature_headers([key], _check_id(message_id), sent_at, payload)


def _parse_secret(secret: object) -> bytes:
    if not isinstance(secret, str):
        raise VerificationError(f"The secret must be text, not {type(secret).__name__}.")
    try:
        return signature.parse_secret(secret)
    except Invalid as error:
        raise VerificationError(error.detail) from None


def _encode(body: object) -> bytes:
    if isinstance(body, bytes):
        return body
    if not isinstance(body, str):
        raise VerificationError(
            f"The body must be the received bytes or text, not {type(body).__name__}."
        )
    try:
        return body.encode()
    except UnicodeEncodeError:
        raise VerificationError("The body is not Unicode text.") from None


def _select_headers(headers: HeaderItems) -> dict[str, str]:
    """Return the values of the three headers by lower-case name."""
    try:
        items = [(name, value) for name, value in headers.items()]
    except Exception as error:  # the object is the caller's
        raise VerificationError("The headers must be a mapping of names to values.") from error
    found = {}
    for wanted in (signature.ID_HEADER, signature.TIMESTAMP_HEADER, signature.SIGNATURE_HEADER):
        values = [value for name, value in items if _matches(name, wanted)]
        if len(values) != 1 or not _is_ascii(values[0]):
            raise VerificationError(f"The header {wanted} is missing, repeated or malformed.")
        found[wanted] = values[0]
    return found


def _matches(name: object, wanted: str) -> bool:
    return isinstance(name, str) and name.lower() == wanted


def _is_ascii(value: object) -> bool:
    return isinstance(value, str) and value.isascii()


def _check_id(message_id: object) -> str:
    if not isinstance(message_id, str) or not _ID.fullmatch(message_id):
        raise VerificationError("The webhook id must be printable ASCII without dots.")
    return message_id


def _parse_timestamp(text: str) -> int:
    if not _TIMESTAMP.fullmatch(text):
        raise VerificationError("The webhook timestamp must be a number of seconds since 1970.")
    return int(text)


def _to_seconds(now: object) -> float:
    if now is None:
        return time.time()
    if not isinstance(now, datetime) or now.utcoffset() is None:
        raise VerificationError("The argument now must be a datetime with a time zone.")
    return now.timestamp()


def _check_age(sent_at: int, tolerance_seconds: object, now: float) -> None:
    if not isinstance(tolerance_seconds, int | float):
        raise VerificationError("The argument tolerance_seconds must be a number.")
    difference = abs(now - sent_at)
    if not difference <= tolerance_seconds:  # also if it is not a number
        raise VerificationError(f"The webhook was sent {difference:.0f} s from the current time.")
