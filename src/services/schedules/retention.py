"""Retention of deleted schedules."""

from datetime import datetime, timedelta
from typing import Final

from attrs import frozen

from workbell.ports.schedules.repository import SchedulesTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.transaction_retry import retry_on_contention

BATCH: Final = 500
"""Schedules per transaction."""


@frozen(kw_only=True)
class ScheduleRetention:
    """Deletes the rows of schedules some time after they were deleted."""

    store: Store[SchedulesTx]
    clock: Clock
    max_age: timedelta

    def prune(self) -> int:
        """Delete what was deleted long enough ago; return the number of schedules."""
        before = self.clock.now() - self.max_age
        purged, batch = 0, BATCH
        while batch == BATCH:
            batch = self._purge(before)
            purged += batch
        return purged

    @retry_on_contention
    def _purge(self, before: datetime) -> int:
        with self.store.begin() as tx:
            return tx.schedules.purge(before, limit=BATCH)
