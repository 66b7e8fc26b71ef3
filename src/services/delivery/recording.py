"""Recording of attempts with all that follows from their results."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import define, field, frozen

from workbell.domain.delivery.delivery import (
    Delivery,
    DeliveryAttempt,
    DeliveryState,
    SendResult,
)
from workbell.domain.delivery.destination import Destination, DestinationId
from workbell.domain.delivery.health import HealthFact, apply_result
from workbell.domain.delivery.retry_policy import parse_retry_after
from workbell.ports.delivery.repository import DeliveryTx, Dispatch
from workbell.ports.store import Store
from workbell.ports.system import Clock, Ids, Randomness
from workbell.services.delivery.fan_out import enqueue
from workbell.services.delivery.jobs import release_job
from workbell.services.delivery.operational import notify
from workbell.services.transaction_retry import retry_on_contention


@frozen(kw_only=True)
class SentDelivery:
    """
    A delivery that was sent, and the result, which has to be recorded.

    `masked_headers` are those of the request without secret values.
    """

    dispatch: Dispatch
    started_at: datetime
    ended_at: datetime
    result: SendResult
    masked_headers: Mapping[str, str]

    @property
    def may_change_destination(self) -> bool:
        """Whether the row of the destination has to be locked."""
        return not (self.result.is_success and self.dispatch.destination.breaker.is_pristine)

    def attempt(self, after: Delivery) -> DeliveryAttempt:
        """Return the attempt, which led to a new state of the delivery."""
        duration = self.ended_at - self.started_at
        return DeliveryAttempt(
            delivery_id=after.id,
            destination_id=after.destination_id,
            number=after.attempts,
            started_at=self.started_at,
            duration_ms=max(0, round(duration.total_seconds() * 1_000)),
            result=self.result,
            request_headers=self.masked_headers,
        )


@frozen(kw_only=True)
class AttemptRecorder:
    """
    Records results of attempts with all that follows from them.

    The row of a destination is locked only if its state may change: after a
    failure, and after a success that ends a series of failures.
    """

    store: Store[DeliveryTx]
    clock: Clock
    randomness: Randomness
    ids: Ids

    def record(self, tx: DeliveryTx, sent: Sequence[SentDelivery]) -> None:
        """
        Record results in a transaction.

        Skips deliveries that have changed since they were read.
        """
        now = self.clock.now()
        destinations = _LockedDestinations(tx, sent)
        turns = dict(tx.deliveries.lock_turns([each.dispatch.delivery.id for each in sent]))
        changed: list[Delivery] = []
        attempts: list[DeliveryAttempt] = []
        retries: list[tuple[Delivery, Destination]] = []
        for each in sent:
            before = each.dispatch.delivery
            if turns.pop(before.id, None) != before.turn:
                continue
            destination = destinations.get(each.dispatch.destination)
            after = self._after(each, destination, now)
            changed.append(after)
            attempts.append(each.attempt(after))
            if not after.state.is_final:
                retries.append((after, destination))
            if each.may_change_destination:
                destinations.changed[destination.id] = self._apply(
                    tx, destination, after, each.result, now
                )
        tx.deliveries.replace_many(changed)
        tx.deliveries.add_attempt(*attempts)
        if retries:
            enqueue(tx, retries, now)

    @retry_on_contention
    def fail(self, dispatch: Dispatch, error: str) -> DeliveryState | None:
        """
        Record that a delivery can never be sent; return its state.

        Returns None if the delivery has changed since it was read.
        """
        failed = dispatch.delivery.fail(error, self.clock.now())
        with self.store.begin() as tx:
            return failed.state if tx.deliveries.replace(dispatch.delivery, failed) else None

    def _after(self, sent: SentDelivery, destination: Destination, now: datetime) -> Delivery:
        result, variation = sent.result, 0.0
        retry_after = None
        if not result.is_success:
            retry_after = parse_retry_after(result.response_headers.get("retry-after"), now)
            variation = self.randomness.uniform(-1.0, 1.0)
        return sent.dispatch.delivery.record(result, destination, now, variation, retry_after)

    def _apply(
        self,
        tx: DeliveryTx,
        before: Destination,
        delivery: Delivery,
        result: SendResult,
        now: datetime,
    ) -> Destination:
        """Write what a result changes in a locked destination, and notify its members."""
        change = apply_result(before, delivery, result, now)
        destination = change.destination
        if destination != before:
            tx.destinations.replace(destination)
        if change.release_at is not None:
            tx.jobs.add([release_job(destination.id, now, change.release_at)], now)
        for fact in change.facts:
            by_mail = fact is not HealthFact.EXHAUSTED or before.exhausted_at is None
            notify(tx, fact, destination, delivery, self.ids, now, by_mail=by_mail)
        return destination


@define(init=False)
class _LockedDestinations:
    """The current state of the destinations that may change, locked in order of id."""

    changed: dict[DestinationId, Destination] = field(factory=dict)

    def __init__(self, tx: DeliveryTx, sent: Sequence[SentDelivery]) -> None:
        ids = {each.dispatch.destination.id for each in sent if each.may_change_destination}
        self.changed = {each: tx.destinations.get_for_update(each) for each in sorted(ids)}

    def get(self, read: Destination) -> Destination:
        """Return the current state of a destination that was read earlier."""
        return self.changed.get(read.id, read)
