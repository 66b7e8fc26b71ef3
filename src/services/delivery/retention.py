"""Retention of events and deliveries."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from attrs import frozen

from workbell.ports.delivery.repository import DeliveryTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.transaction_retry import retry_on_contention

BATCH: Final = 500
"""Rows per transaction."""


@frozen(kw_only=True)
class DeliveryRetention:
    """
    Deletes the data of old events, and ended deliveries with their attempts.

    The rows of events remain: they are the guard against a second event with
    the same id.
    """

    store: Store[DeliveryTx]
    clock: Clock
    max_age: timedelta

    @retry_on_contention
    def prune(self) -> int:
        """Delete what is older than the maximum age; return how many rows."""
        before = self.clock.now() - self.max_age
        return self._purge_events(before) + self.prune_deliveries(before, lambda _: None)

    def prune_deliveries(self, before: datetime, on_batch: Callable[[int], None]) -> int:
        """
        Delete ended deliveries created before a time; return how many.

        `on_batch` is called with the number so far; it may raise to stop.
        """
        deleted = 0
        while True:
            with self.store.begin() as tx:
                batch = tx.deliveries.prune(before, limit=BATCH)
            deleted += batch
            on_batch(deleted)
            if batch < BATCH:
                return deleted

    def _purge_events(self, before: datetime) -> int:
        purged = 0
        while True:
            with self.store.begin() as tx:
                batch = tx.events.purge(before, limit=BATCH)
            purged += batch
            if batch < BATCH:
                return purged
