"""Deliveries and their attempts in SQL."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from attrs import evolve, frozen
from sqlalchemy import ColumnElement, Dialect, bindparam, delete, insert, select, update

from workbell.adapters.sql.database.column_types import to_db_values
from workbell.adapters.sql.database.filters import (
    count_limit,
    count_ordered,
    equals_number,
    force_index,
    in_range,
)
from workbell.adapters.sql.database.rows import RowReader
from workbell.adapters.sql.database.statements import (
    PreparedListStatement,
    chunks,
    prepare,
    row_to_dict,
)
from workbell.adapters.sql.delivery.listing import LISTED, DeliveryLists
from workbell.adapters.sql.delivery.rows import (
    CHANGED_COLUMNS,
    attempt_from_row,
    attempt_values,
    changed_values,
    delivery_from_row,
    destination_from_row,
    event_from_row,
)
from workbell.adapters.sql.delivery.scopes import MEMBER, is_visible, member_of
from workbell.adapters.sql.schema.delivery import (
    deliveries,
    delivery_attempts,
    destinations,
    events,
)
from workbell.domain.delivery.delivery import (
    Delivery,
    DeliveryAttempt,
    DeliveryId,
    DeliveryState,
)
from workbell.domain.delivery.destination import Destination, DestinationId
from workbell.domain.delivery.event import Event
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import Scope
from workbell.ports.delivery.repository import MAX_LISTED_ATTEMPTS, Dispatch, ListedDelivery

deliveries_c, attempts_c = deliveries.c, delivery_attempts.c
_by_id = deliveries_c.id == bindparam("delivery_id")
_DISPATCH = prepare(
    select(*deliveries_c, *events.c, *destinations.c)
    .join(events, events.c.id == deliveries_c.event_id)
    .join(destinations, destinations.c.id == deliveries_c.destination_id)
    .where(_by_id),
    "delivery_id",
)
_VISIBLE = LISTED.where(_by_id, is_visible(deliveries_c.account_id))
_LOCKED = prepare(select(deliveries).where(_by_id).with_for_update(), "delivery_id")
_new_names = tuple(f"new_{name}" for name in CHANGED_COLUMNS)
_change = (
    update(deliveries)
    .where(_by_id)
    .values({deliveries_c[name]: bindparam(f"new_{name}") for name in CHANGED_COLUMNS})
)
_REPLACE = prepare(
    _change.where(deliveries_c.turn == bindparam("was_turn")),
    *_new_names,
    *("delivery_id", "was_turn"),
)
_REPLACE_LOCKED = prepare(_change, *_new_names, "delivery_id")
_OF_EVENT = (
    select(deliveries)
    .where(deliveries_c.event_id == bindparam("for_event"))
    .order_by(deliveries_c.id)
)
_ids = deliveries_c.id.in_(bindparam("ids", expanding=True))
_BY_ID = force_index(
    select(deliveries_c.id).order_by(deliveries_c.id), deliveries, "workbell_deliveries_batch_idx"
)
_LOCK = select(deliveries).where(_ids).order_by(deliveries_c.id).with_for_update()
_attempt_names = (
    *("delivery_id", "destination_id", "number", "is_success", "started_at", "duration_ms"),
    *("status_code", "error", "detail", "address", "timings", "request_headers"),
    *("response_headers", "snippet"),
)
_is_test = select(deliveries_c.is_test).where(deliveries_c.id == bindparam("delivery_id"))
_ADD_ATTEMPT = prepare(
    insert(delivery_attempts).values(
        is_test=_is_test.scalar_subquery(), **{name: bindparam(name) for name in _attempt_names}
    ),
    *_attempt_names,
)
_ATTEMPTS = (
    select(delivery_attempts)
    .where(attempts_c.delivery_id == bindparam("delivery_id"))
    .order_by(attempts_c.number.desc())
    .limit(MAX_LISTED_ATTEMPTS)
)
_ENDED = [int(state) for state in DeliveryState if state.is_final]
_OLD = (
    select(deliveries_c.id)
    .where(
        deliveries_c.state == bindparam("in_state"), deliveries_c.created_at < bindparam("before")
    )
    .order_by(deliveries_c.created_at, deliveries_c.id)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_turns = select(deliveries_c.id, deliveries_c.turn).order_by(deliveries_c.id)
_TURNS = PreparedListStatement(lambda ids: _turns.where(deliveries_c.id.in_(ids)).with_for_update())
_DELETE = delete(deliveries).where(_ids)
_READER, _EVENT_READER, _DESTINATION_READER = (
    RowReader.of(table) for table in (deliveries, events, destinations)
)
_EVENT_AT = len(_READER.names)
_DESTINATION_AT = _EVENT_AT + len(_EVENT_READER.names)


@frozen
class SqlDeliveryRepository(DeliveryLists):
    """Deliveries and their attempts."""

    def add_many(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """Insert deliveries and return them with ids, in the same order."""
        if not deliveries:
            return []
        ids = self._strategy.insert_deliveries(self._db, deliveries)
        return [evolve(row, id=DeliveryId(n)) for row, n in zip(deliveries, ids, strict=True)]

    def load(self, delivery_id: DeliveryId) -> Dispatch | None:
        """Return a delivery with its event and destination, or None."""
        for row in _DISPATCH.fetch_all(self._db, (delivery_id,)):
            event, destination = row[_EVENT_AT:_DESTINATION_AT], row[_DESTINATION_AT:]
            return Dispatch(
                delivery=delivery_from_row(_READER.read(self._db, row[:_EVENT_AT])),
                event=event_from_row(_EVENT_READER.read(self._db, event)),
                destination=_read_destination(self._db.dialect, destination),
            )
        return None

    def get(self, scope: Scope, delivery_id: DeliveryId) -> ListedDelivery:
        """Return a delivery in the scope."""
        values = {"delivery_id": delivery_id, MEMBER: member_of(scope)}
        found = self.listed(self._db.execute(_VISIBLE, values).all())
        if not found:
            raise NotFound(f"There is no delivery {delivery_id}.")
        return found[delivery_id]

    def get_for_update(self, delivery_id: DeliveryId) -> Delivery:
        """Lock and return a delivery."""
        rows = _LOCKED.fetch_all(self._db, (delivery_id,))
        if not rows:
            raise NotFound(f"There is no delivery {delivery_id}.")
        return delivery_from_row(_READER.read(self._db, rows[0]))

    def lock_turns(self, delivery_ids: Collection[DeliveryId]) -> Mapping[DeliveryId, int]:
        """Lock deliveries in order of id, and return the turns of those that exist."""
        return dict(_TURNS.fetch_all(self._db, sorted(delivery_ids)))

    def replace(self, before: Delivery, after: Delivery) -> bool:
        """Update a delivery unless its turn has changed; return whether it was updated."""
        values = (*self._changes(after), before.id, before.turn)
        return _REPLACE.execute(self._db, values).rowcount == 1

    def replace_many(self, changed: Sequence[Delivery]) -> None:
        """Update deliveries, whose rows are locked."""
        _REPLACE_LOCKED.execute_many(self._db, [(*self._changes(one), one.id) for one in changed])

    def of_event(self, event: Event) -> Sequence[Delivery]:
        """Return the deliveries of an event by id."""
        rows = self._db.execute(_OF_EVENT, {"for_event": event.id})
        return [delivery_from_row(row_to_dict(row)) for row in rows]

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
        """Lock and return deliveries of a destination in some states, by id."""
        branches = _branches(destination_id, states, completed_from, completed_to)
        found: list[Delivery] = []
        last, wanted = after or 0, limit
        while wanted:
            ids: list[int] = []
            for conditions in branches:
                query = _BY_ID.where(*conditions, deliveries_c.id > last).limit(wanted)
                ids += self._db.execute(query).scalars()
            ids = sorted(ids)[:wanted]
            found += self._lock(ids, states)
            if len(ids) < wanted:
                break
            last, wanted = ids[-1], limit - len(found)
        return found

    def count(
        self,
        destination_id: DestinationId,
        states: Collection[DeliveryState],
        *,
        completed_from: datetime | None = None,
        completed_to: datetime | None = None,
    ) -> int:
        """Return how many deliveries `lock_batch` would return in all, up to `COUNT_CAP` + 1."""
        branches = _branches(destination_id, states, completed_from, completed_to)
        counts = [
            self._db.execute(count_ordered(_BY_ID.where(*conditions))).scalar_one()
            for conditions in branches
        ]
        return min(sum(counts), count_limit())

    def add_attempt(self, *attempts: DeliveryAttempt) -> None:
        """Insert one or more attempts."""
        rows = [
            to_db_values([values[name] for name in _attempt_names], self._db.dialect)
            for values in map(attempt_values, attempts)
        ]
        _ADD_ATTEMPT.execute_many(self._db, rows)

    def attempts(self, delivery_id: DeliveryId) -> Sequence[DeliveryAttempt]:
        """Return the newest 100 attempts of a delivery, oldest first."""
        rows = self._db.execute(_ATTEMPTS, {"delivery_id": delivery_id}).all()
        return [attempt_from_row(row_to_dict(row)) for row in reversed(rows)]

    def prune(self, before: datetime, *, limit: int) -> int:
        """Delete ended deliveries created before a time, with attempts; return how many."""
        ids: list[int] = []
        for state in _ENDED:
            values = {"in_state": state, "before": before, "limit": limit - len(ids)}
            ids += self._db.execute(_OLD, values).scalars()
        for part in chunks(ids):
            self._db.execute(_DELETE, {"ids": part})
        return len(ids)

    def _lock(self, ids: Sequence[int], states: Collection[DeliveryState]) -> list[Delivery]:
        """Lock rows in order of id; return those that are still in one of the states."""
        found: list[Delivery] = []
        for part in chunks(ids):
            rows = self._db.execute(_LOCK, {"ids": part})
            found += [delivery_from_row(row_to_dict(row)) for row in rows]
        return [each for each in found if each.state in states]

    def _changes(self, delivery: Delivery) -> Sequence[Any]:
        return to_db_values(changed_values(delivery), self._db.dialect)


@lru_cache(maxsize=512)
def _read_destination(dialect: Dialect, row: Sequence[Any]) -> Destination:
    """Convert a row, which is the same for each delivery until the destination changes."""
    return destination_from_row(_DESTINATION_READER.convert(dialect, row))


def _branches(
    destination_id: DestinationId,
    states: Collection[DeliveryState],
    completed_from: datetime | None,
    completed_to: datetime | None,
) -> Sequence[Sequence[ColumnElement[bool]]]:
    """Return the conditions of each state, because an index has the ids of one state in order."""
    completed = list(in_range(deliveries_c.completed_at, completed_from, completed_to))
    is_of_destination = equals_number(deliveries_c.destination_id, destination_id)
    return [
        [is_of_destination, equals_number(deliveries_c.state, state), *completed]
        for state in set(states)
    ]
