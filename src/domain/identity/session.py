"""Sessions: one per login, extended by rotating refresh tokens."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from attrs import evolve, frozen

from workbell.domain.errors import NotAllowed, Unauthenticated
from workbell.domain.identity.actor import ClientInfo
from workbell.domain.identity.user import UserId

ROTATION_GRACE = timedelta(seconds=10)
"""For how long the previous refresh token still returns the same successor."""
MAX_LIFE = timedelta(days=30)
"""Maximum duration of a session, however often it is renewed (ASVS 7.3.2)."""
RECENT_LOGIN = timedelta(minutes=10)
"""Age up to which a login may end the user's other sessions (ASVS 7.5.2)."""
USE_RECORD_INTERVAL = timedelta(minutes=1)
TEXT_LENGTH = 256
MAX_SESSIONS = 100
"""Maximum number of active sessions of a user; a login ends the oldest ones."""


class SessionKind(StrEnum):
    """The credential of a session: two JWTs, an opaque token or a cookie."""

    TOKENS = "tokens"
    OPAQUE = "opaque"
    BROWSER = "browser"


class TokenExpired(Unauthenticated):
    """The token has expired."""


class SignInAgain(NotAllowed):
    """This requires a recent login: sign in again."""

    code = "sign_in_again"


class TokenKind(StrEnum):
    """The kind of a signed token; the value is its `typ` (RFC 9068)."""

    ACCESS = "at+jwt"
    REFRESH = "rt+jwt"


@frozen(kw_only=True)
class Claims:
    """
    The claims of a signed token.

    Times are whole seconds. `version` is the user's `token_version` at the time
    of issue. Equal claims always produce equal tokens.
    """

    kind: TokenKind
    user_id: UserId
    session_id: str
    jti: str
    version: int
    issued_at: datetime
    expires_at: datetime


class RefreshTokenState(StrEnum):
    """The validity of a refresh token within its session."""

    CURRENT = "current"
    JUST_ROTATED = "just rotated"
    REUSED = "reused"
    ENDED = "ended"


@frozen(kw_only=True)
class Session:
    """
    One login of one user.

    `current_jti` is the valid refresh token; `previous_jti` was exchanged for it
    at `rotated_at` (initially the time of login). For an opaque token or a
    cookie, `current_jti` is the hash of the secret. `last_used_at` is updated at
    most once a minute.
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
        """Return the session of a new login, with its first refresh token."""
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
        """Whether the session is neither revoked nor expired."""
        return self.revoked_at is None and now < self.expires_at

    def is_recent(self, now: datetime) -> bool:
        """Whether the login was less than ten minutes ago; renewals do not count."""
        return now - self.created_at < RECENT_LOGIN

    def classify_refresh_token(self, jti: str, now: datetime) -> RefreshTokenState:
        """Classify a refresh token whose signature is valid."""
        if not self.is_active(now):
            return RefreshTokenState.ENDED
        if jti == self.current_jti:
            return RefreshTokenState.CURRENT
        if jti == self.previous_jti and now - self.rotated_at <= ROTATION_GRACE:
            return RefreshTokenState.JUST_ROTATED
        return RefreshTokenState.REUSED

    def rotated(
        self, jti: str, now: datetime, life: timedelta, max_life: timedelta = MAX_LIFE
    ) -> Self:
        """
        Return the session after its refresh token was exchanged for a new one.

        Extends it by `life`, up to `max_life` after the login.
        """
        return evolve(
            self,
            previous_jti=self.current_jti,
            current_jti=jti,
            rotated_at=now,
            last_used_at=now,
            expires_at=self._limit_expiry(now + life, max_life),
        )

    def should_record_use(self, now: datetime) -> bool:
        """Whether `last_used_at` is old enough to be updated (one minute)."""
        return now - (self.last_used_at or self.created_at) >= USE_RECORD_INTERVAL

    def used(self, now: datetime, idle: timedelta, max_life: timedelta = MAX_LIFE) -> Self:
        """
        Return the session with `last_used_at` set.

        Extends a browser session by `idle`, up to `max_life` after the login.
        """
        if self.kind is not SessionKind.BROWSER:
            return evolve(self, last_used_at=now)
        return evolve(self, last_used_at=now, expires_at=self._limit_expiry(now + idle, max_life))

    def revoked(self, now: datetime) -> Self:
        """Return the session with `revoked_at` set."""
        return evolve(self, revoked_at=now)

    def _limit_expiry(self, wanted: datetime, max_life: timedelta) -> datetime:
        return min(wanted, self.created_at + max_life)
