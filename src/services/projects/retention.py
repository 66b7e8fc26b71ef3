"""Retention of deleted tasks."""

from datetime import datetime, timedelta
from typing import Final

from attrs import frozen

from workbell.ports.projects.repository import ProjectsTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.transaction_retry import retry_on_contention

RETENTION: Final = timedelta(days=30)
"""How long a deleted task marks its place on the board."""
PURGE_BATCH: Final = 500
"""Tasks per transaction."""


@frozen(kw_only=True)
class WorkItemRetention:
    """Deletes the rows of tasks 30 days after they were deleted."""

    store: Store[ProjectsTx]
    clock: Clock

    def prune(self) -> int:
        """Delete what was deleted long enough ago; return the number of tasks."""
        before = self.clock.now() - RETENTION
        purged, batch = 0, PURGE_BATCH
        while batch == PURGE_BATCH:
            batch = self._purge(before)
            purged += batch
        return purged

    @retry_on_contention
    def _purge(self, before: datetime) -> int:
        with self.store.begin() as tx:
            return tx.work_items.purge(before, limit=PURGE_BATCH)
