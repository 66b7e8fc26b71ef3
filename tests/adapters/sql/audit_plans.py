"""Questions to the audit log whose plans are tested on every database."""

from datetime import timedelta

from tests.contract.factories import ALICE, NOON, after
from workbell.adapters.sql.store import SqlStore, SqlTx
from workbell.domain.audit.chain import seal
from workbell.domain.audit.entry import AuditEntry
from workbell.domain.audit.query import AuditFilter, AuditScope
from workbell.domain.identity.user import UserId

ENTRIES = 12_000
OLD = NOON + timedelta(days=2)
SCOPE = AuditScope(user_id=ALICE, project_ids=[1, 2, 3])

LISTS = {
    "all": (AuditFilter(), None),
    "of a user": (AuditFilter(user_id=UserId(5)), None),
    "of an action": (AuditFilter(action="RARE"), None),
    "of an object": (AuditFilter(model_name="task", object_id="7"), None),
    "of a project": (AuditFilter(project_id=7), None),
    "of an old day": (AuditFilter(date_from=OLD, date_to=OLD + timedelta(days=1)), None),
    "visible to a user": (AuditFilter(), SCOPE),
    "visible to a user, of an action": (AuditFilter(action="RARE"), SCOPE),
}
"""Filters and scopes by name."""


def fill(store: SqlStore, entries: int = ENTRIES) -> None:
    """Insert entries of 200 users and 100 projects over 100 days; seal most of them."""
    step = timedelta(days=100) / entries
    for first in range(0, entries, 2_000):
        with store.begin() as tx:
            for number in range(first, min(first + 2_000, entries)):
                tx.audit.add(
                    AuditEntry(
                        user_id=UserId(1 + number % 200),
                        action="RARE" if number % 1_000 == 0 else "UPDATE",
                        model_name="task",
                        object_id=str(number % 3_000),
                        project_id=number % 100,
                        address="192.0.2.1",
                        at=NOON + number * step,
                    )
                )
    with store.begin() as tx:
        head = tx.audit_chain.lock_head()
        records = tx.audit_chain.list_unsealed(after(10**9), limit=entries - 100)
        tx.audit_chain.append(*seal(head, records))


def page(tx: SqlTx, name: str) -> object:
    """Read the first page and a later page of a list."""
    filters, scope = LISTS[name]
    first = tx.audit.list_page(filters, scope=scope)
    last = first[-1].id
    return tx.audit.list_page(filters, scope=scope, before_id=last)


def seal_and_verify(tx: SqlTx) -> object:
    """Read what the sealer and the verifier read."""
    chain = tx.audit_chain
    return (
        chain.list_unsealed(after(10**9), limit=1),
        [*chain.iterate_sealed(after=500, limit=100)],
        chain.last_number(),
        chain.find_hash(700),
        chain.list_checkpoints(before=9),
    )
