"""Sessions: one for each login, kept alive by refresh tokens that rotate."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from attrs import evolve, frozen

from .identity import UserId

GRACE = timedelta(seconds=10)
"""How long the token before the current one is answered with the same successor."""


class TokenKind(StrEnum):
    """What a token is for; the value is its `typ` (RFC 9068)."""

    ACCESS = "at+jwt"
    REFRESH = "rt+jwt"


@frozen(kw_only=True)
class Claims:
    """
    What a signed token says.

    The times are whole seconds. `version` is the user's `token_version` when
    it was issued. The same claims always make the same token.
    """

    kind: TokenKind
    user_id: UserId
    session_id: str
    jti: str
    version: int
    issued_at: datetime
    expires_at: datetime


class Standing(StrEnum):
    """How a refresh token stands to its session."""

    CURRENT = "current"
    JUST_ROTATED = "just rotated"
    REUSED = "reused"
    ENDED = "ended"


@frozen(kw_only=True)
class Session:
    """
    One login of one person.

    `current_jti` is the refresh token that works next, `previous_jti` the one
    that was exchanged for it at `rotated_at`, which is the login until then.
    """

    id: str
    user_id: UserId
    created_at: datetime
    expires_at: datetime
    current_jti: str
    rotated_at: datetime
    previous_jti: str | None = None
    revoked_at: datetime | None = None

    @classmethod
    def start(cls, id: str, user_id: UserId, jti: str, now: datetime, life: timedelta) -> Self:
        """Return the session of a login, with its first refresh token."""
        return cls(
            id=id,
            user_id=user_id,
            created_at=now,
            expires_at=now + life,
            current_jti=jti,
            rotated_at=now,
        )

    def alive(self, now: datetime) -> bool:
        """Whether it is neither revoked nor over."""
        return self.revoked_at is None and now < self.expires_at

    def standing(self, jti: str, now: datetime) -> Standing:
        """Return what a refresh token with a good signature is worth."""
        if not self.alive(now):
            return Standing.ENDED
        if jti == self.current_jti:
            return Standing.CURRENT
        if jti == self.previous_jti and now - self.rotated_at <= GRACE:
            return Standing.JUST_ROTATED
        return Standing.REUSED

    def rotated(self, jti: str, now: datetime, life: timedelta) -> Self:
        """Return the session after its refresh token was exchanged for a new one."""
        return evolve(
            self,
            previous_jti=self.current_jti,
            current_jti=jti,
            rotated_at=now,
            expires_at=now + life,
        )

    def revoked(self, now: datetime) -> Self:
        """Return the session as ended before its time."""
        return evolve(self, revoked_at=now)
