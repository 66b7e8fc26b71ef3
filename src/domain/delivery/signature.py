"""
Signatures of deliveries, as specified by Standard Webhooks 1.0.

A signature is `v1,` and the base64 HMAC-SHA256 of `id.timestamp.payload`. The
payload is the exact body; for GET it is the exact raw query string.
"""

import hmac
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from workbell.domain.errors import Invalid

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - not a secret
SECRET_BYTES: Final = 32
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER = (
    "webhook-id", "webhook-timestamp", "webhook-signature",
)  # fmt: skip


def format_secret(key: bytes) -> str:
    """Return a key in the form in which users see it."""
    return SECRET_PREFIX + b64encode(key).decode()


def parse_secret(secret: str) -> bytes:
    """
    Return the key of a secret such as `whsec_...`.

    Raises:
        Invalid: It is not base64, or its length is out of range.
    """
    try:
        key = b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (Base64Error, ValueError):
        raise Invalid("The secret must be whsec_ and base64.") from None
    if not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise Invalid(
            f"The secret must have {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes, not {len(key)}."
        )
    return key


def sign(key: bytes, message_id: str, timestamp: int, payload: bytes) -> str:
    """Return one signature, with its version."""
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, payload)
    return "v1," + b64encode(hmac.digest(key, signed, sha256().name)).decode()


def signature_headers(
    keys: Sequence[bytes], message_id: str, timestamp: int, payload: bytes
) -> dict[str, str]:
    """Return the headers of a message, signed with each key (the current one first)."""
    signatures = " ".join(sign(key, message_id, timestamp, payload) for key in keys)
    return {
        ID_HEADER: message_id,
        TIMESTAMP_HEADER: str(timestamp),
        SIGNATURE_HEADER: signatures,
    }
