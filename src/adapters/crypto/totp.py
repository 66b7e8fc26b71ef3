"""Time-based one-time passwords (RFC 6238) by pyotp."""

from datetime import datetime

from attrs import frozen
from pyotp.exceptions import OTPVerificationError
from pyotp.totp import TOTP

from workbell.domain.identity.one_time_code import DIGITS
from workbell.domain.identity.second_factor import ISSUER, STEP, WINDOW, base32_secret


@frozen
class PyotpTotp:
    """One-time passwords of authenticator apps; satisfies `Totp`."""

    def find_step(self, secret: bytes, code: str, now: datetime) -> int | None:
        """Return the time step since 1970 of a code, or None if it is wrong."""
        try:
            return _totp(secret).verify_and_get_timecode(code, for_time=now, valid_window=WINDOW)
        except OTPVerificationError:
            return None

    def provisioning_uri(self, secret: bytes, username: str) -> str:
        """Return the `otpauth://` URI that authenticator apps read from a QR code."""
        return _totp(secret).provisioning_uri(name=username, issuer_name=ISSUER)


def _totp(secret: bytes) -> TOTP:
    return TOTP(base32_secret(secret), digits=DIGITS, interval=STEP)
