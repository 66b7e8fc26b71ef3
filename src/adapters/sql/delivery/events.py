"""Events in SQL."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from attrs import evolve, frozen
from sqlalchemy import ColumnElement, Connection, bindparam, select, true, update

from workbell.adapters.sql.database.filters import count_ordered, equals, equals_number, force_index
from workbell.adapters.sql.database.rows import RowReader
from workbell.adapters.sql.database.statements import prepare, row_to_dict
from workbell.adapters.sql.database.strategy import Strategy
from workbell.adapters.sql.delivery.rows import event_from_row
from workbell.adapters.sql.schema.delivery import events
from workbell.domain.delivery.account import AccountId
from workbell.domain.delivery.event import Event, EventRowId

events_c = events.c
_BY_KEY = prepare(
    select(events).where(
        events_c.account_id == bindparam("account_id"), events_c.event_key == bindparam("event_key")
    ),
    *("account_id", "event_key"),
)
_HAS_DATA = events_c.has_data == true()
_OLD = (
    select(events_c.id)
    .where(_HAS_DATA, events_c.created_at < bindparam("before"))
    .order_by(events_c.created_at)
    .limit(bindparam("limit"))
)
_ids = events_c.id.in_(bindparam("ids", expanding=True))
_AMONG = select(events).where(_ids).order_by(events_c.id.desc())
_PURGE = update(events).where(_ids, _HAS_DATA).values(data=None, has_data=False)
_READER = RowReader.of(events)


@frozen
class SqlEventRepository:
    """Events; append-only, except that their data is purged."""

    _db: Connection
    _strategy: Strategy

    def add(self, event: Event) -> Event | None:
        """Insert an event and return it with its id; None if its key exists."""
        new = self._strategy.insert_event(self._db, event)
        return None if new is None else evolve(event, id=EventRowId(new))

    def find_by_key(self, account_id: AccountId, key: str) -> Event | None:
        """Return the event of an account with a key, or None."""
        rows = _BY_KEY.fetch_all(self._db, (account_id, key))
        return event_from_row(_READER.read(self._db, rows[0])) if rows else None

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
        newest = select(events_c.id).where(*_conditions(account_id, event_type, key))
        newest = newest.order_by(events_c.id.desc())
        if key is None:
            name = "account" if event_type is None else "type"
            newest = force_index(newest, events, f"workbell_events_{name}_idx")
        page = newest if before_id is None else newest.where(events_c.id < before_id)
        ids = self._db.execute(page.offset(offset).limit(limit)).scalars().all()
        rows = self._db.execute(_AMONG, {"ids": ids}).all() if ids else ()
        found = [event_from_row(row_to_dict(row)) for row in rows]
        if before_id is not None:
            return found, 0
        return found, self._db.execute(count_ordered(newest)).scalar_one()

    def purge(self, before: datetime, *, limit: int) -> int:
        """Delete the data, not the rows, of events received before a time; return how many."""
        ids = self._db.execute(_OLD, {"before": before, "limit": limit}).scalars().all()
        return self._db.execute(_PURGE, {"ids": ids}).rowcount if ids else 0


def _conditions(
    account_id: AccountId, event_type: str | None, key: str | None
) -> Iterator[ColumnElement[bool]]:
    yield equals_number(events_c.account_id, account_id)
    yield from equals(events_c.event_type, event_type)
    yield from equals(events_c.event_key, key)
