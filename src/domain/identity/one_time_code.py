"""One-time codes: six digits sent by email, valid once for ten minutes."""

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from attrs import evolve, field, frozen

from workbell.domain.errors import Invalid
from workbell.domain.identity.user import UserId

DIGITS = 6
CODE_LIFETIME = timedelta(minutes=10)
"""Default and maximum validity of a code (ASVS 6.5.5)."""
MAX_ATTEMPTS = 5
RESEND_AFTER = timedelta(seconds=60)
HOUR = timedelta(hours=1)
MAX_SENT_PER_HOUR = 5
DAY = timedelta(days=1)
MAX_WRONG_PER_DAY = 20
"""Per account, over all codes and purposes."""


class WrongCode(Invalid):
    """The code is wrong, has expired or was used already."""

    code = "wrong_code"

    def __init__(self) -> None:
        super().__init__(
            field_errors={"otp": ["The code is wrong, has expired or was used already."]}
        )


class Purpose(StrEnum):
    """The action that a code authorizes."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - the name of a purpose


@frozen(kw_only=True)
class OneTimeCode:
    """
    A code that was sent to a user; only its salted hash is stored.

    Only the latest code per user and purpose is valid. `attempts` counts tries
    when they start, so it includes the successful one.
    """

    id: int = 0
    user_id: UserId
    purpose: Purpose
    code_hash: str = field(repr=False)
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    attempts: int = 0

    @classmethod
    def issue(
        cls,
        user_id: UserId,
        purpose: Purpose,
        code_hash: str,
        now: datetime,
        life: timedelta = CODE_LIFETIME,
    ) -> Self:
        """Return a new code that is valid from now on."""
        return cls(
            user_id=user_id,
            purpose=purpose,
            code_hash=code_hash,
            created_at=now,
            expires_at=now + life,
        )

    def is_usable(self, now: datetime) -> bool:
        """Whether the code is unused and has not expired."""
        return self.used_at is None and now < self.expires_at

    def can_be_tried(self, now: datetime) -> bool:
        """Whether the code is usable and has attempts left."""
        return self.is_usable(now) and self.attempts < MAX_ATTEMPTS

    def tried(self) -> Self:
        """Return the code with one more attempt counted."""
        return evolve(self, attempts=self.attempts + 1)

    def used(self, now: datetime) -> Self:
        """Return the code marked as used."""
        return evolve(self, used_at=now)

    def superseded(self, now: datetime) -> Self:
        """Return the code expired now, because a newer one replaces it."""
        return evolve(self, expires_at=min(self.expires_at, now))


def generate_code(randbelow: Callable[[int], int]) -> str:
    """Return a new code; `randbelow` must be cryptographically secure."""
    return f"{randbelow(10**DIGITS):0{DIGITS}}"


def normalise_code(code: str) -> str:
    """Remove spaces and hyphens from a code as the user typed it."""
    return "".join(c for c in code if not c.isspace() and c != "-")


def looks_like_code(code: str) -> bool:
    """Whether a text has the format of a code, so comparing it makes sense."""
    return len(code) == DIGITS and code.isascii() and code.isdigit()


def can_send_code(latest: OneTimeCode | None, sent_last_hour: int, now: datetime) -> bool:
    """Whether another code may be sent: one per minute, five per hour."""
    if latest is not None and now - latest.created_at < RESEND_AFTER:
        return False
    return sent_last_hour < MAX_SENT_PER_HOUR


def can_try_code(wrong_last_day: int) -> bool:
    """Whether the account has wrong attempts left today."""
    return wrong_last_day < MAX_WRONG_PER_DAY
