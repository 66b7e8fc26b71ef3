"""Cancellation of deliveries: of deleted destinations, and of ended jobs."""

from datetime import datetime
from typing import Final

from attrs import frozen

from workbell.domain.delivery.delivery import UNFINISHED, Delivery, DeliveryId
from workbell.domain.delivery.destination import DestinationId
from workbell.domain.errors import NotFound
from workbell.domain.identity.user import SYSTEM_ID
from workbell.domain.jobs.task import TaskContext
from workbell.ports.delivery.repository import DeliveryTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.transaction_retry import retry_on_contention

CHUNK: Final = 50
"""Deliveries per transaction; each needs several statements."""


@frozen(kw_only=True)
class DeliveryCancellation:
    """Ends deliveries that will not be sent, and their waiting jobs."""

    store: Store[DeliveryTx]
    clock: Clock

    def cancel_all(self, destination_id: DestinationId, context: TaskContext) -> int:
        """Cancel the unfinished deliveries of a destination; return how many."""
        cancelled = 0
        while chunk := self._cancel_chunk(destination_id):
            cancelled += chunk
            context.progress(cancelled, note="deliveries cancelled")
            context.check()
        return cancelled

    @retry_on_contention
    def close(self, delivery_id: DeliveryId, turn: int, error: str | None) -> bool:
        """
        End a delivery whose job has ended without a result.

        It has failed, or without an `error` it is cancelled. Returns whether it
        was still waiting for that job.
        """
        now = self.clock.now()
        with self.store.begin() as tx:
            try:
                before = tx.deliveries.get_for_update(delivery_id)
            except NotFound:  # pruned
                return False
            if before.state not in UNFINISHED or before.turn != turn:
                return False
            after = before.cancel(now) if error is None else before.fail(error, now)
            return tx.deliveries.replace(before, after)

    @retry_on_contention
    def _cancel_chunk(self, destination_id: DestinationId) -> int:
        now = self.clock.now()
        with self.store.begin() as tx:
            tx.destinations.get_for_update(destination_id)
            found = tx.deliveries.lock_batch(destination_id, UNFINISHED, limit=CHUNK)
            tx.deliveries.replace_many([delivery.cancel(now) for delivery in found])
            for delivery in found:
                _cancel_job(tx, delivery, now)
        return len(found)


def _cancel_job(tx: DeliveryTx, delivery: Delivery, now: datetime) -> None:
    """Cancel the job of a delivery's turn if it waits; a running one ends by itself."""
    job = tx.jobs.by_idempotency_key(SYSTEM_ID, delivery.job_key)
    if job is not None and job.state.waiting:
        tx.jobs.replace(job, job.cancel(now, "the destination was deleted"))
