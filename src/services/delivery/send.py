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
from workbell.services.delivery.recording import AttemptRecorder, SentDelivery
from workbell.services.transaction_retry import retry_on_contention


@frozen(kw_only=True)
class SendService:
    """
    Sends deliveries; no transaction is open during a request.

    A job whose turn has passed does nothing. If a worker dies after a request,
    before its result is recorded with the outcome of the job, the request is
    repeated with the same webhook id.
    """

    store: Store[DeliveryTx]
    clock: Clock
    client: WebhookClient
    requests: OutgoingRequests
    recorder: AttemptRecorder

    def send(self, delivery_id: DeliveryId, turn: int, context: TaskContext) -> SentDelivery | None:
        """
        Make one attempt; return its result, which has to be recorded.

        Returns None if nothing was sent: the job is not the current one, or the
        delivery was parked, postponed, cancelled, or can never be sent.

        Raises:
            Unavailable: A secret cannot be decrypted, or the store is unreachable.
        """
        context.check()
        dispatch = self._admit(delivery_id, turn)
        if dispatch is None:
            return None
        started_at = self.clock.now()
        try:
            signed = self.requests.make(dispatch, started_at)
        except Invalid as error:
            self.recorder.fail(dispatch, error.detail)
            return None
        result = self.client.send(signed.request)
        return SentDelivery(
            dispatch=dispatch,
            started_at=started_at,
            ended_at=self.clock.now(),
            result=result,
            masked_headers=signed.masked_headers,
        )

    def _admit(self, delivery_id: DeliveryId, turn: int) -> Dispatch | None:
        """Return what to send if the turn is current and it may be sent now."""
        with self.store.view() as tx:
            dispatch = tx.deliveries.load(delivery_id)
        if dispatch is None or not _is_current(dispatch.delivery, turn):
            return None
        return dispatch if _is_unconditional(dispatch) else self._admit_locked(dispatch, turn)

    @retry_on_contention
    def _admit_locked(self, dispatch: Dispatch, turn: int) -> Dispatch | None:
        """Decide while the rows of the destination and the delivery are locked."""
        now = self.clock.now()
        with self.store.begin() as tx:
            destination = tx.destinations.get_for_update(dispatch.destination.id)
            delivery = tx.deliveries.get_for_update(dispatch.delivery.id)
            if not _is_current(delivery, turn):
                return None
            if (refused := _refuse(destination, delivery, now)) is not None:
                tx.deliveries.replace(delivery, refused)
                return None
            if not _reserve_slot(tx, destination, delivery, now):
                return None
            destination = _start(tx, destination, delivery, now)
        return evolve(dispatch, destination=destination, delivery=delivery)


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
) -> bool:
    """Reserve a sending time under the destination's rate; postpone if it is later."""
    if destination.rate_per_second is None or delivery.slot_at is not None or delivery.is_test:
        return True
    reserved, slot = destination.reserve_slot(now)
    tx.destinations.replace(reserved)
    if slot <= now:
        return True
    postponed = delivery.postpone(slot, now)
    tx.deliveries.replace(delivery, postponed)
    enqueue(tx, [(postponed, reserved)], now)
    return False


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
