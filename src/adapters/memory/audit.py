"""Audit entries in memory."""

from collections.abc import Sequence
from itertools import islice

from attrs import define, evolve

from workbell.adapters.memory.listing import in_range
from workbell.adapters.memory.tables import Tables
from workbell.adapters.memory.values import isolated_copy
from workbell.domain.audit.entry import AuditEntry
from workbell.domain.audit.query import AuditFilter, AuditScope


@define(eq=False)
class MemoryAuditRepository:
    """Append-only audit entries."""

    _tables: Tables

    def add(self, entry: AuditEntry) -> None:
        """Append an entry."""
        number = self._tables.audit.next_id()
        stored = evolve(entry, id=number, changes=isolated_copy(dict(entry.changes)))
        self._tables.audit.put(number, stored)

    def list_page(
        self,
        filters: AuditFilter,
        *,
        scope: AuditScope | None = None,
        before_id: int | None = None,
        limit: int = 20,
    ) -> Sequence[AuditEntry]:
        """Return the matching entries in a scope, newest first."""
        newest = reversed(self._tables.audit.rows.values())
        found = (
            entry
            for entry in newest
            if (before_id is None or entry.id < before_id)
            and _matches(filters, entry)
            and (scope is None or _is_visible(scope, entry))
        )
        return list(islice(found, limit))

    def latest(self, *, before: int | None = None, limit: int = 20) -> Sequence[AuditEntry]:
        """Return the newest entries, or the newest below an id."""
        newest = reversed(self._tables.audit.rows.values())
        return list(islice((e for e in newest if before is None or e.id < before), limit))

    def list_for_object(
        self, model_name: str, object_id: str, *, limit: int = 100
    ) -> Sequence[AuditEntry]:
        """Return the newest entries about one object."""
        about = (model_name, object_id)
        newest = reversed(self._tables.audit.rows.values())
        return list(islice((e for e in newest if (e.model_name, e.object_id) == about), limit))


def _matches(filters: AuditFilter, entry: AuditEntry) -> bool:
    names = ("user_id", "action", "model_name", "object_id", "project_id")
    wanted = ((getattr(filters, name), getattr(entry, name)) for name in names)
    return all(value is None or value == stored for value, stored in wanted) and in_range(
        entry.at, filters.date_from, filters.date_to
    )


def _is_visible(scope: AuditScope, entry: AuditEntry) -> bool:
    return entry.user_id == scope.user_id or entry.project_id in scope.project_ids
