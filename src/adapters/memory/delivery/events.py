"""Events in memory."""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice

from attrs import define, evolve

from workbell.adapters.memory.listing import count_rows
from workbell.adapters.memory.tables import Tables
from workbell.adapters.memory.values import in_utc
from workbell.domain.delivery.account import AccountId
from workbell.domain.delivery.event import Event, EventRowId


@define(eq=False)
class MemoryEventRepository:
    """Events; append-only, except that their data is purged."""

    _tables: Tables

    def add(self, event: Event) -> Event | None:
        """Insert an event and return it with its id; None if its key exists."""
        if self.find_by_key(event.account_id, event.key) is not None:
            return None
        stored = evolve(in_utc(event), id=EventRowId(self._tables.events.next_id()))
        self._tables.events.put(stored.id, stored)
        self._tables.event_keys.put((stored.account_id, stored.key), stored.id)
        return stored

    def find_by_key(self, account_id: AccountId, key: str) -> Event | None:
        """Return the event of an account with a key, or None."""
        found = self._tables.event_keys.get((account_id, key))
        return None if found is None else self._tables.events.get(found)

    def list_page(
        self,
        account_id: AccountId,
        *,
        event_type: str | None = None,
        key: str | None = None,
        before_id: EventRowId | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[Event], int]:
        """Return a page of events, newest first, and their number up to `COUNT_CAP` + 1."""
        found = [
            event
            for event in self._tables.events
            if event.account_id == account_id
            and event_type in {None, event.type}
            and key in {None, event.key}
            and (before_id is None or event.id < before_id)
        ][::-1]
        page = found[offset : offset + limit]
        return page, count_rows(found) if before_id is None else 0

    def purge(self, before: datetime, *, limit: int) -> int:
        """Delete the data, not the rows, of events received before a time; return how many."""
        old = (each for each in self._tables.events if each.created_at < before)
        purged = list(islice((each for each in old if each.data is not None), limit))
        for event in purged:
            self._tables.events.put(event.id, evolve(event, data=None))
        return len(purged)
