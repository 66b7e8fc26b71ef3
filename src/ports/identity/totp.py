"""Time-based one-time passwords (RFC 6238)."""

from datetime import datetime
from typing import Protocol


class Totp(Protocol):
    """Codes of the second factor: SHA-1, six digits, one for each time step of 30 s."""

    def find_step(self, secret: bytes, code: str, now: datetime) -> int | None:
        """
        Return the time step since 1970 that a code is of, or None if it is wrong.

        The step may differ from the present one by `WINDOW`. Whether it was
        used before is for the caller to check.
        """
        ...

    def provisioning_uri(self, secret: bytes, username: str) -> str:
        """Return the `otpauth://` URI that authenticator apps read from a QR code."""
        ...
