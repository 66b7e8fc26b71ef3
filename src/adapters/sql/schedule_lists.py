"""Lists of schedules, filled by one query."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import ColumnElement, Connection, Select, func, or_, select

from ...domain.errors import NotFound
from ...domain.identity import Scope, User, UserId
from ...domain.jobs import status_of
from ...domain.scheduling import ScheduleId
from ...domain.tasks import TaskId
from ...ports.scheduling import ScheduleFilter, ScheduleView
from .lists import between, equal, holds
from .rows import STATES
from .schedule_rows import schedule_of
from .schema import jobs, schedules, task_definitions, users
from .statements import AnyRow, named

_c = schedules.c
_task_name = (
    select(task_definitions.c.name).where(task_definitions.c.key == _c.task).scalar_subquery()
)
_ORDERINGS = ("id", "created_at", "updated_at", "name", "cron", "next_at", "is_active")
_NAMES = {"cron_expression": "cron", "next_run_time": "next_at"}


@frozen
class ScheduleLists:
    """The schedules that a scope may see, a part at a time."""

    _db: Connection

    def show(self, scope: Scope, schedule_id: ScheduleId) -> ScheduleView:
        """Return one schedule as it is shown."""
        found = self.find(scope, ScheduleFilter(ids=[schedule_id]), limit=1)
        if not found:
            raise NotFound(f"There is no schedule {schedule_id}.")
        return found[0]

    def find(
        self,
        scope: Scope,
        which: ScheduleFilter,
        *,
        ordering: Sequence[str] = ("-created_at",),
        offset: int = 0,
        limit: int = 20,
    ) -> Sequence[ScheduleView]:
        """Return a part of a list, filled by one query."""
        part = (
            select(schedules)
            .where(*_conditions(scope, which))
            .order_by(*_ordered(ordering, _c))
            .offset(offset)
            .limit(limit)
            .subquery("part")
        )
        query = _with_facts(part).order_by(*_ordered(ordering, part.c))
        return [_view(row) for row in self._db.execute(query)]

    def count(self, scope: Scope, which: ScheduleFilter) -> int:
        """Return how many schedules the list has."""
        query = select(func.count()).select_from(schedules).where(*_conditions(scope, which))
        return self._db.execute(query).scalar_one()


def last_run(schedule_id: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the id of the newest job of a schedule that was started."""
    run = jobs.alias("run")
    conditions = [run.c.schedule_id.is_not(None), run.c.started_at.is_not(None)]
    return (
        select(run.c.id)
        .where(*conditions, run.c.schedule_id == schedule_id)
        .order_by(run.c.schedule_id.desc(), run.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )


def _with_facts(part: Any) -> Select[*tuple[Any, ...]]:
    """Join a part of the schedules with their owners, tasks and last runs."""
    return (
        select(
            part,
            users.c.username,
            users.c.first_name,
            users.c.last_name,
            task_definitions.c.id.label("task_id"),
            task_definitions.c.name.label("task_name"),
            task_definitions.c.description.label("task_description"),
            jobs.c.started_at.label("last_run_time"),
            jobs.c.state.label("last_state"),
            jobs.c.attempt.label("last_attempt"),
        )
        .select_from(part)
        .outerjoin(users, users.c.id == part.c.owner)
        .outerjoin(task_definitions, task_definitions.c.key == part.c.task)
        .outerjoin(jobs, jobs.c.id == last_run(part.c.id))
    )


def _conditions(scope: Scope, which: ScheduleFilter) -> Iterator[ColumnElement[bool]]:
    yield _c.deleted_at.is_(None)
    yield from equal(_c.owner, scope.owner)
    yield from equal(_c.owner, which.owner)
    yield from equal(_c.name, which.name)
    if which.is_active is not None:
        yield _c.next_at.is_not(None) if which.is_active else _c.next_at.is_(None)
    for column, values in (
        (_c.task, which.tasks),
        (_c.cron, which.cron_expressions),
        (_c.id, which.ids),
    ):
        if values is not None:
            yield column.in_(list(values))
    yield from between(_c.created_at, which.created_from, which.created_to)
    yield from between(_c.updated_at, which.updated_from, which.updated_to)
    yield from between(_c.next_at, which.next_from, which.next_to)
    if which.name_contains is not None:
        yield holds(_c.name, which.name_contains)
    if which.cron_contains is not None:
        yield holds(_c.cron, which.cron_contains)
    if which.search is not None:
        yield or_(*[holds(column, which.search) for column in (_c.name, _c.cron, _task_name)])


def _ordered(ordering: Sequence[str], columns: Any) -> Iterator[ColumnElement[Any]]:
    """Yield the terms of an ordering; those without a next run come last either way."""
    descending = bool(ordering) and ordering[0].startswith("-")
    for name in (*ordering, "-id" if descending else "id"):
        plain = _NAMES.get(name.removeprefix("-"), name.removeprefix("-"))
        if plain not in _ORDERINGS:
            raise KeyError(name)
        if plain == "next_at":
            yield columns.next_at.is_(None)
        column = columns.next_at.is_not(None) if plain == "is_active" else columns[plain]
        yield column.desc() if name.startswith("-") else column


def _view(row: AnyRow) -> ScheduleView:
    values: Mapping[str, Any] = named(row)
    return ScheduleView(
        schedule=schedule_of(values),
        owner_username=row.username or "",
        owner_full_name=_full_name(row),
        task_id=TaskId(row.task_id or 0),
        task_name=row.task_name or "",
        task_description=row.task_description or "",
        last_run_time=row.last_run_time,
        last_status=(
            None if row.last_state is None else status_of(STATES[row.last_state], row.last_attempt)
        ),
    )


def _full_name(row: AnyRow) -> str:
    if row.username is None:
        return ""
    return User(
        id=UserId(row.owner),
        username=row.username,
        email="",
        first_name=row.first_name,
        last_name=row.last_name,
        created_at=row.created_at,
    ).full_name
