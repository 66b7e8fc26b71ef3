"""One-time codes in SQL."""

from datetime import datetime
from typing import Any

from attrs import asdict, evolve, frozen
from sqlalchemy import Connection, bindparam, case, delete, func, insert, select, update

from workbell.adapters.sql.database.statements import inserted_id, row_to_dict
from workbell.adapters.sql.schema.tables import codes
from workbell.domain.identity.one_time_code import MAX_ATTEMPTS, OneTimeCode, Purpose
from workbell.domain.identity.user import UserId

codes_c = codes.c
_of_purpose = (codes_c.user_id == bindparam("user"), codes_c.purpose == bindparam("for_purpose"))
_LATEST = select(codes).where(*_of_purpose).order_by(codes_c.id.desc()).limit(1)
_COUNT_SINCE = (
    select(func.count())
    .select_from(codes)
    .where(*_of_purpose, codes_c.created_at > bindparam("since"))
)
_WRONG = select(
    func.coalesce(
        func.sum(
            case(
                (codes_c.used_at.is_not(None) & (codes_c.attempts > 0), codes_c.attempts - 1),
                else_=codes_c.attempts,
            )
        ),
        0,
    )
).where(codes_c.user_id == bindparam("user"), codes_c.created_at > bindparam("since"))
_SUPERSEDE = (
    update(codes)
    .where(*_of_purpose, codes_c.expires_at > bindparam("now"))
    .values(expires_at=bindparam("now"))
)
_is_usable = (
    codes_c.id == bindparam("code_id"),
    codes_c.used_at.is_(None),
    codes_c.expires_at > bindparam("now"),
)
_TRY = (
    update(codes)
    .where(*_is_usable, codes_c.attempts < MAX_ATTEMPTS)
    .values(attempts=codes_c.attempts + 1)
)
_USE = update(codes).where(*_is_usable).values(used_at=bindparam("now"))


@frozen
class SqlOneTimeCodeRepository:
    """One-time codes; used and expired ones stay, for counting, until they are purged."""

    _db: Connection

    def add(self, code: OneTimeCode) -> OneTimeCode:
        """Insert a code and expire the user's earlier ones for its purpose."""
        key = {"user": code.user_id, "for_purpose": str(code.purpose)}
        self._db.execute(_SUPERSEDE, {**key, "now": code.created_at})
        values = {**asdict(code), "purpose": str(code.purpose)}
        del values["id"]
        result = self._db.execute(insert(codes).values(values))
        return evolve(code, id=inserted_id(result))

    def latest(self, user_id: UserId, purpose: Purpose) -> OneTimeCode | None:
        """Return the newest code in any state, or None."""
        key = {"user": user_id, "for_purpose": str(purpose)}
        row = self._db.execute(_LATEST, key).one_or_none()
        if row is None:
            return None
        values: dict[str, Any] = row_to_dict(row)
        values["purpose"] = Purpose(row.purpose)
        return OneTimeCode(**values)

    def count_since(self, user_id: UserId, purpose: Purpose, since: datetime) -> int:
        """Return the number of codes created after a time."""
        values = {"user": user_id, "for_purpose": str(purpose), "since": since}
        return self._db.execute(_COUNT_SINCE, values).scalar_one()

    def count_wrong_since(self, user_id: UserId, since: datetime) -> int:
        """Return the number of wrong attempts on codes created after a time."""
        return int(self._db.execute(_WRONG, {"user": user_id, "since": since}).scalar_one())

    def purge(self, before: datetime, *, limit: int) -> int:
        """Delete up to `limit` codes created before a time; return how many."""
        old = (
            select(codes_c.id)
            .where(codes_c.created_at < before)
            .order_by(codes_c.created_at)
            .limit(limit)
        )
        found = self._db.execute(old).scalars().all()
        self._db.execute(delete(codes).where(codes_c.id.in_(found)))
        return len(found)

    def try_attempt(self, code_id: int, now: datetime) -> bool:
        """Count an attempt before verifying it; return False if none is left."""
        return self._db.execute(_TRY, {"code_id": code_id, "now": now}).rowcount == 1

    def try_use(self, code_id: int, now: datetime) -> bool:
        """Mark a code as used; return False if it is not usable."""
        return self._db.execute(_USE, {"code_id": code_id, "now": now}).rowcount == 1
