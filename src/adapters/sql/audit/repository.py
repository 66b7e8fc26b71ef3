"""Audit entries in SQL."""

from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice

from attrs import fields, frozen
from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, select

from workbell.adapters.sql.audit.listing import AuditLists
from workbell.adapters.sql.database.filters import equals_number
from workbell.adapters.sql.database.statements import AnyRow, row_to_dict
from workbell.adapters.sql.database.strategy import Strategy
from workbell.adapters.sql.schema.audit import audit, audit_private
from workbell.domain.audit.entry import AuditEntry
from workbell.domain.audit.query import AuditFilter, AuditScope
from workbell.domain.identity.user import UserId
from workbell.ports.audit import Erasure

audit_c, private_c = audit.c, audit_private.c
_SHARED = [each.name for each in fields(AuditEntry) if each.name in audit_c]
_ENTRIES = (
    select(
        *[audit_c[name] for name in _SHARED],
        audit_c.payload_digest,
        private_c.address,
        private_c.user_agent,
        private_c.changes.label("private_changes"),
    )
    .join(audit_private, private_c.audit_id == audit_c.id, isouter=True)
    .order_by(audit_c.id.desc())
)
_AMONG = _ENTRIES.where(audit_c.id.in_(bindparam("ids", expanding=True)))
_FOR_OBJECT = _ENTRIES.where(
    audit_c.model_name == bindparam("model"), audit_c.object_id == bindparam("object")
).limit(bindparam("limit"))
_ERASE = delete(audit_private).where(private_c.audit_id.in_(bindparam("ids", expanding=True)))


@frozen
class SqlAuditRepository:
    """Append-only audit entries with erasable personal data."""

    _db: Connection
    _strategy: Strategy

    def add(self, entry: AuditEntry) -> None:
        """Append an entry."""
        self._strategy.insert_audit_entry(self._db, entry)

    def list_page(
        self,
        filters: AuditFilter,
        *,
        scope: AuditScope | None = None,
        before_id: int | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> Sequence[AuditEntry]:
        """Return the matching entries in a scope, newest first."""
        ids = AuditLists(self._db).ids(filters, scope, before_id, offset, limit)
        return [_entry(row) for row in self._db.execute(_AMONG, {"ids": ids})] if ids else []

    def count(self, filters: AuditFilter, *, scope: AuditScope | None = None) -> int:
        """Return how many entries match, counting up to `COUNT_CAP` + 1."""
        return AuditLists(self._db).count(filters, scope)

    def latest(self, *, before: int | None = None, limit: int = 20) -> Sequence[AuditEntry]:
        """Return the newest entries, or the newest below an id."""
        query = _ENTRIES if before is None else _ENTRIES.where(audit_c.id < before)
        return [_entry(row) for row in self._db.execute(query.limit(limit))]

    def list_for_object(
        self, model_name: str, object_id: str, *, limit: int = 100
    ) -> Sequence[AuditEntry]:
        """Return the newest entries about one object."""
        values = {"model": model_name, "object": object_id, "limit": limit}
        return [_entry(row) for row in self._db.execute(_FOR_OBJECT, values)]

    def erase(self, user_id: UserId, *, after_id: int = 0, limit: int = 500) -> Erasure:
        """Erase the personal data of entries by a user and about the user."""
        by_user = equals_number(audit_c.user_id, user_id)
        about = and_(audit_c.model_name == "user", audit_c.object_id == str(user_id))
        found = merge(*[self._ids(each, after_id, limit) for each in (by_user, about)])
        ids = list(islice(dict.fromkeys(found), limit))
        erased = self._db.execute(_ERASE, {"ids": ids}).rowcount if ids else 0
        return Erasure(erased, ids[-1] if len(ids) == limit else None)

    def _ids(self, condition: ColumnElement[bool], after_id: int, limit: int) -> Iterator[int]:
        query = select(audit_c.id).where(condition, audit_c.id > after_id)
        yield from self._db.execute(query.order_by(audit_c.id).limit(limit)).scalars().all()


def _entry(row: AnyRow) -> AuditEntry:
    values = row_to_dict(row)
    personal, digest = values.pop("private_changes"), values.pop("payload_digest")
    is_erased = bool(digest) and values["address"] is None
    for name in ("address", "user_agent"):
        values[name] = values[name] or ""
    values["changes"] = {**values["changes"], **(personal or {})}
    return AuditEntry(**values, is_erased=is_erased)
