"""Sessions in memory."""

from collections.abc import Sequence
from datetime import datetime

from attrs import define, evolve

from workbell.adapters.memory.tables import Tables
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.identity.session import Session
from workbell.domain.identity.user import UserId


@define(eq=False)
class MemorySessionRepository:
    """Logins, by their opaque id."""

    _tables: Tables

    def add(self, session: Session) -> None:
        """Keep a new session."""
        if self.find(session.id) is not None:
            raise Conflict("There is another session with this id.")
        self._tables.sessions.put(session.id, session)

    def find(self, session_id: str) -> Session | None:
        """Return a session whatever its state; None if unknown."""
        return self._tables.sessions.get(session_id)

    def get_for_update(self, session_id: str) -> Session:
        """Return a session; the transaction is alone in any case."""
        if (session := self.find(session_id)) is None:
            raise NotFound("There is no such session.")
        return session

    def replace(self, session: Session) -> None:
        """Keep a session as it now stands; its id, user and start stay."""
        kept = self.get_for_update(session.id)
        self._tables.sessions.put(
            session.id, evolve(session, user_id=kept.user_id, created_at=kept.created_at)
        )

    def record_use(self, session: Session) -> None:
        """Keep `last_used_at` and `expires_at` of a session that is not revoked."""
        kept = self.find(session.id)
        if kept is not None and kept.revoked_at is None:
            noted = evolve(kept, last_used_at=session.last_used_at, expires_at=session.expires_at)
            self._tables.sessions.put(kept.id, noted)

    def list_for_user(self, user_id: UserId, now: datetime) -> Sequence[Session]:
        """Return a person's sessions that are alive, the newest first."""
        alive = [
            one for one in self._tables.sessions if one.user_id == user_id and one.is_active(now)
        ]
        return sorted(alive, key=lambda one: (one.created_at, one.id), reverse=True)

    def has_login_from(self, user_id: UserId, address: str) -> bool:
        """Whether a person has signed in from an address, as long as sessions are kept."""
        return any(
            one.user_id == user_id and one.address == address for one in self._tables.sessions
        )

    def revoke_all(self, user_id: UserId, now: datetime, *, except_id: str = "") -> int:
        """End every session of a person that is alive, but perhaps one."""
        ending = [one for one in self.list_for_user(user_id, now) if one.id != except_id]
        for one in ending:
            self._tables.sessions.put(one.id, one.revoked(now))
        return len(ending)

    def purge(self, before: datetime, *, limit: int) -> int:
        """Remove sessions that expired before a moment, at most so many; return how many."""
        over = [one.id for one in self._tables.sessions if one.expires_at < before][:limit]
        for session_id in over:
            self._tables.sessions.delete(session_id)
        return len(over)
