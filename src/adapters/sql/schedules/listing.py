"""Lists of schedules; each page is read by one query."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeAlias

from attrs import fields, frozen
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    Subquery,
    bindparam,
    literal_column,
    or_,
    select,
)

from workbell.adapters.sql.database.column_types import (
    UtcDateTime,
    instant_reader,
    json_value,
    to_db_values,
)
from workbell.adapters.sql.database.filters import (
    COUNT_LIMIT,
    contains_text,
    count_limit,
    count_ordered,
    count_rows,
    force_index,
    like_pattern,
)
from workbell.adapters.sql.database.statements import PreparedStatement, column_names, prepare
from workbell.adapters.sql.database.strategy import Strategy
from workbell.adapters.sql.jobs.rows import STATES
from workbell.adapters.sql.schedules.rows import schedule_from_row
from workbell.adapters.sql.schema.indexes import IS_NOT_DELETED
from workbell.adapters.sql.schema.tables import jobs, schedules, task_definitions, users
from workbell.domain import constraints
from workbell.domain.cron.rule import DstGap, DstOverlap
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import Scope
from workbell.domain.identity.user import full_name
from workbell.domain.jobs.job import public_status
from workbell.domain.jobs.task import TaskId
from workbell.domain.schedules.schedule import MisfirePolicy, OverlapPolicy, ScheduleId
from workbell.ports.schedules.views import (
    ListedSchedule,
    ScheduleFilter,
    SchedulePage,
    ScheduleView,
)

Reader: TypeAlias = Callable[[Any], Any]
LISTED = (
    *("id", "owner", "task", "name", "cron", "zone", "parameters", "misfire_policy"),
    *("overlap_policy", "dst_gap", "dst_overlap", "starts_at", "ends_at", "max_runs"),
    *("jitter_seconds", "queue", "priority", "max_attempts", "timeout_seconds"),
    *("alert_after_seconds", "overdue_since", "next_at", "paused_reason", "created_at"),
    *("updated_at", "version"),
)
"""The columns that `_listed` reads, in its order."""

_MISFIRES = {str(policy): policy for policy in MisfirePolicy}
_OVERLAPS = {str(policy): policy for policy in OverlapPolicy}
_GAPS = {str(policy): policy for policy in DstGap}
_DST_OVERLAPS = {str(policy): policy for policy in DstOverlap}

schedules_c = schedules.c
_IS_THERE = IS_NOT_DELETED
_WINDOW = ("id", "owner", "task", "name", "cron", "next_at", "created_at", "updated_at")
"""The columns of a window: those of conditions and orderings."""


def _conditions(columns: Any) -> Mapping[str, ColumnElement[bool]]:
    """Return the conditions on some columns by the names of filters, see `ScheduleFilter`."""
    task = task_definitions.c
    task_name = select(task.name).where(task.key == columns.task).scalar_subquery()
    return {
        "scope": columns.owner == bindparam("scope"),
        "owner": columns.owner == bindparam("owner"),
        "name": columns.name == bindparam("name"),
        "active": columns.next_at.is_not(None),
        "inactive": columns.next_at.is_(None),
        "tasks": columns.task.in_(bindparam("tasks", expanding=True)),
        "cron_expressions": columns.cron.in_(bindparam("cron_expressions", expanding=True)),
        "ids": columns.id.in_(bindparam("ids", expanding=True)),
        "created_from": columns.created_at >= bindparam("created_from"),
        "created_to": columns.created_at <= bindparam("created_to"),
        "updated_from": columns.updated_at >= bindparam("updated_from"),
        "updated_to": columns.updated_at <= bindparam("updated_to"),
        "next_from": columns.next_at >= bindparam("next_from"),
        "next_to": columns.next_at <= bindparam("next_to"),
        "name_contains": contains_text(columns.name, bindparam("name_contains")),
        "cron_contains": contains_text(columns.cron, bindparam("cron_contains")),
        "search": or_(
            *[
                contains_text(each, bindparam("search"))
                for each in (columns.name, columns.cron, task_name)
            ]
        ),
    }


_CONDITIONS = _conditions(schedules_c)
_SELECTING = frozenset({"scope", "owner", "created_from", "created_to"})
"""Filters that an index serves, in the order of creation."""
_LISTS = frozenset({"tasks", "cron_expressions", "ids"})
"""Filters whose number of values is part of the statement."""
_OWNERS = frozenset({"scope", "owner"})
_BY_CREATION = (("-created_at",), ("created_at",))
WINDOW = "window"
"""The parameter with the size of a window."""
_ORDERINGS = ("id", "created_at", "updated_at", "name", "cron", "next_at", "is_active")
_COLUMNS = column_names(schedules)
_FILTERS = tuple(each.name for each in fields(ScheduleFilter))
_JOINED = len(_COLUMNS)
_LAST_RUN_TIME = _JOINED + 6
_TIMES = tuple(name for name in _COLUMNS if isinstance(schedules_c[name].type, UtcDateTime))
_ALIASES = {"cron_expression": "cron", "next_run_time": "next_at"}


@frozen
class ScheduleLists:
    """Queries for schedules with their owners, tasks and last runs."""

    _db: Connection
    _strategy: Strategy

    def get_view(self, scope: Scope, schedule_id: ScheduleId) -> ScheduleView:
        """Return a view of a schedule visible to the scope."""
        found = self.find(scope, ScheduleFilter(ids=[schedule_id]), limit=1)
        if not found:
            raise NotFound(f"There is no schedule {schedule_id}.")
        return found[0]

    def find(
        self,
        scope: Scope,
        filters: ScheduleFilter,
        *,
        ordering: Sequence[str] = ("-created_at",),
        offset: int = 0,
        limit: int = 20,
    ) -> Sequence[ScheduleView]:
        """Return a page of views of the schedules visible to the scope."""
        rows, read_time, read_json = self._rows(
            _values(scope, filters), tuple(ordering), offset, limit
        )
        return [
            _view(_schedule_columns(row, read_time, read_json), row, read_time(row[_LAST_RUN_TIME]))
            for row in rows
        ]

    def list_page(
        self,
        scope: Scope,
        filters: ScheduleFilter,
        *,
        ordering: Sequence[str] = ("-created_at",),
        offset: int = 0,
        limit: int = 20,
    ) -> SchedulePage:
        """Return a page of list entries, and the result of `count`."""
        values = _values(scope, filters)
        rows, read_time, read_json = self._rows(values, tuple(ordering), offset, limit, listed=True)
        total = rows[0][-1] if rows else self._count(values, tuple(ordering)) if offset else 0
        return SchedulePage(
            [_listed(row, read_time, read_json) for row in rows],
            total,
            filters.needs_window(ordering) and self._exceeds_window(values),
        )

    def count(self, scope: Scope, filters: ScheduleFilter) -> int:
        """Return the number of matching schedules, at most `COUNT_CAP` + 1."""
        return self._count(_values(scope, filters), ("-created_at",))

    def _count(self, values: Mapping[str, Any], ordering: tuple[str, ...]) -> int:
        query = _count_query(tuple(values), ordering)
        return self._db.execute(query, {**values, WINDOW: constraints.SEARCH_WINDOW}).scalar_one()

    def _exceeds_window(self, values: Mapping[str, Any]) -> bool:
        """Whether there are older schedules than those of the window."""
        names = tuple(name for name in values if name in _OWNERS)
        selected = {name: values[name] for name in names}
        row = self._db.execute(
            _beyond_window(names), {**selected, WINDOW: constraints.SEARCH_WINDOW}
        )
        return row.first() is not None

    def _rows(
        self,
        filters: Mapping[str, Any],
        ordering: tuple[str, ...],
        offset: int,
        limit: int,
        *,
        listed: bool = False,
    ) -> tuple[Sequence[Sequence[Any]], Reader, Reader]:
        """Return the rows of a page, and the converters of their times and JSON."""
        capped = {COUNT_LIMIT: count_limit()} if listed else {}
        if _needs_window(tuple(filters), ordering):
            capped[WINDOW] = constraints.SEARCH_WINDOW
        names, values = tuple(filters), {**filters, **capped, "offset": offset, "limit": limit}
        if not _LISTS.isdisjoint(filters):
            result = self._db.execute(_query(names, ordering, listed), values).all()
            return result, _unchanged, _unchanged
        db_values = to_db_values(values.values(), self._db.dialect)
        rows = _prepared(names, ordering, listed).fetch_all(self._db, db_values)
        return rows, instant_reader(self._db.dialect), json_value


def _unchanged(value: Any) -> Any:
    return value


def last_run(schedule_id: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a subquery for the id of a schedule's newest started job."""
    run = jobs.alias("run")
    conditions = [run.c.schedule_id.is_not(None), run.c.started_at.is_not(None)]
    return (
        select(run.c.id)
        .where(*conditions, run.c.schedule_id == schedule_id)
        .order_by(run.c.schedule_id.desc(), run.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )


def _joined(page: Any, columns: Iterable[Any], *more: Any) -> Select[*tuple[Any, ...]]:
    """Join a page of schedules with their owners, tasks and last runs."""
    return (
        select(
            *columns,
            users.c.username,
            users.c.first_name,
            users.c.last_name,
            task_definitions.c.id.label("task_id"),
            task_definitions.c.name.label("task_name"),
            task_definitions.c.description.label("task_description"),
            jobs.c.started_at.label("last_run_time"),
            jobs.c.state.label("last_state"),
            jobs.c.attempt.label("last_attempt"),
            *more,
        )
        .select_from(page)
        .outerjoin(users, users.c.id == page.c.owner)
        .outerjoin(task_definitions, task_definitions.c.key == page.c.task)
        .outerjoin(jobs, jobs.c.id == last_run(page.c.id))
    )


def _values(scope: Scope, filters: ScheduleFilter) -> dict[str, Any]:
    """Return the values of the conditions in use, by their names."""
    values = {"scope": scope.owner, **{name: getattr(filters, name) for name in _FILTERS}}
    is_active = values.pop("is_active")
    values |= {"active": is_active or None, "inactive": is_active is False or None}
    for name in ("name_contains", "cron_contains", "search"):
        if values[name] is not None:
            values[name] = like_pattern(values[name])
    return {name: value for name, value in values.items() if value is not None}


@lru_cache(maxsize=256)
def _query(
    names: tuple[str, ...], ordering: tuple[str, ...], listed: bool
) -> Select[*tuple[Any, ...]]:
    """Return the query of a page; with `listed`, the columns of `_listed` and the count."""
    # Cached, because building the query takes longer than executing it.
    total = _count_query(names, ordering).scalar_subquery() if listed else literal_column("0")
    if _needs_window(names, ordering):
        recent, conditions = _window(names)
        found = select(recent.c.id).where(*conditions).order_by(*_ordered(ordering, recent.c))
        picked = _page(found).subquery("picked")
        page = select(schedules).join(picked, picked.c.id == schedules_c.id).subquery("page")
    else:
        rows = select(schedules).where(_IS_THERE, *[_CONDITIONS[name] for name in names])
        page = _page(_follow_index(rows, names, ordering)).subquery("page")
    columns = [page.c[name] for name in LISTED] if listed else page.c
    query = _joined(page, columns, total.label("total"))
    return query.order_by(*_ordered(ordering, page.c))


def _page(query: Select[Any]) -> Select[Any]:
    offset = bindparam("offset", type_=BigInteger)
    return query.offset(offset).limit(bindparam("limit", type_=Integer))


def _needs_window(names: Collection[str], ordering: Sequence[str]) -> bool:
    """Whether filters or ordering are those of `ScheduleFilter.needs_window`."""
    is_followed = tuple(ordering) in _BY_CREATION and _SELECTING.issuperset(names)
    return not is_followed and "ids" not in names


def _window(names: Sequence[str]) -> tuple[Subquery, Sequence[ColumnElement[bool]]]:
    """Return the newest schedules that the caller may see, and the conditions on them."""
    owners = [name for name in names if name in _OWNERS]
    rows = select(*[schedules_c[name] for name in _WINDOW])
    rows = rows.where(_IS_THERE, *[_CONDITIONS[name] for name in owners])
    recent = _follow_index(rows, owners, ("-created_at",)).limit(bindparam(WINDOW, type_=Integer))
    window = recent.subquery("recent")
    conditions = _conditions(window.c)
    return window, [conditions[name] for name in names if name not in _OWNERS]


def _follow_index(
    rows: Select[Any], names: Collection[str], ordering: Sequence[str]
) -> Select[Any]:
    """Return the rows in an order; that of creation follows an index."""
    ordered = rows.order_by(*_ordered(ordering, schedules_c))
    if "ids" in names:
        return ordered
    index = "created" if _OWNERS.isdisjoint(names) else "owner"
    return force_index(ordered, schedules, f"workbell_schedules_{index}_idx_plain")


@lru_cache(maxsize=8)
def _beyond_window(names: tuple[str, ...]) -> Select[Any]:
    """Return the query of the newest schedule beyond the window."""
    rows = select(schedules_c.id).where(_IS_THERE, *[_CONDITIONS[name] for name in names])
    ordered = _follow_index(rows, names, ("-created_at",))
    return ordered.limit(1).offset(bindparam(WINDOW, type_=Integer))


@lru_cache(maxsize=256)
def _prepared(names: tuple[str, ...], ordering: tuple[str, ...], listed: bool) -> PreparedStatement:
    """Prepare the query of a page; no condition may be one of `_LISTS`."""
    capped = (COUNT_LIMIT,) if listed else ()
    if _needs_window(names, ordering):
        capped = (*capped, WINDOW)
    return prepare(_query(names, ordering, listed), *names, *capped, "offset", "limit")


@lru_cache(maxsize=256)
def _count_query(names: tuple[str, ...], ordering: tuple[str, ...]) -> Select[int]:
    if _needs_window(names, ordering):
        recent, conditions = _window(names)
        return count_rows(recent, *conditions)
    rows = select(schedules_c.id).where(_IS_THERE, *[_CONDITIONS[name] for name in names])
    return count_ordered(_follow_index(rows, names, ("-created_at",)))


def _ordered(ordering: Sequence[str], columns: Any) -> Iterator[ColumnElement[Any]]:
    """Yield ORDER BY terms; schedules without a next run come last in both directions."""
    descending = bool(ordering) and ordering[0].startswith("-")
    for name in (*ordering, "-id" if descending else "id"):
        plain = _ALIASES.get(name.removeprefix("-"), name.removeprefix("-"))
        if plain not in _ORDERINGS:
            raise KeyError(name)
        if plain == "next_at":
            yield columns.next_at.is_(None)
        column = columns.next_at.is_not(None) if plain == "is_active" else columns[plain]
        yield column.desc() if name.startswith("-") else column


def _schedule_columns(row: Sequence[Any], read_time: Reader, read_json: Reader) -> dict[str, Any]:
    """Convert the columns of a schedule from their stored form."""
    values = dict(zip(_COLUMNS, row, strict=False))
    for name in _TIMES:
        if values[name] is not None:
            values[name] = read_time(values[name])
    values["parameters"] = read_json(values["parameters"])
    return values


def _view(values: dict[str, Any], row: Sequence[Any], ran_at: datetime | None) -> ScheduleView:
    """Return a view of a schedule's converted columns and the columns joined to them."""
    username, first, last, task_id, task_name, description, _, state, attempt, _ = row[_JOINED:]
    return ScheduleView(
        schedule=schedule_from_row(values),
        owner_username=username or "",
        owner_full_name=full_name(username or "", first or "", last or ""),
        task_id=TaskId(task_id or 0),
        task_name=task_name or "",
        task_description=description or "",
        last_run_time=ran_at,
        last_status=None if state is None else public_status(STATES[state], attempt),
    )


def _listed(row: Sequence[Any], read_time: Reader, read_json: Reader) -> ListedSchedule:
    """Convert a row of `LISTED` and the joined columns to a list entry."""
    # fmt: off
    (
        id_, owner, task, name, cron, zone, parameters, misfire, overlap, dst_gap, dst_overlap,
        starts_at, ends_at, max_runs, jitter, queue, priority, max_attempts, timeout,
        alert_after, overdue_since, next_at, paused_reason, created_at, updated_at, version,
        username, first, last, task_id, task_name, description, ran_at, state, attempt, _,
    ) = row
    return ListedSchedule(
        id_, owner, username or "", full_name(username or "", first or "", last or ""),
        TaskId(task_id or 0), task_name or "", description or "", name, cron, zone,
        read_json(parameters), next_at is not None, _MISFIRES[misfire], _OVERLAPS[overlap],
        _GAPS[dst_gap], _DST_OVERLAPS[dst_overlap], read_time(starts_at), read_time(ends_at), max_runs,
        jitter, queue, priority, max_attempts, timeout, alert_after, read_time(overdue_since),
        read_time(next_at), read_time(ran_at), paused_reason, read_time(created_at), read_time(updated_at),
        version, None if state is None else public_status(STATES[state], attempt), task,
    )
    # fmt: on
