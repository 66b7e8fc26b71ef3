"""API keys in SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from attrs import asdict, evolve, frozen
from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from workbell.adapters.sql.database.statements import AnyRow, inserted_id, row_to_dict
from workbell.adapters.sql.schema.tables import api_keys
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.identity.api_key import ApiKey
from workbell.domain.identity.user import KeyScope, UserId

keys_c = api_keys.c
_BY_PREFIX = select(api_keys).where(keys_c.prefix == bindparam("prefix"))
_is_one = (keys_c.user_id == bindparam("user"), keys_c.id == bindparam("key_id"))
_KEY = select(api_keys).where(*_is_one)
_KEYS = (
    select(api_keys)
    .where(keys_c.user_id == bindparam("user"), keys_c.revoked_at.is_(None))
    .order_by(keys_c.id.desc())
)
_REVOKE_KEY = (
    update(api_keys)
    .where(*_is_one, keys_c.revoked_at.is_(None))
    .values(revoked_at=bindparam("now"))
)
_RECORD_USE = (
    update(api_keys)
    .where(keys_c.id == bindparam("key_id"), keys_c.revoked_at.is_(None))
    .values(last_used_at=bindparam("new_last_used_at"))
)

_OLD = [
    select(keys_c.id)
    .where(ended_at < bindparam("before"))
    .order_by(ended_at)
    .limit(bindparam("max_rows"))
    for ended_at in (keys_c.revoked_at, keys_c.expires_at)
]


@frozen
class SqlApiKeyRepository:
    """API keys."""

    _db: Connection

    def add(self, key: ApiKey) -> ApiKey:
        """Insert a key and return it with its id."""
        values = {**asdict(key), "scopes": sorted(key.scopes)}
        del values["id"]
        if self.by_prefix(key.prefix) is not None:
            raise Conflict("There is another key with this prefix.")
        try:
            result = self._db.execute(insert(api_keys).values(values))
        except IntegrityError as error:
            raise Conflict("There is another key with this prefix.") from error
        return evolve(key, id=inserted_id(result))

    def by_prefix(self, prefix: str) -> ApiKey | None:
        """Return a key in any state, or None."""
        row = self._db.execute(_BY_PREFIX, {"prefix": prefix}).one_or_none()
        return None if row is None else _key(row)

    def get(self, user_id: UserId, key_id: int) -> ApiKey:
        """Return one of a user's keys."""
        row = self._db.execute(_KEY, {"user": user_id, "key_id": key_id}).one_or_none()
        if row is None:
            raise NotFound("There is no such key.")
        return _key(row)

    def list_for_user(self, user_id: UserId) -> Sequence[ApiKey]:
        """Return a user's keys that are not revoked, newest first."""
        return [_key(row) for row in self._db.execute(_KEYS, {"user": user_id})]

    def revoke(self, user_id: UserId, key_id: int, now: datetime) -> bool:
        """Revoke one of a user's keys; return whether it was active."""
        values = {"user": user_id, "key_id": key_id, "now": now}
        return self._db.execute(_REVOKE_KEY, values).rowcount == 1

    def purge(self, before: datetime, *, limit: int) -> int:
        """Delete keys that were revoked or expired before a time; return how many."""
        values = {"before": before, "max_rows": limit}
        old = {key for query in _OLD for key in self._db.execute(query, values).scalars()}
        if old:
            self._db.execute(delete(api_keys).where(keys_c.id.in_(sorted(old))))
        return len(old)

    def record_use(self, key: ApiKey) -> None:
        """Update `last_used_at` of a key unless it is revoked."""
        self._db.execute(_RECORD_USE, {"key_id": key.id, "new_last_used_at": key.last_used_at})


def _key(row: AnyRow) -> ApiKey:
    values: dict[str, Any] = row_to_dict(row)
    return ApiKey(**{**values, "scopes": frozenset(KeyScope(name) for name in row.scopes)})
