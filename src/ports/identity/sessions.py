"""Repository of sessions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from workbell.domain.identity.session import Session
from workbell.domain.identity.user import UserId


class SessionRepository(Protocol):
    """Logins, by their opaque id (text of at most 64 characters)."""

    def add(self, session: Session) -> None:
        """
        Keep a new session.

        Raises:
            Conflict: There is one with this id.
        """
        ...

    def find(self, session_id: str) -> Session | None:
        """Return a session whatever its state, without a lock; None if unknown."""
        ...

    def get_for_update(self, session_id: str) -> Session:
        """
        Return a session as it now stands, and lock its row.

        Raises:
            NotFound: There is none.
        """
        ...

    def replace(self, session: Session) -> None:
        """
        Keep a session as it now stands; its id, user and start stay.

        The caller holds its row (`get_for_update`).

        Raises:
            NotFound: There is none with this id.
        """
        ...

    def record_use(self, session: Session) -> None:
        """
        Keep `last_used_at` and `expires_at` of a session that is not revoked.

        One UPDATE, and no lock: who revokes it meanwhile wins.
        """
        ...

    def list_for_user(self, user_id: UserId, now: datetime) -> Sequence[Session]:
        """Return a person's sessions that are alive, the newest first."""
        ...

    def opened_from(self, user_id: UserId, address: str) -> bool:
        """Whether a person has signed in from an address, as long as sessions are kept."""
        ...

    def revoke_all(self, user_id: UserId, now: datetime, *, except_id: str = "") -> int:
        """
        End every session of a person that is alive, but perhaps one.

        The caller holds the person's row, as every login does, so that none
        slips in. Returns how many there were.
        """
        ...

    def purge(self, before: datetime, *, limit: int) -> int:
        """Remove sessions that expired before a moment, at most so many; return how many."""
        ...
