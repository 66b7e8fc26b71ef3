"""Sessions in SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from attrs import asdict, frozen
from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from workbell.adapters.sql.database.column_types import instant_reader, to_db_values
from workbell.adapters.sql.database.statements import (
    AnyRow,
    PreparedStatement,
    column_names,
    prepare,
    row_to_dict,
)
from workbell.adapters.sql.schema.tables import sessions
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.identity.session import MAX_SESSIONS, Session, SessionKind
from workbell.domain.identity.user import UserId

sessions_c = sessions.c
_MAX_REVOKED = 1000
_COLUMNS = column_names(sessions)
_TIMES = ("created_at", "expires_at", "rotated_at", "revoked_at", "last_used_at")
_ONE = select(sessions).where(sessions_c.id == bindparam("session_id"))
_SESSION = prepare(_ONE, "session_id")
_LOCKED = prepare(_ONE.with_for_update(), "session_id")
_INSERT = prepare(insert(sessions), *_COLUMNS)
_is_active = (
    sessions_c.user_id == bindparam("user"),
    sessions_c.revoked_at.is_(None),
    sessions_c.expires_at > bindparam("now"),
)
_newest_first = (sessions_c.created_at.desc(), sessions_c.id.desc())
_ACTIVE = select(sessions).where(*_is_active).order_by(*_newest_first).limit(MAX_SESSIONS)
_OLDEST = (
    select(sessions_c.id)
    .where(*_is_active)
    .order_by(*_newest_first)
    .limit(_MAX_REVOKED)
    .offset(bindparam("keep"))
)
_REVOKE = (
    update(sessions)
    .where(sessions_c.id.in_(bindparam("ids", expanding=True)))
    .values(revoked_at=bindparam("now"))
)
_FROM_ADDRESS = prepare(
    select(sessions_c.id)
    .where(sessions_c.user_id == bindparam("user"), sessions_c.address == bindparam("from_address"))
    .limit(1),
    "user",
    "from_address",
)
_REVOKE_ALL = (
    update(sessions)
    .where(*_is_active, sessions_c.id != bindparam("except_id"))
    .values(revoked_at=bindparam("now"))
)
_RECORD_USE = (
    update(sessions)
    .where(sessions_c.id == bindparam("session_id"), sessions_c.revoked_at.is_(None))
    .values(last_used_at=bindparam("new_last_used_at"), expires_at=bindparam("new_expires_at"))
)


@frozen
class SqlSessionRepository:
    """Sessions, identified by an opaque id."""

    _db: Connection

    def add(self, session: Session) -> None:
        """Insert a session."""
        try:
            values = _values(session)
            row = to_db_values([values[name] for name in _COLUMNS], self._db.dialect)
            _INSERT.execute_no_result(self._db, row)
        except IntegrityError as error:
            raise Conflict("There is another session with this id.") from error

    def find(self, session_id: str) -> Session | None:
        """Return a session in any state, or None."""
        return self._one(_SESSION, session_id)

    def get_for_update(self, session_id: str) -> Session:
        """Lock and return a session."""
        session = self._one(_LOCKED, session_id)
        if session is None:
            raise NotFound("There is no such session.")
        return session

    def replace(self, session: Session) -> None:
        """Update a session, except its id, user and creation time."""
        values = _values(session)
        del values["id"], values["user_id"], values["created_at"]
        change = update(sessions).where(sessions_c.id == session.id).values(values)
        if self._db.execute(change).rowcount == 0:
            raise NotFound("There is no such session.")

    def record_use(self, session: Session) -> None:
        """Update `last_used_at` and `expires_at` of a session unless it is revoked."""
        values = {
            "session_id": session.id,
            "new_last_used_at": session.last_used_at,
            "new_expires_at": session.expires_at,
        }
        self._db.execute(_RECORD_USE, values)

    def list_for_user(self, user_id: UserId, now: datetime) -> Sequence[Session]:
        """Return a user's active sessions, at most `MAX_SESSIONS`, newest first."""
        rows = self._db.execute(_ACTIVE, {"user": user_id, "now": now})
        return [_session(row) for row in rows]

    def has_login_from(self, user_id: UserId, address: str) -> bool:
        """Whether a stored session of the user was opened from an address."""
        return bool(_FROM_ADDRESS.fetch_all(self._db, (user_id, address)))

    def revoke_all(self, user_id: UserId, now: datetime, *, except_id: str = "") -> int:
        """Revoke a user's active sessions, except one; return how many."""
        values = {"user": user_id, "now": now, "except_id": except_id}
        return self._db.execute(_REVOKE_ALL, values).rowcount

    def revoke_oldest(self, user_id: UserId, now: datetime, *, keep: int) -> int:
        """Revoke a user's active sessions except the newest; return how many."""
        values = {"user": user_id, "now": now, "keep": keep}
        ids = self._db.execute(_OLDEST, values).scalars().all()
        if ids:
            self._db.execute(_REVOKE, {"ids": ids, "now": now})
        return len(ids)

    def purge(self, before: datetime, *, limit: int) -> int:
        """Delete up to `limit` sessions that expired before a time; return how many."""
        expires_at = sessions_c.expires_at
        expired = select(sessions_c.id).where(expires_at < before).order_by(expires_at)
        found = self._db.execute(expired.limit(limit)).scalars().all()
        self._db.execute(delete(sessions).where(sessions_c.id.in_(found)))
        return len(found)

    def _one(self, query: PreparedStatement, session_id: str) -> Session | None:
        rows = query.fetch_all(self._db, (session_id,))
        if not rows:
            return None
        values = dict(zip(_COLUMNS, rows[0], strict=True))
        read = instant_reader(self._db.dialect)
        return _session_from_row(values | {name: read(values[name]) for name in _TIMES})


def _values(session: Session) -> dict[str, Any]:
    return {**asdict(session), "kind": str(session.kind)}


def _session(row: AnyRow) -> Session:
    return _session_from_row(row_to_dict(row))


def _session_from_row(values: dict[str, Any]) -> Session:
    return Session(**{**values, "kind": SessionKind(values["kind"])})
