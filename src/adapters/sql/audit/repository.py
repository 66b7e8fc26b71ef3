"""Audit entries in SQL."""

from collections.abc import Sequence
from operator import attrgetter

from attrs import fields, frozen
from sqlalchemy import Connection, bindparam, insert, select

from workbell.adapters.sql.audit.listing import AuditLists
from workbell.adapters.sql.database.column_types import to_db_values
from workbell.adapters.sql.database.statements import AnyRow, prepare, row_to_dict
from workbell.adapters.sql.schema.tables import audit
from workbell.domain.audit.entry import AuditEntry
from workbell.domain.audit.query import AuditFilter, AuditScope

_NAMES = tuple(each.name for each in fields(AuditEntry) if each.name != "id")
_INSERT = prepare(insert(audit), *_NAMES)
_values = attrgetter(*_NAMES)
_LATEST = select(audit).order_by(audit.c.id.desc())
_AMONG = _LATEST.where(audit.c.id.in_(bindparam("ids", expanding=True)))
_FOR_OBJECT = _LATEST.where(
    audit.c.model_name == bindparam("model"), audit.c.object_id == bindparam("object")
).limit(bindparam("limit"))


@frozen
class SqlAuditRepository:
    """Append-only audit entries."""

    _db: Connection

    def add(self, entry: AuditEntry) -> None:
        """Append an entry."""
        _INSERT.execute_no_result(self._db, to_db_values(_values(entry), self._db.dialect))

    def list_page(
        self,
        filters: AuditFilter,
        *,
        scope: AuditScope | None = None,
        before_id: int | None = None,
        limit: int = 20,
    ) -> Sequence[AuditEntry]:
        """Return the matching entries in a scope, newest first."""
        ids = AuditLists(self._db).ids(filters, scope, before_id, limit)
        return [_entry(row) for row in self._db.execute(_AMONG, {"ids": ids})] if ids else []

    def latest(self, *, before: int | None = None, limit: int = 20) -> Sequence[AuditEntry]:
        """Return the newest entries, or the newest below an id."""
        query = _LATEST if before is None else _LATEST.where(audit.c.id < before)
        return [_entry(row) for row in self._db.execute(query.limit(limit))]

    def list_for_object(
        self, model_name: str, object_id: str, *, limit: int = 100
    ) -> Sequence[AuditEntry]:
        """Return the newest entries about one object."""
        values = {"model": model_name, "object": object_id, "limit": limit}
        return [_entry(row) for row in self._db.execute(_FOR_OBJECT, values)]


def _entry(row: AnyRow) -> AuditEntry:
    return AuditEntry(**row_to_dict(row))
