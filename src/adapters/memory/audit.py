"""Audit entries in memory."""

from collections.abc import Sequence
from itertools import islice

from attrs import define, evolve

from workbell.adapters.memory.tables import Tables
from workbell.adapters.memory.values import isolated_copy
from workbell.domain.audit import AuditEntry


@define(eq=False)
class MemoryAuditRepository:
    """Append-only audit entries."""

    _tables: Tables

    def add(self, entry: AuditEntry) -> None:
        """Append an entry."""
        number = self._tables.audit.next_id()
        stored = evolve(entry, id=number, changes=isolated_copy(dict(entry.changes)))
        self._tables.audit.put(number, stored)

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
