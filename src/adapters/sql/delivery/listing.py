"""Lists of deliveries; a page is read by one range of an index per state."""

from collections.abc import Collection, Iterator, Mapping, Sequence
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
        counts = [count_ordered(_newest(conditions)) for conditions in branches]
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

    def _branches(self, filters: DeliveryFilter) -> Iterator[Conditions]:
        """Yield the conditions of disjoint sets of deliveries, each a range of one index."""
        conditions, states = list(_conditions(filters)), filters.states
        if {filters.account_id, filters.destination_id, filters.event_key} == {None}:
            states = tuple(DeliveryState) if states is None else states
        if filters.before_id is not None:
            last = self._db.execute(_POSITION, {"id": filters.before_id}).scalar()
            if last is None:
                return
            conditions.append(_comes_after(last, filters.before_id))
        if states is None:
            yield conditions
            return
        for more in self._state_conditions(states, _column("state", filters)):
            yield [*conditions, *more]

    def _state_conditions(
        self, states: Collection[DeliveryState], column: ColumnElement[Any]
    ) -> Iterator[Conditions]:
        wants_sending = DeliveryState.SENDING in states
        is_split = any((state in states) != wants_sending for state in _STARTABLE)
        sending = self._all_sending() if is_split else ()
        for state in _STORED:
            in_state = equals_number(column, state)
            if state not in _STARTABLE or (state in states) == wants_sending:
                if state in states:
                    yield [in_state]
            elif state in states:
                yield [in_state, deliveries_c.id.not_in(sending)] if sending else [in_state]
            elif sending:
                yield [in_state, deliveries_c.id.in_(sending)]


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


def _column(name: str, filters: DeliveryFilter) -> ColumnElement[Any]:
    """Return a column, without its indexes if the deliveries are those of one event."""
    return deliveries_c[name] if filters.event_key is None else deliveries_c[name] + 0


def _comes_after(created_at: datetime, last_id: DeliveryId) -> ColumnElement[bool]:
    """Return the condition that a delivery comes after another in the list."""
    is_older = or_(deliveries_c.created_at < created_at, deliveries_c.id < last_id)
    return and_(deliveries_c.created_at <= created_at, is_older)  # a range of the index


def _page(branches: Sequence[Conditions], offset: int, limit: int) -> Select[*tuple[Any, ...]]:
    """Return the query for the ids of a page of the newest deliveries."""
    if len(branches) == 1:
        return _newest(branches[0]).offset(offset).limit(limit)
    newest = [_newest(conditions).limit(offset + limit).subquery() for conditions in branches]
    every = union_all(*[select(each.c.id, each.c.created_at) for each in newest]).subquery()
    ordered = select(every.c.id).order_by(every.c.created_at.desc(), every.c.id.desc())
    return ordered.offset(offset).limit(limit)


def _newest(conditions: Conditions) -> Select[*tuple[Any, ...]]:
    """Return the query for the ids and times of deliveries, newest first."""
    return (
        select(deliveries_c.id, deliveries_c.created_at)
        .where(*conditions)
        .order_by(deliveries_c.created_at.desc(), deliveries_c.id.desc())
    )
