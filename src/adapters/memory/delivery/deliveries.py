"""Deliveries and their attempts in memory."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime

from attrs import define, evolve

from workbell.adapters.memory.delivery.accounts import is_visible
from workbell.adapters.memory.listing import count_rows, in_range
from workbell.adapters.memory.tables import Tables
from workbell.adapters.memory.values import in_utc
from workbell.domain.delivery.delivery import (
    Delivery,
    DeliveryAttempt,
    DeliveryId,
    DeliveryState,
)
from workbell.domain.delivery.destination import DestinationId
from workbell.domain.delivery.event import Event
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.identity.actor import Scope
from workbell.domain.identity.user import SYSTEM_ID
from workbell.domain.jobs.job import JobState
from workbell.ports.delivery.repository import (
    MAX_LISTED_ATTEMPTS,
    DeliveryFilter,
    Dispatch,
    ListedDelivery,
)


@define(eq=False)
class MemoryDeliveryRepository:
    """Deliveries and their attempts."""

    _tables: Tables

    def add_many(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """Insert deliveries and return them with ids, in the same order."""
        table = self._tables.deliveries
        stored = [evolve(in_utc(each), id=DeliveryId(table.next_id())) for each in deliveries]
        for delivery in stored:
            table.put(delivery.id, delivery)
        return stored

    def load(self, delivery_id: DeliveryId) -> Dispatch | None:
        """Return a delivery with its event and destination, or None."""
        if (delivery := self._tables.deliveries.get(delivery_id)) is None:
            return None
        return Dispatch(
            delivery=delivery,
            event=self._tables.events.rows[delivery.event_id],
            destination=self._tables.destinations.rows[delivery.destination_id],
        )

    def get(self, scope: Scope, delivery_id: DeliveryId) -> ListedDelivery:
        """Return a delivery in the scope."""
        delivery = self.get_for_update(delivery_id)
        if not is_visible(self._tables, scope, delivery.account_id):
            raise NotFound(f"There is no delivery {delivery_id}.")
        return self._listed(self._presented(delivery))

    def get_for_update(self, delivery_id: DeliveryId) -> Delivery:
        """Return a delivery."""
        if (delivery := self._tables.deliveries.get(delivery_id)) is None:
            raise NotFound(f"There is no delivery {delivery_id}.")
        return delivery

    def lock_turns(self, delivery_ids: Collection[DeliveryId]) -> Mapping[DeliveryId, int]:
        """Return the turns of the deliveries that exist."""
        found = (self._tables.deliveries.get(each) for each in sorted(delivery_ids))
        return {each.id: each.turn for each in found if each is not None}

    def replace(self, before: Delivery, after: Delivery) -> bool:
        """Update a delivery unless its turn has changed; return whether it was updated."""
        stored = self._tables.deliveries.get(before.id)
        if stored is None or stored.turn != before.turn:
            return False
        self._tables.deliveries.put(after.id, in_utc(after))
        return True

    def replace_many(self, changed: Sequence[Delivery]) -> None:
        """Update deliveries."""
        for delivery in changed:
            self._tables.deliveries.put(delivery.id, in_utc(delivery))

    def list_page(
        self, filters: DeliveryFilter, *, offset: int = 0, limit: int = 20
    ) -> tuple[Sequence[ListedDelivery], int]:
        """Return a page of deliveries, newest first, and their number up to `COUNT_CAP` + 1."""
        found = sorted(self._matching(filters), key=_position, reverse=True)
        if filters.before_id is None:
            return [*map(self._listed, found[offset : offset + limit])], count_rows(found)
        last = self._tables.deliveries.get(filters.before_id)
        found = [each for each in found if last and _position(each) < _position(last)]
        return [*map(self._listed, found[offset : offset + limit])], 0

    def of_event(self, event: Event) -> Sequence[Delivery]:
        """Return the deliveries of an event by id."""
        return [each for each in self._tables.deliveries if each.event_id == event.id]

    def lock_batch(
        self,
        destination_id: DestinationId,
        states: Collection[DeliveryState],
        *,
        completed_from: datetime | None = None,
        completed_to: datetime | None = None,
        after: DeliveryId | None = None,
        limit: int = 500,
    ) -> Sequence[Delivery]:
        """Return deliveries of a destination in some states, by id."""
        found = self._in_states(destination_id, states, completed_from, completed_to)
        return [each for each in found if each.id > (after or 0)][:limit]

    def count(
        self,
        destination_id: DestinationId,
        states: Collection[DeliveryState],
        *,
        completed_from: datetime | None = None,
        completed_to: datetime | None = None,
    ) -> int:
        """Return how many deliveries `lock_batch` would return in all, up to `COUNT_CAP` + 1."""
        return count_rows(self._in_states(destination_id, states, completed_from, completed_to))

    def add_attempt(self, *attempts: DeliveryAttempt) -> None:
        """Insert one or more attempts."""
        for attempt in attempts:
            self._add_attempt(attempt)

    def _add_attempt(self, attempt: DeliveryAttempt) -> None:
        attempts = self._tables.delivery_attempts.get(attempt.delivery_id) or ()
        if any(each.number == attempt.number for each in attempts):
            raise Conflict(f"The delivery has an attempt {attempt.number} already.")
        stored = evolve(in_utc(attempt), request_headers=dict(attempt.request_headers))
        self._tables.delivery_attempts.put(attempt.delivery_id, (*attempts, stored))

    def attempts(self, delivery_id: DeliveryId) -> Sequence[DeliveryAttempt]:
        """Return the newest 100 attempts of a delivery, oldest first."""
        attempts = self._tables.delivery_attempts.get(delivery_id) or ()
        return sorted(attempts, key=lambda each: each.number)[-MAX_LISTED_ATTEMPTS:]

    def prune(self, before: datetime, *, limit: int) -> int:
        """Delete ended deliveries created before a time, with attempts; return how many."""
        ended = (each for each in self._tables.deliveries if each.state.is_final)
        old = sorted((each.created_at, each.id) for each in ended if each.created_at < before)
        for _, delivery_id in old[:limit]:
            self._tables.deliveries.delete(delivery_id)
            self._tables.delivery_attempts.delete(delivery_id)
        return len(old[:limit])

    def _presented(self, delivery: Delivery) -> Delivery:
        """Return the delivery as SENDING if the job of its turn runs."""
        if delivery.state not in {DeliveryState.PENDING, DeliveryState.RETRYING}:
            return delivery
        for job_id in self._tables.job_index.of("idempotency", SYSTEM_ID, delivery.job_key):
            if self._tables.jobs.rows[job_id].state is JobState.RUNNING:
                return evolve(delivery, state=DeliveryState.SENDING)
        return delivery

    def _listed(self, delivery: Delivery) -> ListedDelivery:
        return ListedDelivery(
            delivery=delivery,
            destination_url=self._tables.destinations.rows[delivery.destination_id].url,
            data=self._tables.events.rows[delivery.event_id].data,
        )

    def _matching(self, filters: DeliveryFilter) -> Iterator[Delivery]:
        for delivery in map(self._presented, self._tables.deliveries):
            if (
                filters.account_id in {None, delivery.account_id}
                and filters.destination_id in {None, delivery.destination_id}
                and (filters.states is None or delivery.state in filters.states)
                and filters.event_key in {None, delivery.event_key}
                and in_range(delivery.created_at, filters.received_from, filters.received_to)
            ):
                yield delivery

    def _in_states(
        self,
        destination_id: DestinationId,
        states: Collection[DeliveryState],
        completed_from: datetime | None,
        completed_to: datetime | None,
    ) -> Iterator[Delivery]:
        for delivery in self._tables.deliveries:
            if (
                delivery.destination_id == destination_id
                and delivery.state in states
                and in_range(delivery.completed_at, completed_from, completed_to)
            ):
                yield delivery


def _position(delivery: Delivery) -> tuple[datetime, DeliveryId]:
    return delivery.created_at, delivery.id
