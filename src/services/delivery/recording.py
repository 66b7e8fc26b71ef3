"""Recording of attempts: the delivery, its next job and its destination."""

from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from workbell.domain.delivery.delivery import (
    Delivery,
    DeliveryAttempt,
    DeliveryState,
    SendResult,
)
from workbell.domain.delivery.destination import Destination
from workbell.domain.delivery.health import HealthFact, apply_result
from workbell.domain.delivery.retry_policy import parse_retry_after
from workbell.ports.delivery.repository import DeliveryTx, Dispatch
from workbell.ports.store import Store
from workbell.ports.system import Clock, Ids, Randomness
from workbell.services.delivery.fan_out import enqueue
from workbell.services.delivery.jobs import release_job
from workbell.services.delivery.operational import notify
from workbell.services.transaction_retry import retry_on_contention


@frozen
class SentAttempt:
    """The result of a request, its times, and its headers without secret values."""

    started_at: datetime
    ended_at: datetime
    result: SendResult
    masked_headers: Mapping[str, str]


@frozen(kw_only=True)
class AttemptRecorder:
    """
    Records the result of an attempt with all that follows, in one transaction.

    The destination's row is locked only if its state may change: after a
    failure, and after a success that ends a series of failures.
    """

    store: Store[DeliveryTx]
    clock: Clock
    randomness: Randomness
    ids: Ids

    @retry_on_contention
    def record(self, dispatch: Dispatch, sent: SentAttempt) -> DeliveryState | None:
        """
        Record an attempt; return the new state of the delivery.

        Returns None if the delivery has changed since it was read: nothing is
        recorded then.
        """
        now, result = self.clock.now(), sent.result
        before, destination = dispatch.delivery, dispatch.destination
        retry_after = parse_retry_after(result.response_headers.get("retry-after"), now)
        variation = self.randomness.uniform(-1.0, 1.0)
        may_change = not result.is_success or not destination.breaker.is_pristine
        with self.store.begin() as tx:
            if may_change:
                destination = tx.destinations.get_for_update(destination.id)
            after = before.record(result, destination, now, variation, retry_after)
            if not tx.deliveries.replace(before, after):
                return None
            tx.deliveries.add_attempt(_make_attempt(after, sent))
            if not after.state.is_final:
                enqueue(tx, [(after, destination)], now)
            if may_change:
                self._apply(tx, destination, after, result, now)
        return after.state

    @retry_on_contention
    def fail(self, dispatch: Dispatch, error: str) -> DeliveryState | None:
        """Record that a delivery can never be sent; return its state as `record` does."""
        failed = dispatch.delivery.fail(error, self.clock.now())
        with self.store.begin() as tx:
            return failed.state if tx.deliveries.replace(dispatch.delivery, failed) else None

    def _apply(
        self,
        tx: DeliveryTx,
        before: Destination,
        delivery: Delivery,
        result: SendResult,
        now: datetime,
    ) -> None:
        """Write what a result changes in the locked destination, and notify its members."""
        change = apply_result(before, delivery, result, now)
        destination = change.destination
        if destination != before:
            tx.destinations.replace(destination)
        if change.release_at is not None:
            tx.jobs.add([release_job(destination.id, now, change.release_at)], now)
        for fact in change.facts:
            by_mail = fact is not HealthFact.EXHAUSTED or before.exhausted_at is None
            notify(tx, fact, destination, delivery, self.ids, now, by_mail=by_mail)


def _make_attempt(after: Delivery, sent: SentAttempt) -> DeliveryAttempt:
    duration = sent.ended_at - sent.started_at
    return DeliveryAttempt(
        delivery_id=after.id,
        destination_id=after.destination_id,
        number=after.attempts,
        started_at=sent.started_at,
        duration_ms=max(0, round(duration.total_seconds() * 1_000)),
        result=sent.result,
        request_headers=sent.masked_headers,
    )
