"""Repository of API keys."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from workbell.domain.identity.api_key import ApiKey
from workbell.domain.identity.user import UserId


class ApiKeyRepository(Protocol):
    """API keys; the prefix is unique and has at most 64 characters."""

    def add(self, key: ApiKey) -> ApiKey:
        """Insert a key and return it with its id; Conflict if its prefix exists."""

    def by_prefix(self, prefix: str) -> ApiKey | None:
        """Return a key in any state, without a lock; None if unknown."""

    def get(self, user_id: UserId, key_id: int) -> ApiKey:
        """Return one of a user's keys, without a lock, or raise NotFound."""

    def list_for_user(self, user_id: UserId) -> Sequence[ApiKey]:
        """Return a user's keys that are not revoked, newest first."""

    def revoke(self, user_id: UserId, key_id: int, now: datetime) -> bool:
        """Revoke a key of a user by one UPDATE; False if there is none to revoke."""

    def purge(self, before: datetime, *, limit: int) -> int:
        """
        Delete up to `limit` keys revoked or expired before a time; count them.

        Up to `limit` of each kind.
        """

    def record_use(self, key: ApiKey) -> None:
        """Store `last_used_at` by one UPDATE, unless the key is revoked."""
