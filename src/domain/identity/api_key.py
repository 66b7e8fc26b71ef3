"""API keys: credentials for programs, with scopes and an end."""

import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Self

from attrs import evolve, field, frozen

from workbell.domain.errors import Invalid
from workbell.domain.identity.user import KeyScope, UserId

NAME_LENGTH = 100
MAX_KEYS = 50
"""How many working keys one person may have."""
USE_NOTED_EVERY = timedelta(minutes=1)


@frozen(kw_only=True)
class ApiKey:
    """
    One key of one person; only the hash of its secret is kept.

    `prefix` is the part that is shown again, and by which it is looked up.
    A key without `expires_at` works until it is revoked.
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
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def use_is_worth_noting(self, now: datetime) -> bool:
        """Whether the last note of its use is old enough for another one."""
        return self.last_used_at is None or now - self.last_used_at >= USE_NOTED_EVERY

    def used(self, now: datetime) -> Self:
        """Return the key with a note of its use."""
        return evolve(self, last_used_at=now)

    def revoked(self, now: datetime) -> Self:
        """Return the key as it works no more."""
        return evolve(self, revoked_at=now)


def check_new_key(
    name: str, scopes: Sequence[KeyScope], expires_at: datetime | None, now: datetime
) -> None:
    """
    Refuse a key without a name or a scope, and one that would never work.

    Raises:
        Invalid: With every field at fault.
    """
    errors: dict[str, list[str]] = {}
    if not name or len(name) > NAME_LENGTH:
        errors["name"] = [f"A key has a name of at most {NAME_LENGTH} characters."]
    elif any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in name):
        errors["name"] = ["A name has no control characters."]
    if not scopes:
        errors["scopes"] = ["A key has at least one scope."]
    if expires_at is not None and expires_at <= now:
        errors["expires_at"] = ["A key expires in the future."]
    if errors:
        raise Invalid(field_errors=errors)
