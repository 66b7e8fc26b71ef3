"""API keys: credentials of programs, with scopes and an expiry time."""

import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Self

from attrs import evolve, field, frozen

from workbell.domain.errors import Invalid
from workbell.domain.identity.user import KeyScope, UserId

NAME_LENGTH = 100
MAX_KEYS = 50
"""Maximum number of active keys of one user."""
USE_RECORD_INTERVAL = timedelta(minutes=1)


@frozen(kw_only=True)
class ApiKey:
    """
    An API key of one user; only the hash of its secret is stored.

    `prefix` is the public part: it is shown in lists and used for the lookup. A
    key without `expires_at` is valid until it is revoked.
    """

    id: int = 0
    user_id: UserId
    name: str
    prefix: str
    secret_hash: str = field(repr=False)
    scopes: frozenset[KeyScope]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_usable(self, now: datetime) -> bool:
        """Whether the key is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def should_record_use(self, now: datetime) -> bool:
        """Whether `last_used_at` is old enough to be updated (one minute)."""
        return self.last_used_at is None or now - self.last_used_at >= USE_RECORD_INTERVAL

    def used(self, now: datetime) -> Self:
        """Return the key with `last_used_at` set."""
        return evolve(self, last_used_at=now)

    def revoked(self, now: datetime) -> Self:
        """Return the key with `revoked_at` set."""
        return evolve(self, revoked_at=now)


def check_new_key(
    name: str, scopes: Sequence[KeyScope], expires_at: datetime | None, now: datetime
) -> None:
    """Raise Invalid, with every invalid field, if a new key is not valid."""
    errors: dict[str, list[str]] = {}
    if not name or len(name) > NAME_LENGTH:
        errors["name"] = [f"The name must have 1 to {NAME_LENGTH} characters."]
    elif any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in name):
        errors["name"] = ["The name must not contain control characters."]
    if not scopes:
        errors["scopes"] = ["At least one scope is required."]
    if expires_at is not None and expires_at <= now:
        errors["expires_at"] = ["The expiry time must be in the future."]
    if errors:
        raise Invalid(field_errors=errors)
