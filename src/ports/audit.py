"""The audit trail, written in the transaction of the change itself."""

from collections.abc import Sequence
from typing import Protocol

from workbell.domain.audit.entry import AuditEntry
from workbell.domain.audit.query import AuditFilter, AuditScope


class AuditRepository(Protocol):
    """Audit entries; append-only."""

    def add(self, entry: AuditEntry) -> None:
        """Insert an entry."""

    def list_page(
        self,
        filters: AuditFilter,
        *,
        scope: AuditScope | None = None,
        before_id: int | None = None,
        limit: int = 20,
    ) -> Sequence[AuditEntry]:
        """
        Return the matching entries in a scope, newest (highest id) first.

        Without a scope, entries of all users match. `before_id` is the last id
        of the previous page.
        """

    def latest(self, *, before: int | None = None, limit: int = 20) -> Sequence[AuditEntry]:
        """Return entries, newest first, optionally only those before an id."""

    def list_for_object(
        self, model_name: str, object_id: str, *, limit: int = 100
    ) -> Sequence[AuditEntry]:
        """Return the entries about one object, newest first."""


class AuditTx(Protocol):
    """A transaction that records what it does in the audit trail."""

    @property
    def audit(self) -> AuditRepository:
        """The audit trail."""
