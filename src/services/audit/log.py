"""Reading the audit log, and erasing the personal data in it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from workbell.domain.audit.checkpoint import Checkpoint
from workbell.domain.audit.entry import AuditEntry
from workbell.domain.audit.query import AuditFilter, AuditScope
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, check, get_scope
from workbell.domain.identity.user import User, UserId
from workbell.ports.identity.users import IdentityTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.audit.entries import mask_values
from workbell.services.transaction_retry import retry_on_contention

ERASE_BATCH = 500
"""Entries per transaction of an erasure."""
PRIVATE_MODELS = frozenset({"goal", "progress"})
"""Objects that only their owner may read: others see which fields changed, not the values."""
SUPERUSERS_ONLY = "Only superusers may verify the audit log and erase personal data."


def no_projects(_: object, __: UserId) -> Sequence[int]:
    """Return no projects."""
    return ()


@frozen(kw_only=True)
class ListedEntry:
    """An entry with its user; None for the system, unknown clients and deleted users."""

    entry: AuditEntry
    user: User | None


@frozen(kw_only=True)
class AuditLog:
    """
    Lists audit entries and erases personal data.

    `administered_projects` returns the ids of the projects that a user
    administers, whose entries the user may read.
    """

    store: Store[IdentityTx]
    clock: Clock
    administered_projects: Callable[[Any, UserId], Sequence[int]] = field(default=no_projects)

    def find(
        self,
        actor: Actor,
        filters: AuditFilter,
        *,
        before_id: int | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[ListedEntry], int]:
        """Return a page of the entries visible to the actor; the count only without a cursor."""
        check(actor, Action.READ_AUDIT, owner=actor.user_id)
        is_unlimited = get_scope(actor, Action.READ_AUDIT).owner is None
        with self.store.view() as tx:
            scope = None if is_unlimited else self._scope(tx, actor)
            page = tx.audit.list_page(
                filters, scope=scope, before_id=before_id, offset=offset, limit=limit
            )
            total = 0 if before_id is not None else tx.audit.count(filters, scope=scope)
            users = tx.users.find_many({each.user_id for each in page})
        return [_listed(actor, each, users) for each in page], total

    def checkpoints(
        self, actor: Actor, *, before: int | None = None, limit: int = 20
    ) -> Sequence[Checkpoint]:
        """Return signed checkpoints, newest first; for superusers."""
        check(actor, Action.VERIFY_AUDIT, SUPERUSERS_ONLY)
        with self.store.view() as tx:
            return tx.audit_chain.list_checkpoints(before=before, limit=limit)

    def erase(self, actor: Actor, user_id: UserId) -> int:
        """
        Erase the personal data of entries by a user and about the user.

        Returns the number of erased entries. The chain remains verifiable.

        Raises:
            NotAllowed: The actor is no superuser.
            NotFound: There is no such user.
        """
        check(actor, Action.ERASE_PERSONAL_DATA, SUPERUSERS_ONLY)
        erased, after_id = self._erase(actor, user_id, None)
        total = erased
        while after_id is not None:
            erased, after_id = self._erase(actor, user_id, after_id)
            total += erased
        return total

    @retry_on_contention
    def _erase(self, actor: Actor, user_id: UserId, after_id: int | None) -> tuple[int, int | None]:
        """Erase a batch; the first one (None) also writes the audit entry."""
        with self.store.begin() as tx:
            step = tx.audit.erase(user_id, after_id=after_id or 0, limit=ERASE_BATCH)
            if after_id is None:
                user, now = tx.users.get(user_id), self.clock.now()
                changes = {"state": ["stored", "erased"]}
                # also of the system: the log shows every erasure
                tx.audit.add(AuditEntry.of(actor, "ERASE", "personal_data", user.id, now, changes))
        return step.erased, step.next_after

    def _scope(self, tx: IdentityTx, actor: Actor) -> AuditScope:
        projects = self.administered_projects(tx, actor.user_id)
        return AuditScope(user_id=actor.user_id, project_ids=tuple(projects))


def _listed(actor: Actor, entry: AuditEntry, users: Mapping[UserId, User]) -> ListedEntry:
    if entry.model_name in PRIVATE_MODELS and entry.user_id != actor.user_id:
        entry = evolve(entry, changes=mask_values(entry.changes))
    return ListedEntry(entry=entry, user=users.get(entry.user_id))
