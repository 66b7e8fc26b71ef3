"""Lists of deliveries; a page is read by one range of an index per state."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from attrs import evolve, frozen
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    literal_column,
    or_,
    select,
    union_all,
)

from workbell.adapters.sql.database.filters import (
    count_limit,
    count_ordered,
    equals,
    equals_number,
    force_index,
    in_range,
)
from workbell.adapters.sql.database.statements import AnyRow, row_to_dict
from workbell.adapters.sql.database.strategy import Strategy
from workbell.adapters.sql.delivery.rows import delivery_from_row
from workbell.adapters.sql.schema.delivery import deliveries, destinations, events
from workbell.adapters.sql.schema.indexes import IS_RUNNING
from workbell.adapters.sql.schema.tables import jobs
from workbell.domain.delivery.delivery import SEND_TASK, Delivery, DeliveryId, DeliveryState
from workbell.domain.identity.user import SYSTEM_ID
from workbell.ports.delivery.repository import DeliveryFilter, ListedDelivery

Conditions: TypeAlias = Sequence[ColumnElement[bool]]
deliveries_c, jobs_c = deliveries.c, jobs.c
_SORTED = [deliveries_c.created_at, deliveries_c.id]
_STARTABLE = (DeliveryState.PENDING, DeliveryState.RETRYING)
_STORED = [state for state in DeliveryState if state is not DeliveryState.SENDING]
LISTED = (
    select(*deliveries_c, destinations.c.url.label("destination_url"), events.c.data)
    .join(destinations, destinations.c.id == deliveries_c.destination_id)
    .join(events, events.c.id == deliveries_c.event_id)
)
"""The columns of a delivery, the URL of its destination and the data of its event."""
_AMONG = LISTED.where(deliveries_c.id.in_(bindparam("ids", expanding=True)))
_POSITION = select(deliveries_c.created_at).where(deliveries_c.id == bindparam("id"))
_RUNNING = select(jobs_c.idempotency_key).where(
    IS_RUNNING,
    jobs_c.owner == SYSTEM_ID,
    jobs_c.idempotency_key.in_(bindparam("keys", expanding=True)),
)
_ALL_RUNNING = select(jobs_c.owner, jobs_c.parameters).where(IS_RUNNING, jobs_c.task == SEND_TASK)
_STARTED = select(deliveries).where(
    deliveries_c.id.in_(bindparam("ids", expanding=True)),
    deliveries_c.state.in_([int(state) for state in _STARTABLE]),
)


@frozen
class _Branch:
    """Deliveries that an index has in the order of the list; without one, few by their ids."""

    conditions: Conditions
    index: str | None

    def only(self, ids: Sequence[DeliveryId]) -> "_Branch":
        """Return those of the deliveries that have one of the ids."""
        return _Branch([*self.conditions, deliveries_c.id.in_(ids)], None)

    def without(self, ids: Sequence[DeliveryId]) -> "_Branch":
        """Return the deliveries except those with one of the ids."""
        others = [deliveries_c.id.not_in(ids)] if ids else []
        return _Branch([*self.conditions, *others], self.index)

    def newest(self) -> Select[Any]:
        """Return the query for the ids and times of the deliveries, newest first."""
        query: Select[Any] = select(*_SORTED).where(*self.conditions)
        query = query.order_by(*[column.desc() for column in _SORTED])
        return query if self.index is None else force_index(query, deliveries, self.index)


@frozen
class DeliveryLists:
    """Queries for deliveries with the URLs of destinations and the data of events."""

    _db: Connection
    _strategy: Strategy

    def list_page(
        self, filters: DeliveryFilter, *, offset: int = 0, limit: int = 20
    ) -> tuple[Sequence[ListedDelivery], int]:
        """Return a page of deliveries, newest first, and their number up to `COUNT_CAP` + 1."""
        branches = list(self._branches(filters))
        ids = self._db.execute(_page(branches, offset, limit)).scalars().all() if branches else []
        found = self.listed(self._db.execute(_AMONG, {"ids": ids}).all()) if ids else {}
        page = [found[each] for each in ids if each in found]
        if filters.before_id is not None:
            return page, 0
        if ids and len(ids) < limit:  # the last page
            return page, min(offset + len(ids), count_limit())
        counts = [count_ordered(branch.newest()) for branch in branches]
        total = sum(self._db.execute(query).scalar_one() for query in counts)
        return page, min(total, count_limit())

    def listed(self, rows: Sequence[AnyRow]) -> Mapping[DeliveryId, ListedDelivery]:
        """Convert rows, with SENDING as the state of deliveries whose job runs."""
        found: dict[DeliveryId, ListedDelivery] = {}
        for row in rows:
            values = row_to_dict(row)
            url, data = values.pop("destination_url"), values.pop("data")
            delivery = delivery_from_row(values)
            found[delivery.id] = ListedDelivery(delivery=delivery, destination_url=url, data=data)
        for delivery in self._sending([each.delivery for each in found.values()]):
            sending = evolve(delivery, state=DeliveryState.SENDING)
            found[delivery.id] = evolve(found[delivery.id], delivery=sending)
        return found

    def _sending(self, candidates: Sequence[Delivery]) -> Sequence[Delivery]:
        """Return those deliveries whose current job runs."""
        by_key = {each.job_key: each for each in candidates if each.state in _STARTABLE}
        if not by_key:
            return []
        running = self._db.execute(_RUNNING, {"keys": list(by_key)}).scalars()
        return [by_key[key] for key in running]

    def _all_sending(self) -> Sequence[DeliveryId]:
        """Return the ids of all deliveries whose job runs: at most one per worker thread."""
        # The owner is compared here: SQLite would read all jobs that the system has ever had.
        running = self._db.execute(_ALL_RUNNING)
        ids = [parameters["delivery"] for owner, parameters in running if owner == SYSTEM_ID]
        rows = self._db.execute(_STARTED, {"ids": ids}).all() if ids else []
        candidates = [delivery_from_row(row_to_dict(row)) for row in rows]
        return [each.id for each in self._sending(candidates)]

    def _branches(self, filters: DeliveryFilter) -> Iterator[_Branch]:
        """Yield the disjoint sets that make up the list."""
        conditions, owner, states = list(_conditions(filters)), _owner(filters), filters.states
        if filters.before_id is not None:
            last = self._db.execute(_POSITION, {"id": filters.before_id}).scalar()
            if last is None:
                return
            conditions.append(_comes_after(last, filters.before_id))
        if states is None and owner is not None:
            yield _Branch(conditions, _index(owner))
            return
        states = tuple(DeliveryState) if states is None else states
        with_sending = DeliveryState.SENDING in states
        divided = [state for state in _STARTABLE if (state in states) != with_sending]
        sending = self._all_sending() if divided else ()
        for state in _STORED:
            in_state = equals_number(_column("state", filters), state)
            branch = _Branch([*conditions, in_state], _index(owner, by_state=True))
            if state not in divided and state in states:
                yield branch
            elif state in divided and not with_sending:
                yield branch.without(sending)
            elif state in divided and sending:
                yield branch.only(sending)


def _conditions(filters: DeliveryFilter) -> Iterator[ColumnElement[bool]]:
    """
    Yield the conditions of a filter, except its states.

    One of them refers to the first column of an index. If there were several,
    SQLite, which has no statistics, might choose the index that reads more rows.
    """
    account_id, destination_id = filters.account_id, filters.destination_id
    yield from in_range(deliveries_c.created_at, filters.received_from, filters.received_to)
    if filters.event_key is not None:
        of_account = equals(events.c.account_id, account_id)
        with_key = select(events.c.id).where(events.c.event_key == filters.event_key, *of_account)
        yield deliveries_c.event_id.in_(with_key)
    if destination_id is not None:
        yield equals_number(_column("destination_id", filters), destination_id)
        belongs = (
            destinations.c.id == destination_id,
            *equals(destinations.c.account_id, account_id),
        )
        yield select(literal_column("1")).where(*belongs).exists()
    elif account_id is not None and filters.event_key is None:
        yield equals_number(deliveries_c.account_id, account_id)


def _owner(filters: DeliveryFilter) -> str | None:
    """Return the name of the most selective filter, of those that have indexes."""
    named = {
        "event": filters.event_key,
        "destination": filters.destination_id,
        "account": filters.account_id,
    }
    return next((name for name, value in named.items() if value is not None), None)


def _index(owner: str | None, *, by_state: bool = False) -> str | None:
    """Return the index that has the deliveries in the order of the list; None for few."""
    if owner == "event":
        return None
    names = (owner, "state" if by_state else None)
    parts = [name for name in names if name is not None]
    return "_".join(["workbell_deliveries", *parts, "idx"])


def _column(name: str, filters: DeliveryFilter) -> ColumnElement[Any]:
    """Return a column, without its indexes if the deliveries are those of one event."""
    return deliveries_c[name] if filters.event_key is None else deliveries_c[name] + 0


def _comes_after(created_at: datetime, last_id: DeliveryId) -> ColumnElement[bool]:
    """Return the condition that a delivery comes after another in the list."""
    is_older = or_(deliveries_c.created_at < created_at, deliveries_c.id < last_id)
    return and_(deliveries_c.created_at <= created_at, is_older)  # a range of the index


def _page(branches: Sequence[_Branch], offset: int, limit: int) -> Select[Any]:
    """Return the query for the ids of a page of the newest deliveries."""
    if len(branches) == 1:
        query = branches[0].newest().with_only_columns(deliveries_c.id)
        return query.offset(offset).limit(limit)
    newest = [branch.newest().limit(offset + limit).subquery() for branch in branches]
    every = union_all(*[select(each) for each in newest]).subquery()
    ordered = select(every.c.id).order_by(every.c.created_at.desc(), every.c.id.desc())
    return ordered.offset(offset).limit(limit)
