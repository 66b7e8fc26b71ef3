"""Progress entries in SQL, and their seconds per local day."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from attrs import asdict, evolve, frozen
from sqlalchemy import (
    Connection,
    bindparam,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from workbell.adapters.sql.database.statements import AnyRow, inserted_id, row_to_dict
from workbell.adapters.sql.goals.entry_lists import entry_after_window, entry_count, entry_page
from workbell.adapters.sql.goals.progress_days import ProgressDays, difference
from workbell.adapters.sql.schema.goals import goals, progress_entries
from workbell.domain.cron.time_zones import EPOCH
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.goals.goal import Category, GoalId
from workbell.domain.goals.progress_entry import EntryId, ProgressEntry
from workbell.domain.identity.user import UserId
from workbell.ports.goals.repository import EntryFilter, ExportRow

entries_c = progress_entries.c
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
_IS_ROW = (entries_c.id == bindparam("row_id"), entries_c.owner == bindparam("owner_id"))
_LOCKED = select(progress_entries).where(*_IS_ROW).with_for_update()
_REPLACE = update(progress_entries).where(*_IS_ROW)
_DELETE = delete(progress_entries).where(*_IS_ROW)
_BY_IDS = select(progress_entries).where(entries_c.id.in_(bindparam("ids", expanding=True)))


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
        days = difference(entry.seconds_by_day(), ())
        self._days.add(entry.owner, entry.goal_id, days)
        return evolve(entry, id=EntryId(inserted_id(result)))

    def get(self, owner: UserId, goal_id: GoalId, number: int) -> ProgressEntry:
        """Return an entry."""
        values = {"owner_id": owner, "goal": goal_id, "entry_number": number}
        row = self._db.execute(_ONE, values).one_or_none()
        if row is None:
            raise NotFound(f"There is no entry {number}.")
        return _entry(row)

    def replace(self, entry: ProgressEntry) -> None:
        """Update an entry and its days."""
        key = {"row_id": entry.id, "owner_id": entry.owner}
        row = self._db.execute(_LOCKED, key).one_or_none()
        if row is None:
            raise NotFound(f"There is no entry {entry.number}.")
        self._db.execute(_REPLACE, _values(entry) | key)
        days = difference(entry.seconds_by_day(), _entry(row).seconds_by_day())
        self._days.add(entry.owner, entry.goal_id, days)

    def delete(self, entry: ProgressEntry) -> None:
        """Delete an entry, and subtract its seconds from their days."""
        key = {"row_id": entry.id, "owner_id": entry.owner}
        row = self._db.execute(_LOCKED, key).one_or_none()
        if row is None:
            return
        self._db.execute(_DELETE, key)
        days = difference((), _entry(row).seconds_by_day())
        self._days.add(entry.owner, entry.goal_id, days)

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
        query = entry_page(owner, filters, ordering).offset(offset).limit(limit)
        ids = self._db.execute(query).scalars().all()
        rows = {row.id: row for row in self._db.execute(_BY_IDS, {"ids": ids})} if ids else {}
        return [_entry(rows[each]) for each in ids]

    def count(
        self, owner: UserId, filters: EntryFilter, *, ordering: Sequence[str] = ("-created_at",)
    ) -> int:
        """Return the number of matching entries, at most `COUNT_CAP` + 1."""
        return self._db.execute(entry_count(owner, filters, ordering)).scalar_one()

    def exceeds_window(self, owner: UserId, filters: EntryFilter) -> bool:
        """Whether there are older entries than those of the window."""
        return self._db.execute(entry_after_window(owner, filters)).first() is not None

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
        return self._days.list_days(owner, goal_id, first, last)

    @property
    def _days(self) -> ProgressDays:
        return ProgressDays(self._db)


def _values(entry: ProgressEntry) -> dict[str, Any]:
    values = asdict(entry)
    del values["id"]
    return values


def _entry(row: AnyRow) -> ProgressEntry:
    return ProgressEntry(**row_to_dict(row))


def _export_row(row: AnyRow, goal: AnyRow) -> ExportRow:
    return ExportRow(entry=_entry(row), goal_name=goal.name, category=Category(goal.category))
