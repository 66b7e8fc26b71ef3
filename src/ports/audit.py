"""The audit trail: what was done, by whom, kept with the change itself."""

from collections.abc import Sequence
from typing import Protocol

from workbell.domain.audit import AuditEntry


class AuditRepository(Protocol):
    """Entries in the order in which they were added; none is ever changed."""

    def add(self, entry: AuditEntry) -> None:
        """Keep one more entry."""
        ...

    def latest(self, *, before: int | None = None, limit: int = 20) -> Sequence[AuditEntry]:
        """Return the newest entries, or the newest before an id."""
        ...

    def list_for_object(
        self, model_name: str, object_id: str, *, limit: int = 100
    ) -> Sequence[AuditEntry]:
        """Return the newest entries about one thing."""
        ...
