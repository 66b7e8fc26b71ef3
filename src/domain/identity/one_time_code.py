"""One-time codes: six digits by mail, for ten minutes, for one use."""

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from attrs import evolve, field, frozen

from workbell.domain.errors import Invalid
from workbell.domain.identity.user import UserId

DIGITS = 6
LIFE = timedelta(minutes=10)
"""How long a code works unless the settings say less (ASVS 6.5.5: no more)."""
MAX_ATTEMPTS = 5
RESEND_AFTER = timedelta(seconds=60)
HOUR = timedelta(hours=1)
MAX_AN_HOUR = 5
DAY = timedelta(days=1)
MAX_WRONG_A_DAY = 20
"""Of one account, over all its codes, whatever they are for."""


class WrongCode(Invalid):
    """The code is wrong, has expired or was used already."""

    code = "wrong_code"

    def __init__(self) -> None:
        """Say no more than that, whichever it was."""
        super().__init__(
            field_errors={"otp": ["The code is wrong, has expired or was used already."]}
        )


class Purpose(StrEnum):
    """What a code proves."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - the name of a purpose


@frozen(kw_only=True)
class OneTimeCode:
    """
    A code that was mailed to a person; only its salted hash is kept.

    Of one person and purpose only the latest code counts. `attempts` are the
    tries that were begun, the successful one among them.
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
        life: timedelta = LIFE,
    ) -> Self:
        """Return a new code that works from now on."""
        return cls(
            user_id=user_id,
            purpose=purpose,
            code_hash=code_hash,
            created_at=now,
            expires_at=now + life,
        )

    def usable(self, now: datetime) -> bool:
        """Whether the code is unused and has not expired."""
        return self.used_at is None and now < self.expires_at

    def may_be_tried(self, now: datetime) -> bool:
        """Whether one more try counts."""
        return self.usable(now) and self.attempts < MAX_ATTEMPTS

    def tried(self) -> Self:
        """Return the code with one more try begun."""
        return evolve(self, attempts=self.attempts + 1)

    def used(self, now: datetime) -> Self:
        """Return the code as used up."""
        return evolve(self, used_at=now)

    def superseded(self, now: datetime) -> Self:
        """Return the code as a newer one leaves it: expired by now."""
        return evolve(self, expires_at=min(self.expires_at, now))


def draw_code(below: Callable[[int], int]) -> str:
    """Return a new code from a source of chance that nobody can guess."""
    return f"{below(10**DIGITS):0{DIGITS}}"


def normalise_code(code: str) -> str:
    """Return a code as it was typed without spaces and hyphens."""
    return "".join(c for c in code if not c.isspace() and c != "-")


def looks_like_code(code: str) -> bool:
    """Whether a text has the form of a code, so that comparing it makes sense."""
    return len(code) == DIGITS and code.isascii() and code.isdigit()


def may_send(latest: OneTimeCode | None, sent_last_hour: int, now: datetime) -> bool:
    """Whether one more code may be mailed: one a minute, five an hour."""
    if latest is not None and now - latest.created_at < RESEND_AFTER:
        return False
    return sent_last_hour < MAX_AN_HOUR


def may_guess(wrong_last_day: int) -> bool:
    """Whether an account may be guessed at once more today."""
    return wrong_last_day < MAX_WRONG_A_DAY
