"""Sessions in memory."""

from collections.abc import Sequence
from datetime import datetime

from attrs import define, evolve

from workbell.adapters.memory.tables import Tables
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.identity.session import MAX_SESSIONS, Session
from workbell.domain.identity.user import UserId


@define(eq=False)
class MemorySessionRepository:
    """Sessions, identified by an opaque id."""

    _tables: Tables

    def add(self, session: Session) -> None:
        """Insert a session."""
        if self.find(session.id) is not None:
            raise Conflict("There is another session with this id.")
        self._tables.sessions.put(session.id, session)

    def find(self, session_id: str) -> Session | None:
        """Return a session in any state, or None."""
        return self._tables.sessions.get(session_id)

    def get_for_update(self, session_id: str) -> Session:
        """Return a session; transactions never overlap."""
        if (session := self.find(session_id)) is None:
            raise NotFound("There is no such session.")
        return session

    def replace(self, session: Session) -> None:
        """Update a session, except its id, user and creation time."""
        stored = self.get_for_update(session.id)
        self._tables.sessions.put(
            session.id, evolve(session, user_id=stored.user_id, created_at=stored.created_at)
        )

    def record_use(self, session: Session) -> None:
        """Update `last_used_at` and `expires_at` of a session unless it is revoked."""
        stored = self.find(session.id)
        if stored is not None and stored.revoked_at is None:
            used = evolve(stored, last_used_at=session.last_used_at, expires_at=session.expires_at)
            self._tables.sessions.put(stored.id, used)

    def list_for_user(self, user_id: UserId, now: datetime) -> Sequence[Session]:
        """Return a user's active sessions, at most `MAX_SESSIONS`, newest first."""
        return self._active(user_id, now)[:MAX_SESSIONS]

    def has_login_from(self, user_id: UserId, address: str) -> bool:
        """Whether a stored session of the user was opened from an address."""
        return (user_id, address) in {(one.user_id, one.address) for one in self._tables.sessions}

    def revoke_all(self, user_id: UserId, now: datetime, *, except_id: str = "") -> int:
        """Revoke a user's active sessions, except one; return how many."""
        return self._revoke([one for one in self._active(user_id, now) if one.id != except_id], now)

    def revoke_oldest(self, user_id: UserId, now: datetime, *, keep: int) -> int:
        """Revoke a user's active sessions except the newest; return how many."""
        return self._revoke(self._active(user_id, now)[keep:], now)

    def purge(self, before: datetime, *, limit: int) -> int:
        """Delete up to `limit` sessions that expired before a time; return how many."""
        over = [one.id for one in self._tables.sessions if one.expires_at < before][:limit]
        for session_id in over:
            self._tables.sessions.delete(session_id)
        return len(over)

    def _active(self, user_id: UserId, now: datetime) -> list[Session]:
        active = [
            one for one in self._tables.sessions if one.user_id == user_id and one.is_active(now)
        ]
        return sorted(active, key=lambda one: (one.created_at, one.id), reverse=True)

    def _revoke(self, ending: Sequence[Session], now: datetime) -> int:
        for one in ending:
            self._tables.sessions.put(one.id, one.revoked(now))
        return len(ending)
