"""Sessions: one for each login, kept alive by refresh tokens that rotate."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from attrs import evolve, frozen

from workbell.domain.errors import NotAllowed, Unauthenticated
from workbell.domain.identity.actor import ClientInfo
from workbell.domain.identity.user import UserId

GRACE = timedelta(seconds=10)
"""How long the token before the current one is answered with the same successor."""


MAX_LIFE = timedelta(days=30)
"""How long a session may last in all, however often it is renewed (ASVS 7.3.2)."""
FRESH = timedelta(minutes=10)
"""How long after a login one may end one's other sessions (ASVS 7.5.2)."""
USE_NOTED_EVERY = timedelta(minutes=1)
TEXT_LENGTH = 256


class SessionKind(StrEnum):
    """What its owner holds: a pair of signed tokens, an opaque one, or a cookie."""

    TOKENS = "tokens"
    OPAQUE = "opaque"
    BROWSER = "browser"


class TokenExpired(Unauthenticated):
    """A token that was good until its time was over, as all of them do."""


class SignInAgain(NotAllowed):
    """This takes a login of a moment ago."""

    code = "sign_in_again"


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


class RefreshTokenState(StrEnum):
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
    Of an opaque token or a cookie, `current_jti` is the hash of the secret.
    `last_used_at` is noted at most once a minute.
    """

    id: str
    user_id: UserId
    created_at: datetime
    expires_at: datetime
    current_jti: str
    rotated_at: datetime
    previous_jti: str | None = None
    revoked_at: datetime | None = None
    kind: SessionKind = SessionKind.TOKENS
    last_used_at: datetime | None = None
    address: str = ""
    user_agent: str = ""

    @classmethod
    def start(
        cls,
        id: str,
        user_id: UserId,
        jti: str,
        now: datetime,
        life: timedelta,
        *,
        kind: SessionKind = SessionKind.TOKENS,
        client_info: ClientInfo | None = None,
    ) -> Self:
        """Return the session of a login, with its first refresh token."""
        client_info = client_info or ClientInfo()
        return cls(
            id=id,
            user_id=user_id,
            created_at=now,
            expires_at=now + life,
            current_jti=jti,
            rotated_at=now,
            kind=kind,
            address=client_info.address[:64],
            user_agent=client_info.user_agent[:TEXT_LENGTH],
        )

    def is_active(self, now: datetime) -> bool:
        """Whether it is neither revoked nor over."""
        return self.revoked_at is None and now < self.expires_at

    def is_recent(self, now: datetime) -> bool:
        """Whether its login was a moment ago; renewing it makes it no younger."""
        return now - self.created_at < FRESH

    def classify_refresh_token(self, jti: str, now: datetime) -> RefreshTokenState:
        """Return what a refresh token with a good signature is worth."""
        if not self.is_active(now):
            return RefreshTokenState.ENDED
        if jti == self.current_jti:
            return RefreshTokenState.CURRENT
        if jti == self.previous_jti and now - self.rotated_at <= GRACE:
            return RefreshTokenState.JUST_ROTATED
        return RefreshTokenState.REUSED

    def rotated(self, jti: str, now: datetime, life: timedelta, most: timedelta = MAX_LIFE) -> Self:
        """
        Return the session after its refresh token was exchanged for a new one.

        It lasts one more `life`, but in all no longer than `most`.
        """
        return evolve(
            self,
            previous_jti=self.current_jti,
            current_jti=jti,
            rotated_at=now,
            last_used_at=now,
            expires_at=self._until(now + life, most),
        )

    def use_is_worth_noting(self, now: datetime) -> bool:
        """Whether the last note of its use is old enough for another one."""
        return now - (self.last_used_at or self.created_at) >= USE_NOTED_EVERY

    def used(self, now: datetime, idle: timedelta, most: timedelta = MAX_LIFE) -> Self:
        """
        Return the session with a note of its use.

        A browser's then lasts until it is idle for so long, but in all no
        longer than `most`; the others end when they would have.
        """
        if self.kind is not SessionKind.BROWSER:
            return evolve(self, last_used_at=now)
        return evolve(self, last_used_at=now, expires_at=self._until(now + idle, most))

    def revoked(self, now: datetime) -> Self:
        """Return the session as ended before its time."""
        return evolve(self, revoked_at=now)

    def _until(self, wanted: datetime, most: timedelta) -> datetime:
        return min(wanted, self.created_at + most)
