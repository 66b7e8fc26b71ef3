"""API keys in memory."""

from collections.abc import Sequence
from datetime import datetime

from attrs import define, evolve

from workbell.adapters.memory.tables import Tables
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.identity.api_key import ApiKey
from workbell.domain.identity.user import UserId


@define(eq=False)
class MemoryApiKeyRepository:
    """API keys."""

    _tables: Tables

    def add(self, key: ApiKey) -> ApiKey:
        """Insert a key and return it with its id."""
        if self.by_prefix(key.prefix) is not None:
            raise Conflict("There is another key with this prefix.")
        stored = evolve(key, id=self._tables.api_keys.next_id())
        self._tables.api_keys.put(stored.id, stored)
        return stored

    def by_prefix(self, prefix: str) -> ApiKey | None:
        """Return a key in any state, or None."""
        return next((key for key in self._tables.api_keys if key.prefix == prefix), None)

    def get(self, user_id: UserId, key_id: int) -> ApiKey:
        """Return one of a user's keys."""
        key = self._tables.api_keys.get(key_id)
        if key is None or key.user_id != user_id:
            raise NotFound("There is no such key.")
        return key

    def list_for_user(self, user_id: UserId) -> Sequence[ApiKey]:
        """Return a user's keys that are not revoked, newest first."""
        active = [key for key in self._tables.api_keys if key.revoked_at is None]
        return [key for key in active if key.user_id == user_id][::-1]

    def revoke(self, user_id: UserId, key_id: int, now: datetime) -> bool:
        """Revoke one of a user's keys; return whether it was active."""
        key = self._tables.api_keys.get(key_id)
        if key is None or key.user_id != user_id or key.revoked_at is not None:
            return False
        self._tables.api_keys.put(key_id, key.revoked(now))
        return True

    def purge(self, before: datetime, *, limit: int) -> int:
        """Delete keys that were revoked or expired before a time; return how many."""
        keys = list(self._tables.api_keys)
        revoked = [key.id for key in keys if key.revoked_at and key.revoked_at < before]
        expired = [key.id for key in keys if key.expires_at and key.expires_at < before]
        old = {*revoked[:limit], *expired[:limit]}
        for key_id in old:
            self._tables.api_keys.delete(key_id)
        return len(old)

    def record_use(self, key: ApiKey) -> None:
        """Update `last_used_at` of a key unless it is revoked."""
        stored = self._tables.api_keys.get(key.id)
        if stored is not None and stored.revoked_at is None:
            self._tables.api_keys.put(key.id, evolve(stored, last_used_at=key.last_used_at))
