"""Repository of sessions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from workbell.domain.identity.session import Session
from workbell.domain.identity.user import UserId


class SessionRepository(Protocol):
    """Login sessions by id (opaque text of at most 64 characters)."""

    def add(self, session: Session) -> None:
        """Insert a session; Conflict if its id exists."""

    def find(self, session_id: str) -> Session | None:
        """Return a session in any state, without a lock; None if unknown."""

    def get_for_update(self, session_id: str) -> Session:
        """Return a session and lock its row, or raise NotFound."""

    def replace(self, session: Session) -> None:
        """Update a session, except id, user and start; the caller holds its row."""

    def record_use(self, session: Session) -> None:
        """Store `last_used_at` and `expires_at` by one UPDATE, unless revoked."""

    def list_for_user(self, user_id: UserId, now: datetime) -> Sequence[Session]:
        """Return a user's active sessions, at most `MAX_SESSIONS`, newest first."""

    def has_login_from(self, user_id: UserId, address: str) -> bool:
        """Whether a stored session of the user was opened from this address."""

    def revoke_all(self, user_id: UserId, now: datetime, *, except_id: str = "") -> int:
        """
        Revoke a user's active sessions except one; return how many.

        The caller holds the user's row, as every login does, so no new session is
        missed.
        """

    def revoke_oldest(self, user_id: UserId, now: datetime, *, keep: int) -> int:
        """
        Revoke a user's active sessions except the newest `keep`; return how many.

        At most 1,000 a call. The caller holds the user's row.
        """

    def purge(self, before: datetime, *, limit: int) -> int:
        """Delete up to `limit` sessions that expired before a time; count them."""
