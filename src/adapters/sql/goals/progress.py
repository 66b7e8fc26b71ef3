"""Progress entries in SQL, and their seconds per local day."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from attrs import asdict, evolve, frozen
from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from workbell.adapters.sql.database.filters import (
    contains_text,
    count_rows,
    equals,
    in_range,
    order_by,
)
from workbell.adapters.sql.database.statements import AnyRow, inserted_id, row_to_dict
from workbell.adapters.sql.schema.goals import goals, progress_days, progress_entries
from workbell.domain.cron.time_zones import EPOCH
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.goals.goal import Category, GoalId
from workbell.domain.goals.progress_entry import EntryId, ProgressEntry
from workbell.domain.identity.user import UserId
from workbell.ports.goals.repository import EntryFilter, ExportRow, GoalDay

entries_c, days_c = progress_entries.c, progress_days.c
_ONE = select(progress_entries).where(
    entries_c.owner == bindparam("owner_id"),
    entries_c.goal_id == bindparam("goal"),
    entries_c.number == bindparam("entry_number"),
)
_LATEST = (
    select(progress_entries)
    .where(
        entries_c.owner == bindparam("owner_id"),
        entries_c.started_at < bindparam("instant"),
        entries_c.id != bindparam("except_id"),
    )
    .order_by(entries_c.started_at.desc())
    .limit(1)
)
# `created_at >= after` is the range of the index: the servers derive none from OR.
# Goals are read apart: a generic plan on PostgreSQL would join and sort all entries.
_EXPORT = (
    select(progress_entries)
    .where(
        entries_c.owner == bindparam("owner_id"),
        entries_c.created_at >= bindparam("after"),
        or_(entries_c.created_at > bindparam("after"), entries_c.id > bindparam("after_id")),
    )
    .order_by(entries_c.created_at, entries_c.id)
    .limit(bindparam("limit"))
)
_GOALS = select(goals.c.id, goals.c.name, goals.c.category).where(
    goals.c.id.in_(bindparam("ids", expanding=True))
)
_INSERT = insert(progress_entries)
_REPLACE = update(progress_entries).where(
    entries_c.id == bindparam("row_id"), entries_c.owner == bindparam("owner_id")
)
_INSERT_DAYS = insert(progress_days)
_DELETE_DAYS = delete(progress_days).where(days_c.entry_id == bindparam("for_entry"))
_ORDERINGS: Mapping[str, ColumnElement[Any]] = {
    **{name: entries_c[name] for name in ("id", "number", "created_at")},
    "logged": entries_c.logged_seconds,
    "total": entries_c.total_seconds,
}


@frozen
class SqlProgressEntryRepository:
    """Progress entries and their seconds per local day."""

    _db: Connection

    def add(self, entry: ProgressEntry) -> ProgressEntry:
        """Insert an entry and its days; return it with its id."""
        try:
            result = self._db.execute(_INSERT, _values(entry))
        except IntegrityError as error:
            raise Conflict(f"The goal has an entry {entry.number} already.") from error
        inserted = evolve(entry, id=EntryId(inserted_id(result)))
        self._insert_days(inserted)
        return inserted

    def get(self, owner: UserId, goal_id: GoalId, number: int) -> ProgressEntry:
        """Return an entry."""
        values = {"owner_id": owner, "goal": goal_id, "entry_number": number}
        row = self._db.execute(_ONE, values).one_or_none()
        if row is None:
            raise NotFound(f"There is no entry {number}.")
        return _entry(row)

    def replace(self, entry: ProgressEntry) -> None:
        """Update an entry and its days."""
        values = _values(entry) | {"row_id": entry.id, "owner_id": entry.owner}
        if self._db.execute(_REPLACE, values).rowcount == 0:
            raise NotFound(f"There is no entry {entry.number}.")
        self._db.execute(_DELETE_DAYS, {"for_entry": entry.id})
        self._insert_days(entry)

    def delete(self, entry: ProgressEntry) -> None:
        """Delete an entry; its days are deleted by cascade."""
        conditions = (entries_c.id == entry.id, entries_c.owner == entry.owner)
        self._db.execute(delete(progress_entries).where(*conditions))

    def find(
        self,
        owner: UserId,
        filters: EntryFilter,
        *,
        ordering: Sequence[str] = ("-created_at",),
        offset: int = 0,
        limit: int = 20,
    ) -> Sequence[ProgressEntry]:
        """Return a page of an owner's entries."""
        query = (
            select(progress_entries)
            .where(*_conditions(owner, filters))
            .order_by(*order_by(ordering, _ORDERINGS))
        )
        return [_entry(row) for row in self._db.execute(query.offset(offset).limit(limit))]

    def count(self, owner: UserId, filters: EntryFilter) -> int:
        """Return the number of matching entries, at most `COUNT_CAP` + 1."""
        query = count_rows(progress_entries, *_conditions(owner, filters))
        return self._db.execute(query).scalar_one()

    def latest_before(
        self, owner: UserId, instant: datetime, *, except_id: EntryId | None = None
    ) -> ProgressEntry | None:
        """Return the last timed entry that started before a time, ignoring `except_id`."""
        values = {"owner_id": owner, "instant": instant, "except_id": except_id or 0}
        row = self._db.execute(_LATEST, values).one_or_none()
        return None if row is None else _entry(row)

    def export(
        self, owner: UserId, *, after: ProgressEntry | None = None, limit: int = 500
    ) -> Sequence[ExportRow]:
        """Return entries created after another, by creation time and id."""
        values = {
            "owner_id": owner,
            "after_id": 0 if after is None else after.id,
            "after": EPOCH if after is None else after.created_at,
            "limit": limit,
        }
        rows = self._db.execute(_EXPORT, values).all()
        ids = sorted({row.goal_id for row in rows})
        found = {row.id: row for row in self._db.execute(_GOALS, {"ids": ids})} if ids else {}
        return [_export_row(row, found[row.goal_id]) for row in rows]

    def days(
        self,
        owner: UserId,
        goal_id: GoalId | None = None,
        first: date | None = None,
        last: date | None = None,
    ) -> Sequence[tuple[date, int]]:
        """Return the seconds of each local day with progress, in order."""
        query = (
            select(days_c.local_day, func.sum(days_c.seconds))
            .where(*_within(owner, first, last), *equals(days_c.goal_id, goal_id))
            .group_by(days_c.local_day)
            .order_by(days_c.local_day)
        )
        return [(day, int(seconds)) for day, seconds in self._db.execute(query)]

    def days_by_goal(
        self, owner: UserId, first: date | None = None, last: date | None = None
    ) -> Sequence[GoalDay]:
        """Return the seconds of each local day and goal, by day and goal number."""
        sums = (
            select(days_c.local_day, days_c.goal_id, func.sum(days_c.seconds).label("seconds"))
            .where(*_within(owner, first, last))
            .group_by(days_c.local_day, days_c.goal_id)
            .subquery()
        )
        query = (
            select(sums.c.local_day, goals.c.number, goals.c.category, sums.c.seconds)
            .join(goals, goals.c.id == sums.c.goal_id)
            .order_by(sums.c.local_day, goals.c.number)
        )
        return [
            GoalDay(day=day, goal_number=number, category=Category(name), seconds=int(seconds))
            for day, number, name, seconds in self._db.execute(query)
        ]

    def _insert_days(self, entry: ProgressEntry) -> None:
        """Insert the seconds of an entry per local day."""
        ids = {"entry_id": entry.id, "owner": entry.owner, "goal_id": entry.goal_id}
        days = entry.seconds_by_day()
        if rows := [ids | {"local_day": day, "seconds": seconds} for day, seconds in days]:
            self._db.execute(_INSERT_DAYS, rows)


def _values(entry: ProgressEntry) -> dict[str, Any]:
    values = asdict(entry)
    del values["id"]
    return values


def _entry(row: AnyRow) -> ProgressEntry:
    return ProgressEntry(**row_to_dict(row))


def _export_row(row: AnyRow, goal: AnyRow) -> ExportRow:
    return ExportRow(entry=_entry(row), goal_name=goal.name, category=Category(goal.category))


def _within(owner: UserId, first: date | None, last: date | None) -> Iterator[ColumnElement[bool]]:
    yield days_c.owner == owner
    if first is not None:
        yield days_c.local_day >= first
    if last is not None:
        yield days_c.local_day <= last


def _conditions(owner: UserId, filters: EntryFilter) -> Iterator[ColumnElement[bool]]:
    yield entries_c.owner == owner
    yield from equals(entries_c.goal_id, filters.goal_id)
    if filters.is_complete is not None:
        complete = entries_c.logged_seconds == entries_c.total_seconds
        yield complete if filters.is_complete else ~complete
    yield from in_range(entries_c.created_at, filters.created_from, filters.created_to)
    if filters.search is not None:
        yield contains_text(entries_c.note, filters.search)
