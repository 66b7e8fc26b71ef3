"""Audit entries: which user did what, to which object, from where."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Self

from attrs import Factory, frozen

from workbell.domain.identity.actor import Actor
from workbell.domain.identity.user import UserId

PERSONAL_FIELDS = frozenset({"username", "email", "first_name", "last_name"})
"""Fields whose values before and after are stored in the private part of an entry."""
canonical_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
"""Format a JSON value as ASCII text: sorted keys, no spaces."""


@frozen(kw_only=True)
class PrivatePart:
    """
    The personal data of an entry, which can be erased.

    It is stored beside the entry with a random salt; the entry itself contains
    only the digest of both.
    """

    address: str = ""
    user_agent: str = ""
    changes: Mapping[str, Any] = Factory(dict[str, Any])

    def digest(self, salt: str) -> str:
        """Return SHA-256 of salt and content as 64 hexadecimal digits."""
        changes = canonical_json(self.changes) if self.changes else "{}"
        content = (  # the canonical JSON, without an encoder for the whole
            f'{salt}{{"address":{canonical_json(self.address)},"changes":{changes},'
            f'"user_agent":{canonical_json(self.user_agent)}}}'
        )
        return hashlib.sha256(content.encode("ascii")).hexdigest()


@frozen(kw_only=True)
class AuditEntry:
    """
    One command that was executed, or rejected for a security reason.

    `changes` maps each field to its value before and after; it never contains
    secrets. `project_id` is the project that the object belongs to, if any.
    The personal data of an entry that `is_erased` is gone: address, user agent
    and the changes of `PERSONAL_FIELDS`.
    """

    id: int = 0
    user_id: UserId
    action: str
    model_name: str
    object_id: str
    project_id: int | None = None
    changes: Mapping[str, Any] = Factory(dict[str, Any])
    address: str = ""
    user_agent: str = ""
    request_id: str = ""
    at: datetime
    is_erased: bool = False

    @classmethod
    def of(
        cls,
        actor: Actor,
        action: str,
        model_name: str,
        object_id: object,
        at: datetime,
        changes: Mapping[str, Any] | None = None,
        *,
        project_id: int | None = None,
    ) -> Self:
        """Build the entry of an actor's command; truncates texts to their columns."""
        return cls(
            user_id=actor.user_id,
            action=action,
            model_name=model_name,
            object_id=str(object_id),
            project_id=project_id,
            changes=changes or {},
            address=actor.client_info.address[:64],
            user_agent=actor.client_info.user_agent[:256],
            request_id=actor.client_info.request_id[:64],
            at=at,
        )

    @property
    def public_changes(self) -> Mapping[str, Any]:
        """The changes without those of personal fields."""
        if PERSONAL_FIELDS.isdisjoint(self.changes):
            return self.changes
        return {name: v for name, v in self.changes.items() if name not in PERSONAL_FIELDS}

    @property
    def private(self) -> PrivatePart | None:
        """The personal data; None if the entry has none."""
        personal = PERSONAL_FIELDS.intersection(self.changes)
        if not (personal or self.address or self.user_agent):
            return None
        changes = {name: self.changes[name] for name in personal}
        return PrivatePart(address=self.address, user_agent=self.user_agent, changes=changes)


def changed_since(entries: Iterable[AuditEntry], version: int) -> list[str]:
    """Return the names of fields changed by versions later than the given one."""
    names = {
        name
        for entry in entries
        if "version" in entry.changes and entry.changes["version"][1] > version
        for name in entry.changes
    }
    return sorted(names - {"version"})
