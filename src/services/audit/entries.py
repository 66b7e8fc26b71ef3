"""Audit entries for account events; repeats are collapsed into one."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from attrs import Factory, asdict, define, evolve, field, filters, frozen

from workbell.domain.audit.entry import AuditEntry
from workbell.domain.errors import Unavailable, WorkbellError
from workbell.domain.identity.actor import Actor, ClientInfo
from workbell.domain.identity.user import SYSTEM_ID, User
from workbell.ports.audit import AuditRepository
from workbell.ports.identity.users import IdentityTx
from workbell.ports.store import Store
from workbell.ports.system import Clock

BURST_WINDOW = timedelta(minutes=1)
MAX_KEYS = 10_000
MASK = "********"
_SECRET_NAME = re.compile(
    r"authorization|cookie|credential|password|secret|token|(api|private|access)[-_]?key",
    re.IGNORECASE,
)


def account_audit_entry(
    user: User | None,
    action: str,
    client_info: ClientInfo,
    at: datetime,
    changes: Mapping[str, Any] | None = None,
    *,
    model: str = "user",
    subject: object = None,
) -> AuditEntry:
    """Build an audit entry for a user, or for an unknown name (None)."""
    actor = Actor(user_id=user.id if user else SYSTEM_ID, client_info=client_info)
    object_id = subject if subject is not None else (user.id if user else "")
    return AuditEntry.of(actor, action, model, object_id, at, changes)


def changed_values(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the old and the new value of each field that differs."""
    return {name: [before[name], after[name]] for name in after if before[name] != after[name]}


def created_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a new object as changes."""
    return {name: [None, value] for name, value in values.items()}


def deleted_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a deleted object as changes."""
    return {name: [value, None] for name, value in values.items()}


def mask_secrets(value: Any) -> Any:
    """Return a JSON value with the values of keys that name a secret replaced."""
    if isinstance(value, Mapping):
        return {
            name: MASK if _SECRET_NAME.search(name) else mask_secrets(each)
            for name, each in value.items()
        }
    return [mask_secrets(each) for each in value] if isinstance(value, list | tuple) else value


def mask_values(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes with every value replaced, except null."""
    return {
        name: [None if value is None else MASK for value in values]
        for name, values in changes.items()
    }


def new_user_values(user: User) -> dict[str, Any]:
    """Return the fields of a new user as changes."""
    names = ("username", "email", "role", "tier", "is_super_user")
    return created_values({name: getattr(user, name) for name in names})


def user_change_entry(actor: Actor, before: User, after: User, at: datetime) -> AuditEntry:
    """Build the entry of a changed user, without secrets."""
    secrets = filters.exclude("password_hash", "password_expires_at", "token_version")
    changes = changed_values(asdict(before, filter=secrets), asdict(after, filter=secrets))
    return AuditEntry.of(actor, "UPDATE", "user", before.id, at, changes)


def audit_command(
    repository: AuditRepository,
    actor: Actor,
    action: str,
    model: str,
    object_id: object,
    at: datetime,
    changes: Mapping[str, Any] | None = None,
    *,
    project_id: int | None = None,
) -> None:
    """Store an actor's command; those of the system are not audited."""
    if actor.is_system:
        return
    entry = AuditEntry.of(actor, action, model, object_id, at, changes, project_id=project_id)
    repository.add(entry)


@define(eq=False)
class AuditBurstFilter:
    """
    Collapses repeated audit entries.

    Of one action, subject and address, only the first entry within a minute is
    stored. The next stored entry says in `repeated` how many were dropped.
    """

    _since: dict[tuple[str, str, str], tuple[datetime, int]] = field(factory=dict, init=False)
    _lock: Lock = field(default=Factory(Lock), init=False, repr=False)

    def add(self, repository: AuditRepository, entry: AuditEntry) -> None:
        """Store an entry unless it repeats one of the last minute."""
        dropped = self._dropped_before((entry.action, entry.object_id, entry.address), entry.at)
        if dropped is None:
            return
        if dropped:
            entry = evolve(entry, changes={**entry.changes, "repeated": [None, dropped]})
        repository.add(entry)

    def _dropped_before(self, key: tuple[str, str, str], at: datetime) -> int | None:
        """Return how many entries were dropped, or None to drop this one."""
        with self._lock:
            started, count = self._since.pop(key, (None, 0))
            if started is not None and at - started < BURST_WINDOW:
                self._since[key] = (started, count + 1)
                return None
            while len(self._since) >= MAX_KEYS:
                del self._since[next(iter(self._since))]
            self._since[key] = (at, 0)
            return count


@frozen(kw_only=True)
class RefusalAudit:
    """Records requests refused for security reasons."""

    store: Store[IdentityTx]
    clock: Clock
    _burst_filter: AuditBurstFilter = field(factory=AuditBurstFilter, init=False, eq=False)

    def record(self, actor: Actor, action: str, operation: str, error: WorkbellError) -> None:
        """Record a refused request; skip it if the store is unavailable."""
        changes = {"reason": [None, error.code]}
        entry = AuditEntry.of(actor, action, "operation", operation, self.clock.now(), changes)
        with suppress(Unavailable), self.store.begin() as tx:
            self._burst_filter.add(tx.audit, entry)
