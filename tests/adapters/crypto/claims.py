"""Claims, a key and a clock for tests of signed tokens."""

from datetime import UTC, datetime, timedelta

from attrs import define

from workbell.domain.identity.session import Claims, TokenKind
from workbell.domain.identity.user import UserId

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
KEY, OTHER_KEY = b"k" * 32, b"o" * 32
CLAIMS = Claims(
    kind=TokenKind.ACCESS,
    user_id=UserId(7),
    session_id="session",
    jti="one",
    version=0,
    issued_at=NOON,
    expires_at=NOON + timedelta(minutes=15),
)


@define
class Clock:
    """A clock that moves only when a test sets `at`."""

    at: datetime = NOON

    def now(self) -> datetime:
        """Return the time that was set."""
        return self.at
