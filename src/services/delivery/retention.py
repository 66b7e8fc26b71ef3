"""Retention of events and deliveries."""

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
        pruned = 0
        for prune_batch in (self._purge_events, self._prune_deliveries):
            batch = BATCH
            while batch == BATCH:
                batch = prune_batch(before)
                pruned += batch
        return pruned

    def _purge_events(self, before: datetime) -> int:
        with self.store.begin() as tx:
            return tx.events.purge(before, limit=BATCH)

    def _prune_deliveries(self, before: datetime) -> int:
        with self.store.begin() as tx:
            return tx.deliveries.prune(before, limit=BATCH)
