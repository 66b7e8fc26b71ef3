"""Audit entries of what people do with their accounts, burst_filter in one."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from attrs import Factory, define, evolve, field, frozen

from workbell.domain.audit import AuditEntry
from workbell.domain.errors import Unavailable, WorkbellError
from workbell.domain.identity.actor import Actor, ClientInfo
from workbell.domain.identity.user import SYSTEM_ID, User
from workbell.ports.audit import AuditRepository
from workbell.ports.identity.users import IdentityTx
from workbell.ports.store import Store
from workbell.ports.system import Clock

FLOOD = timedelta(minutes=1)
MOST = 10_000


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
    """Return the entry of a person, or of somebody at a name that nobody has."""
    who = (
        Actor.of(user, client_info=client_info)
        if user
        else Actor(user_id=SYSTEM_ID, client_info=client_info)
    )
    about = subject if subject is not None else (user.id if user else "")
    return AuditEntry.of(who, action, model, about, at, changes)


@define(eq=False)
class AuditBurstFilter:
    """
    Keeps the trail short when the same failure comes again and again.

    Of one action, subject and address, the first entry of a minute is kept;
    the next minute's first one tells how many were left out in between.
    """

    _since: dict[tuple[str, str, str], tuple[datetime, int]] = field(factory=dict, init=False)
    _lock: Lock = field(default=Factory(Lock), init=False, repr=False)

    def add(self, trail: AuditRepository, new: AuditEntry) -> None:
        """Keep an entry, unless it is one of a flood."""
        left_out = self._left_out((new.action, new.object_id, new.address), new.at)
        if left_out is None:
            return
        if left_out:
            new = evolve(new, changes={**new.changes, "repeated": [None, left_out]})
        trail.add(new)

    def _left_out(self, key: tuple[str, str, str], at: datetime) -> int | None:
        """Return how many were left out before this one, or None to leave it out."""
        with self._lock:
            began, count = self._since.pop(key, (None, 0))
            if began is not None and at - began < FLOOD:
                self._since[key] = (began, count + 1)
                return None
            while len(self._since) >= MOST:
                del self._since[next(iter(self._since))]
            self._since[key] = (at, 0)
            return count


@frozen(kw_only=True)
class RefusalAudit:
    """Remembers who was refused what, for a reason of security; burst_filter in one."""

    store: Store[IdentityTx]
    clock: Clock
    _burst_filter: AuditBurstFilter = field(factory=AuditBurstFilter, init=False, eq=False)

    def record(self, actor: Actor, action: str, operation: str, why: WorkbellError) -> None:
        """Keep one refusal; a store that does not answer makes it no other one."""
        changes = {"reason": [None, why.code]}
        refused = AuditEntry.of(actor, action, "operation", operation, self.clock.now(), changes)
        with suppress(Unavailable), self.store.begin() as tx:
            self._burst_filter.add(tx.audit, refused)
