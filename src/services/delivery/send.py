"""Sending: one attempt of a delivery, as the body of its job."""

from datetime import datetime, timedelta

from attrs import evolve, frozen

from workbell.domain.delivery.circuit_breaker import BreakerState
from workbell.domain.delivery.delivery import (
    GRACE_SECONDS,
    Delivery,
    DeliveryId,
    DeliveryState,
)
from workbell.domain.delivery.destination import Destination
from workbell.domain.errors import Invalid
from workbell.domain.jobs.task import TaskContext
from workbell.ports.delivery.repository import DeliveryTx, Dispatch
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.ports.webhook_client import WebhookClient
from workbell.services.delivery.fan_out import enqueue
from workbell.services.delivery.jobs import release_job
from workbell.services.delivery.outgoing import OutgoingRequests
from workbell.services.delivery.recording import AttemptRecorder, SentAttempt
from workbell.services.transaction_retry import retry_on_contention


@frozen(kw_only=True)
class SendService:
    """
    Sends deliveries; no transaction is open during a request.

    A job whose turn has passed does nothing. If a worker dies between the
    request and the record of its result, the request is repeated with the same
    webhook id.
    """

    store: Store[DeliveryTx]
    clock: Clock
    client: WebhookClient
    requests: OutgoingRequests
    recorder: AttemptRecorder

    def send(
        self, delivery_id: DeliveryId, turn: int, context: TaskContext
    ) -> DeliveryState | None:
        """
        Make one attempt, and record its result with the job of the next one.

        Returns the state of the delivery; None if this job is not its current
        one, or another job has recorded a result.

        Raises:
            Unavailable: A secret cannot be decrypted, or the store is unreachable.
        """
        context.check()
        delivery, dispatch = self._admit(delivery_id, turn)
        if dispatch is None:
            return None if delivery is None else delivery.state
        started_at = self.clock.now()
        try:
            signed = self.requests.make(dispatch, started_at)
        except Invalid as error:
            return self.recorder.fail(dispatch, error.detail)
        result = self.client.send(signed.request)
        sent = SentAttempt(started_at, self.clock.now(), result, signed.masked_headers)
        return self.recorder.record(dispatch, sent)

    def _admit(self, delivery_id: DeliveryId, turn: int) -> tuple[Delivery | None, Dispatch | None]:
        """Return the delivery if it is current, and what to send if it may be sent now."""
        with self.store.view() as tx:
            dispatch = tx.deliveries.load(delivery_id)
        if dispatch is None or not _is_current(dispatch.delivery, turn):
            return None, None
        if _is_unconditional(dispatch):
            return dispatch.delivery, dispatch
        return self._admit_locked(dispatch, turn)

    @retry_on_contention
    def _admit_locked(
        self, dispatch: Dispatch, turn: int
    ) -> tuple[Delivery | None, Dispatch | None]:
        """Decide while the rows of the destination and the delivery are locked."""
        now = self.clock.now()
        with self.store.begin() as tx:
            destination = tx.destinations.get_for_update(dispatch.destination.id)
            delivery = tx.deliveries.get_for_update(dispatch.delivery.id)
            if not _is_current(delivery, turn):
                return None, None
            if (refused := _refuse(destination, delivery, now)) is not None:
                tx.deliveries.replace(delivery, refused)
                return refused, None
            if (postponed := _reserve_slot(tx, destination, delivery, now)) is not None:
                return postponed, None
            destination = _start(tx, destination, delivery, now)
        return delivery, evolve(dispatch, destination=destination, delivery=delivery)


def _is_current(delivery: Delivery, turn: int) -> bool:
    waits = not delivery.state.is_final and delivery.state is not DeliveryState.PARKED
    return waits and delivery.turn == turn


def _is_unconditional(dispatch: Dispatch) -> bool:
    """Whether a delivery may be sent without reading its destination under a lock."""
    destination = dispatch.destination
    if destination.deleted_at is not None:
        return False
    is_closed = destination.is_active and destination.breaker.state is BreakerState.CLOSED
    return dispatch.delivery.is_test or (is_closed and destination.rate_per_second is None)


def _refuse(destination: Destination, delivery: Delivery, now: datetime) -> Delivery | None:
    """Return the cancelled or parked delivery if it may not be sent."""
    if destination.deleted_at is not None:
        return delivery.cancel(now)
    if delivery.is_test or destination.admits(delivery.id, now):
        return None
    return delivery.park(now)


def _reserve_slot(
    tx: DeliveryTx, destination: Destination, delivery: Delivery, now: datetime
) -> Delivery | None:
    """Reserve a sending time under the destination's rate; return a postponed delivery."""
    if destination.rate_per_second is None or delivery.slot_at is not None or delivery.is_test:
        return None
    reserved, slot = destination.reserve_slot(now)
    tx.destinations.replace(reserved)
    if slot <= now:
        return None
    postponed = delivery.postpone(slot, now)
    tx.deliveries.replace(delivery, postponed)
    enqueue(tx, [(postponed, reserved)], now)
    return postponed


def _start(
    tx: DeliveryTx, destination: Destination, delivery: Delivery, now: datetime
) -> Destination:
    """Make a delivery the breaker's probe unless the breaker is closed."""
    limit = timedelta(seconds=destination.timeout_seconds + GRACE_SECONDS)
    breaker = destination.breaker.start(delivery.id, now, limit)
    if breaker == destination.breaker:
        return destination
    probing = evolve(destination, breaker=breaker)
    tx.destinations.replace(probing)
    tx.jobs.add([release_job(destination.id, now, now + limit)], now)
    return probing
