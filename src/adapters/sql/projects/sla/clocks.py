"""SLA clocks and their events in SQL."""

from collections.abc import Collection, Sequence
from datetime import datetime

from attrs import evolve, frozen
from sqlalchemy import Connection, bindparam, insert, null, select, update
from sqlalchemy.exc import IntegrityError

from workbell.adapters.sql.database.column_types import instant_reader, to_db_values
from workbell.adapters.sql.database.filters import force_index
from workbell.adapters.sql.database.rows import RowReader
from workbell.adapters.sql.database.statements import (
    PreparedListStatement,
    chunks,
    column_names,
    inserted_id,
    prepare,
)
from workbell.adapters.sql.projects.sla.rows import (
    clock_from_row,
    clock_values,
    event_from_row,
    event_values,
)
from workbell.adapters.sql.schema.projects import work_items
from workbell.adapters.sql.schema.sla import IS_OPEN, IS_PENDING, clocks, sla_events
from workbell.domain.errors import Conflict
from workbell.domain.projects.project import ProjectId
from workbell.domain.projects.sla.clock import ClockId, SlaClock
from workbell.domain.projects.work_item import WorkItemId
from workbell.ports.projects.sla import StoredEvent

clocks_c = clocks.c
_READER = RowReader.of(clocks)
_EVENT_READER = RowReader.of(sla_events)
_FIXED = {"id", "work_item_id", "kind", "cycle", "started_at"}
_CHANGED = tuple(name for name in column_names(clocks) if name not in _FIXED)
_REPLACE = prepare(
    update(clocks)
    .where(clocks_c.id == bindparam("clock_id"))
    .values({clocks_c[name]: bindparam(f"new_{name}") for name in _CHANGED}),
    *(f"new_{name}" for name in _CHANGED),
    "clock_id",
)
_OF_ITEMS = PreparedListStatement(
    lambda ids: (
        select(clocks)
        .where(clocks_c.work_item_id.in_(ids))
        .order_by(clocks_c.work_item_id, clocks_c.kind, clocks_c.cycle)
    )
)
_pending = select(clocks_c.next_event_at, clocks_c.work_item_id).where(IS_PENDING)
_due = force_index(_pending, clocks, "workbell_sla_clocks_due_idx_plain").order_by(
    clocks_c.next_event_at, clocks_c.work_item_id
)
_NEXT_DUE = prepare(_due.limit(1))
_DUE = prepare(
    _due.where(clocks_c.next_event_at <= bindparam("now")).limit(bindparam("limit")),
    *("now", "limit"),
)
_DUE_ITEMS = (
    _due.with_only_columns(clocks_c.work_item_id)
    .where(clocks_c.next_event_at <= bindparam("now"))
    .limit(bindparam("limit"))
)
_DUE_OF_ITEM = select(clocks_c.id).where(
    IS_PENDING,
    clocks_c.work_item_id == bindparam("item_id"),
    clocks_c.next_event_at <= bindparam("now"),
)
_LOCK_ITEM = (
    select(work_items.c.id).where(work_items.c.id == bindparam("item_id")).with_for_update()
)
_STOP = (
    update(clocks)
    .where(clocks_c.id.in_(bindparam("ids", expanding=True)))
    .values(next_event_at=null())
)
_LOCK_FREE = PreparedListStatement(
    lambda ids: (
        select(work_items.c.id)
        .where(work_items.c.id.in_(ids))
        .order_by(work_items.c.id)
        .with_for_update(skip_locked=True)
    )
)
_LOCK = PreparedListStatement(
    lambda ids: (
        select(work_items.c.id)
        .where(work_items.c.id.in_(ids))
        .order_by(work_items.c.id)
        .with_for_update()
    )
)
_OF_PROJECT = prepare(
    select(clocks_c.work_item_id)
    .distinct()
    .where(
        IS_OPEN,
        clocks_c.project_id == bindparam("project_id"),
        clocks_c.work_item_id > bindparam("after"),
    )
    .order_by(clocks_c.work_item_id)
    .limit(bindparam("limit")),
    *("project_id", "after", "limit"),
)
_EVENTS = prepare(
    select(sla_events)
    .join(clocks, clocks_c.id == sla_events.c.clock_id)
    .where(clocks_c.work_item_id == bindparam("item_id"))
    .order_by(sla_events.c.at, sla_events.c.clock_id, sla_events.c.kind, sla_events.c.step),
    "item_id",
)


