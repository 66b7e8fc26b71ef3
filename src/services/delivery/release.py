"""Release of parked deliveries, as the body of a job."""

from typing import Final

from attrs import frozen

from workbell.domain.delivery.circuit_breaker import BreakerState
from workbell.domain.delivery.delivery import DeliveryState
from workbell.domain.delivery.destination import DestinationId
from workbell.domain.jobs.task import TaskContext
from workbell.ports.delivery.repository import DeliveryTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.delivery.fan_out import enqueue
from workbell.services.transaction_retry import retry_on_contention

CHUNK: Final = 500
"""Deliveries per transaction."""
_PARKED: Final = (DeliveryState.PARKED,)


@frozen(kw_only=True)
class ParkedDeliveries:
    """
    Releases parked deliveries of a destination.

    The destination's row is locked while deliveries are parked, and while they
    are released: none can be parked after the last chunk has been released.
    """

    store: Store[DeliveryTx]
    clock: Clock

    def release(self, destination_id: DestinationId, context: TaskContext) -> int:
        """
        Release all if the breaker is closed, or one as a probe after its pause.

        Returns how many were released.
        """
        with self.store.view() as tx:
            total = tx.deliveries.count(destination_id, _PARKED)
        released = 0
        while True:
            context.check()
            chunk, has_more = self._release_chunk(destination_id)
            released += chunk
            context.progress(released, max(total, released), "deliveries released")
            if not has_more:
                return released

    @retry_on_contention
    def _release_chunk(self, destination_id: DestinationId) -> tuple[int, bool]:
        """Release a chunk; return its size and whether there may be more."""
        now = self.clock.now()
        with self.store.begin() as tx:
            destination = tx.destinations.get_for_update(destination_id)
            breaker = destination.breaker
            is_closed = breaker.state is BreakerState.CLOSED
            is_due = breaker.open_until is not None and now >= breaker.open_until
            if not destination.is_active or not (is_closed or is_due):
                return 0, False
            limit = CHUNK if is_closed else 1
            parked = tx.deliveries.lock_batch(destination_id, _PARKED, limit=limit)
            released = [delivery.release(now) for delivery in parked]
            tx.deliveries.replace_many(released)
            enqueue(tx, [(delivery, destination) for delivery in released], now)
        return len(released), is_closed and len(released) == limit
