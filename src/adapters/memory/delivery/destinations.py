"""Destinations in memory."""

from collections.abc import Sequence
from datetime import datetime

from attrs import define, evolve

from workbell.adapters.memory.delivery.accounts import is_visible
from workbell.adapters.memory.listing import count_rows
from workbell.adapters.memory.tables import Tables
from workbell.adapters.memory.values import in_utc
from workbell.domain import constraints
from workbell.domain.delivery.account import AccountId
from workbell.domain.delivery.delivery import UNFINISHED
from workbell.domain.delivery.destination import Destination, DestinationId
from workbell.domain.delivery.percentile import find_percentile
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import Scope
from workbell.ports.delivery.repository import STATISTICS_SAMPLE, DestinationStatistics


@define(eq=False)
class MemoryDestinationRepository:
    """Destinations of accounts; only `get_for_update` returns deleted ones."""

    _tables: Tables

    def add(self, destination: Destination) -> Destination:
        """Insert a destination and return it with its id."""
        new = DestinationId(self._tables.destinations.next_id())
        stored = evolve(_as_stored(destination), id=new)
        self._tables.destinations.put(new, stored)
        return stored

    def get(self, scope: Scope, destination_id: DestinationId) -> Destination:
        """Return a destination in the scope."""
        found = self.get_for_update(destination_id)
        is_deleted = found.deleted_at is not None
        if is_deleted or not is_visible(self._tables, scope, found.account_id):
            raise NotFound(f"There is no destination {destination_id}.")
        return found

    def get_for_update(self, destination_id: DestinationId) -> Destination:
        """Return a destination, also a deleted one."""
        if (found := self._tables.destinations.get(destination_id)) is None:
            raise NotFound(f"There is no destination {destination_id}.")
        return found

    def replace(self, destination: Destination) -> None:
        """Update a destination."""
        self.get_for_update(destination.id)
        self._tables.destinations.put(destination.id, _as_stored(destination))

    def all_of(self, account_id: AccountId) -> Sequence[Destination]:
        """Return all destinations of an account by id."""
        of_account = (d for d in self._tables.destinations if d.account_id == account_id)
        return [each for each in of_account if each.deleted_at is None]

    def count(self, account_id: AccountId, *, limit: int) -> int:
        """Return the number of destinations of an account, counting up to `limit`."""
        return min(len(self.all_of(account_id)), limit)

    def list_page(
        self, account_id: AccountId, *, offset: int = 0, limit: int = 20
    ) -> tuple[Sequence[Destination], int]:
        """Return a page of destinations by id, and their number up to `COUNT_CAP` + 1."""
        found = self.all_of(account_id)
        return found[offset : offset + limit], count_rows(found)

    def statistics(self, destination_id: DestinationId, since: datetime) -> DestinationStatistics:
        """Return the figures of a destination since a time; tests are left out."""
        deliveries = {
            each.id: each
            for each in self._tables.deliveries
            if each.destination_id == destination_id and not each.is_test
        }
        attempts = [
            attempt
            for delivery_id in deliveries
            for attempt in self._tables.delivery_attempts.get(delivery_id) or ()
            if attempt.started_at >= since
        ]
        successes = sorted(
            (each for each in attempts if each.result.is_success),
            key=lambda each: each.started_at,
            reverse=True,
        )
        durations = [each.duration_ms for each in successes[:STATISTICS_SAMPLE]]
        pending = [d.created_at for d in deliveries.values() if d.state in UNFINISHED]
        cap = constraints.COUNT_CAP
        return DestinationStatistics(
            succeeded=min(len(successes), cap),
            failed=min(len(attempts) - len(successes), cap),
            p50_ms=find_percentile(durations, 50),
            p95_ms=find_percentile(durations, 95),
            pending=min(len(pending), cap),
            oldest_pending_at=min(pending, default=None),
        )


def _as_stored(destination: Destination) -> Destination:
    return evolve(
        in_utc(destination),
        breaker=in_utc(destination.breaker),
        headers=dict(destination.headers),
        event_types=tuple(destination.event_types),
        retry_delays=tuple(destination.retry_delays),
    )