@frozen
class SqlSlaClockRepository:
    """Clocks of work items, and what they have reported."""

    _db: Connection

    def add(self, new: Sequence[SlaClock]) -> Sequence[SlaClock]:
        """Insert clocks and return them with their ids, in the same order."""
        return [self._add(clock) for clock in new]

    def replace(self, changed: Sequence[SlaClock]) -> None:
        """Update clocks, whose work items are locked."""
        rows = [
            (*to_db_values([values[name] for name in _CHANGED], self._db.dialect), clock.id)
            for clock in changed
            for values in (clock_values(clock),)
        ]
        _REPLACE.execute_many(self._db, rows)

    def of_items(self, item_ids: Collection[WorkItemId]) -> Sequence[SlaClock]:
        """Return the clocks of work items, by work item, kind and cycle."""
        rows = _OF_ITEMS.fetch_all(self._db, sorted(item_ids)) if item_ids else []
        return [clock_from_row(_READER.read(self._db, row)) for row in rows]

    def next_due(self) -> datetime | None:
        """Return when the next event of any clock is due, or None."""
        rows = _NEXT_DUE.fetch_all(self._db)
        read_time = instant_reader(self._db.dialect)
        return read_time(rows[0][0]) if rows else None

    def list_due_items(self, now: datetime, *, limit: int) -> Sequence[WorkItemId]:
        """Return the work items of clocks that are due."""
        values = {"now": now, "limit": limit}
        return list(dict.fromkeys(self._db.execute(_DUE_ITEMS, values).scalars()))

    def quarantine(self, item_id: WorkItemId, now: datetime) -> Sequence[ClockId]:
        """Set no next event for the clocks of an item that are due."""
        self._db.execute(_LOCK_ITEM, {"item_id": item_id})
        ids = self._db.execute(_DUE_OF_ITEM, {"item_id": item_id, "now": now}).scalars().all()
        self._db.execute(_STOP, {"ids": ids})
        return [ClockId(clock_id) for clock_id in ids]

    def lock_due_items(
        self, now: datetime, *, limit: int, only: WorkItemId | None = None
    ) -> Sequence[WorkItemId]:
        """Lock and return the work items of clocks that are due, the longest overdue first."""
        if only is None:
            (at,) = to_db_values([now], self._db.dialect)
            due = dict.fromkeys(row[1] for row in _DUE.fetch_all(self._db, (at, limit)))
        else:
            due = {only: None}
        if not due:
            return []
        locked = [row[0] for row in _LOCK_FREE.fetch_all(self._db, sorted(due))]
        # another ticker may have reported them between the two statements
        clocks = self.of_items(locked)
        still = {each.work_item_id for each in clocks if is_due(each, now)}
        return [WorkItemId(item_id) for item_id in due if item_id in still]

    def lock_items_of_project(
        self, project_id: ProjectId, *, after: WorkItemId, limit: int
    ) -> Sequence[WorkItemId]:
        """Lock and return items of a project that have open clocks, by id, after an id."""
        ids = [row[0] for row in _OF_PROJECT.fetch_all(self._db, (project_id, after, limit))]
        if ids:
            _LOCK.fetch_all(self._db, ids)
        return ids

    def add_events(self, events: Sequence[StoredEvent]) -> None:
        """Insert events; Conflict if one exists."""
        try:
            for part in chunks([event_values(event) for event in events]):
                self._db.execute(insert(sla_events), part)
        except IntegrityError as error:
            raise Conflict("An event of the clock exists already.") from error

    def events_of(self, item_id: WorkItemId) -> Sequence[StoredEvent]:
        """Return the events of a work item's clocks, by when they were due."""
        rows = _EVENTS.fetch_all(self._db, (item_id,))
        return [event_from_row(_EVENT_READER.read(self._db, row)) for row in rows]

    def _add(self, clock: SlaClock) -> SlaClock:
        try:
            result = self._db.execute(insert(clocks), clock_values(clock))
        except IntegrityError as error:
            raise Conflict("The clock has this cycle already.") from error
        return evolve(clock, id=ClockId(inserted_id(result)))


def is_due(clock: SlaClock, now: datetime) -> bool:
    """Whether a clock has something to report."""
    return clock.next_event_at is not None and clock.next_event_at <= now
