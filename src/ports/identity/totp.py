"""Time-based one-time passwords (RFC 6238)."""

from datetime import datetime
from typing import Protocol


class Totp(Protocol):
    """TOTP codes: SHA-1, six digits, time steps of 30 s."""

    def find_step(self, secret: bytes, code: str, now: datetime) -> int | None:
        """
        Return the time step (since 1970) of a code, or None if it is wrong.

        Accepts steps within `WINDOW` of the current one. The caller must check that
        the step was not used before.
        """

    def provisioning_uri(self, secret: bytes, username: str) -> str:
        """Return the `otpauth://` URI that authenticator apps read as a QR code."""
