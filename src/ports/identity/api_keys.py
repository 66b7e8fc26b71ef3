"""API keys as the store keeps them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from workbell.domain.identity.api_key import ApiKey
from workbell.domain.identity.user import UserId


class ApiKeyRepository(Protocol):
    """API keys, by their prefix (unique, at most 64 characters)."""

    def add(self, key: ApiKey) -> ApiKey:
        """
        Keep a new key, and return it with its id.

        Raises:
            Conflict: There is one with this prefix.
        """
        ...

    def by_prefix(self, prefix: str) -> ApiKey | None:
        """Return a key whatever its state, without a lock; None if unknown."""
        ...

    def get(self, user_id: UserId, key_id: int) -> ApiKey:
        """
        Return one of a person's keys, without a lock.

        Raises:
            NotFound: They have no such key.
        """
        ...

    def list_for_user(self, user_id: UserId) -> Sequence[ApiKey]:
        """Return a person's keys that are not revoked, the newest first."""
        ...

    def revoke(self, user_id: UserId, key_id: int, now: datetime) -> bool:
        """
        End one of a person's keys.

        One UPDATE, where it is not revoked already. False where no row fits.
        """
        ...

    def record_use(self, key: ApiKey) -> None:
        """Keep `last_used_at` of a key that is not revoked: one UPDATE."""
        ...
