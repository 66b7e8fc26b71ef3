"""Lists of jobs, by an index or from a window of the newest rows."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from attrs import evolve, frozen
from sqlalchemy import (
    ColumnElement,
    Select,
    Subquery,
    and_,
    bindparam,
    false,
    func,
    literal,
    or_,
    select,
    union_all,
)

from workbell.adapters.sql.database.filters import (
    contains_text,
    count_limit,
    equals,
    equals_number,
    force_index,
    in_range,
    order_by,
)
from workbell.adapters.sql.jobs.rows import JOB, JobStaging, job_from_row
from workbell.adapters.sql.schema.indexes import (
    IS_ENDED,
    IS_PENDING,
    IS_RETRYING,
    IS_RUNNING,
    IS_SHOWN,
    IS_STARTED_RUN,
    IS_UNSTARTED_RUN,
    IS_UNSUCCESSFUL,
    IS_WAITING,
    number,
)
from workbell.adapters.sql.schema.tables import jobs
from workbell.domain import constraints
from workbell.domain.identity.actor import Scope
from workbell.domain.jobs.job import WAITING, Job, JobId, JobState, Status
from workbell.ports.jobs.views import JobFilter, JobPage

Condition = ColumnElement[bool]
jobs_c = jobs.c
ORDERINGS: Mapping[str, str] = {
    **{name: name for name in ("id", "created_at", "priority", "task", "name", "queue")},
    "scheduled_time": "due_at",
    "status": "state",
}
"""The columns of orderings."""
_BY_IDS = JOB.where(jobs_c.id.in_(bindparam("ids", expanding=True)))
_ATTEMPTS = {
    Status.PENDING: jobs_c.attempt < number(1),
    Status.RETRYING: jobs_c.attempt > number(0),
}
"""Not the condition of the index of all pending jobs, which would be read for one owner."""
_SEPARATOR = "\x1f"
_TEXTS = ("name", "task", "description")


@frozen
class IndexScan:
    """
    Jobs that one index returns in the order of ids.

    The statement leaves the database no choice of another index: one with hints,
    PostgreSQL by an order and a range that only this index has. Its planner
    would read all jobs by id, where it expects to find enough matching ones soon.
    """

    index: str
    pinned: ColumnElement[Any] | None = None
    value: int = 0
    conditions: Sequence[Condition] = ()
    plain: str = ""

    def read(self, columns: Sequence[ColumnElement[Any]], dialect: str) -> Select[Any]:
        """Return the query of the rows without an order."""
        rows = select(*columns).where(*self.conditions)
        if self.index:
            rows = rows.with_hint(jobs, f"INDEXED BY {self.index}", "sqlite")
            rows = force_index(rows, jobs, self.plain or f"{self.index}_plain")
        if self.pinned is None:
            return rows
        if dialect == "postgresql":
            return rows.where(self.pinned >= self.value, self.pinned <= self.value)
        if dialect == "sqlite":  # `=` would replace the column in the index's condition
            return rows.where(self.pinned.is_(bindparam(None, self.value)))
        return rows.where(self.pinned == self.value)

    def read_in_order(
        self,
        columns: Sequence[ColumnElement[Any]],
        dialect: str,
        *,
        limit: int,
        offset: int = 0,
        descending: bool = True,
    ) -> Select[Any]:
        """Return the query of the first rows in the order of ids."""
        rows = self.read(columns, dialect).order_by(*self.order(dialect, descending=descending))
        return rows.limit(limit).offset(offset)

    def order(self, dialect: str, *, descending: bool) -> Sequence[ColumnElement[Any]]:
        """Return the terms of ORDER BY."""
        is_pinned = dialect == "postgresql" and self.pinned is not None
        terms = [self.pinned, jobs_c.id] if is_pinned else [jobs_c.id]
        return [term.desc() if descending else term for term in terms if term is not None]


_BY_INDEX = {
    Status.PENDING: IndexScan("workbell_jobs_pending_idx", conditions=(IS_PENDING,)),
    Status.RETRYING: IndexScan("workbell_jobs_retrying_idx", conditions=(IS_RETRYING,)),
}


@frozen
class JobSelection:
    """
    The jobs that a list may show, in one or more branches.

    Each branch is read by one index in the order of ids. The conditions that no index
    serves apply to the newest `SEARCH_WINDOW` jobs of the branches, see
    `JobFilter.needs_window`.
    """

    scope: Scope
    filters: JobFilter
    dialect: str

    @cached_property
    def branches(self) -> Sequence[IndexScan]:
        """The branches, each with all conditions."""
        before = self.filters.before_id
        cursor = [] if before is None else [jobs_c.id < before]
        return [
            evolve(each, conditions=[*each.conditions, IS_SHOWN, *cursor])
            for each in self._by_index()
        ]

    def read(
        self, *columns: ColumnElement[Any], limit: int, offset: int = 0, descending: bool = True
    ) -> Select[Any]:
        """Return the query of the first rows in the order of ids."""
        if len(self.branches) == 1:
            (branch,) = self.branches
            return branch.read_in_order(
                columns, self.dialect, limit=limit, offset=offset, descending=descending
            )
        arms = [self._arm(each, columns, limit + offset, descending) for each in self.branches]
        merged = union_all(*arms).subquery("merged")
        last = merged.c.id.desc() if descending else merged.c.id
        return select(*merged.c).order_by(last).limit(limit).offset(offset)

    def _arm(
        self, branch: IndexScan, columns: Sequence[ColumnElement[Any]], limit: int, descending: bool
    ) -> Select[Any]:
        if self.dialect == "sqlite":  # which merges the branches in the order of the whole
            return branch.read(columns, self.dialect)
        rows = branch.read_in_order(columns, self.dialect, limit=limit, descending=descending)
        return select(*rows.subquery().c)

    def page(self, *, limit: int, offset: int, descending: bool) -> Select[Any]:
        """Return the query of a page of whole rows in the order of ids."""
        if len(self.branches) == 1:
            return self.read(*jobs_c, limit=limit, offset=offset, descending=descending)
        ids = self.read(jobs_c.id, limit=limit, offset=offset, descending=descending).subquery(
            "page"
        )
        rows = select(*jobs_c).join(ids, ids.c.id == jobs_c.id)
        return rows.order_by(jobs_c.id.desc() if descending else jobs_c.id)

    def count(self) -> Select[Any]:
        """Return the query that counts the rows, up to `count_limit`."""
        rows = self.read(jobs_c.id, limit=count_limit()).subquery("counted")
        return select(func.count()).select_from(rows)

    def first_beyond_window(self) -> Select[Any]:
        """Return the query of the id of the newest row beyond the window."""
        return self.read(jobs_c.id, limit=1, offset=constraints.SEARCH_WINDOW)

    def window(self, *names: str) -> tuple[Subquery, Sequence[Condition]]:
        """Return the window with some columns, and the conditions that apply to it."""
        needed = {"id", *names, *self._columns()}
        columns = [column for column in jobs_c if column.name in needed]
        rows = self.read(*columns, limit=constraints.SEARCH_WINDOW).subquery("recent")
        return rows, [*self._conditions(rows.c)]

    def _by_index(self) -> Iterator[IndexScan]:
        owners = {self.scope.owner, self.filters.owner} - {None}
        owner = next(iter(owners), None)
        if len(owners) > 1:
            return
        if self.filters.schedule_id is not None:
            yield from self._runs(self.filters.schedule_id)
        elif self.filters.is_by_status(self.scope):
            for status in dict.fromkeys(map(Status, self.filters.statuses or ())):
                yield from self._in_status(status, owner)
        elif owner is not None:
            yield IndexScan("workbell_jobs_owner_idx", jobs_c.owner, owner)
        else:
            yield IndexScan("")

    def _runs(self, schedule_id: int) -> Iterator[IndexScan]:
        started = IndexScan("workbell_jobs_started_idx", jobs_c.schedule_id, schedule_id)
        if self.dialect == "mysql":
            yield started
            return
        yield evolve(started, conditions=(IS_STARTED_RUN,))
        unstarted = (IS_UNSTARTED_RUN,)
        yield evolve(started, index="workbell_jobs_unstarted_idx", conditions=unstarted)

    def _in_status(self, status: Status, owner: int | None) -> Iterator[IndexScan]:
        if status is Status.RUNNING:
            yield _running(owner)
        elif status not in _ATTEMPTS:
            condition = IS_ENDED if owner is None else IS_UNSUCCESSFUL
            yield self._in_state(JobState[status.name], owner, condition)
        elif self.dialect == "mysql":
            for state in WAITING:
                yield self._in_state(state, owner, _ATTEMPTS[status])
        elif owner is not None:
            conditions = (IS_WAITING, _ATTEMPTS[status])
            yield IndexScan("workbell_jobs_waiting_idx", jobs_c.owner, owner, conditions)
        else:
            yield _BY_INDEX[status]

    def _in_state(self, state: JobState, owner: int | None, condition: Condition) -> IndexScan:
        branch = IndexScan("workbell_jobs_status_idx", jobs_c.state, int(state), (condition,))
        if owner is None:
            return branch
        owned = (condition, equals_number(jobs_c.owner, owner))
        return evolve(branch, index="workbell_jobs_owner_status_idx", conditions=owned)

    def _columns(self) -> Iterator[str]:
        """Yield the columns of the conditions."""
        filters = self.filters
        yield from (name for name in ("task", "queue") if getattr(filters, name) is not None)
        if filters.origins is not None:
            yield "origin"
        if filters.created_from is not None or filters.created_to is not None:
            yield "created_at"
        if filters.due_from is not None or filters.due_to is not None:
            yield "due_at"
        if filters.search is not None:
            yield from _TEXTS
        if filters.schedule_id is not None:
            yield "owner"
        if self._has_other_statuses():
            yield from ("state", "attempt")

    def _conditions(self, rows: Any) -> Iterator[Condition]:
        filters = self.filters
        for name in ("task", "queue"):
            if (value := getattr(filters, name)) is not None:
                yield rows[name] == value
        if filters.origins is not None:
            yield rows.origin.in_([str(each) for each in filters.origins])
        if filters.created_from is not None or filters.created_to is not None:
            yield from in_range(rows.created_at, filters.created_from, filters.created_to)
        if filters.due_from is not None or filters.due_to is not None:
            yield from in_range(rows.due_at, filters.due_from, filters.due_to)
        if filters.search is not None:
            yield contains_text(_joined(rows), filters.search)
        if filters.schedule_id is not None:
            yield from equals(rows.owner, self.scope.owner)
            yield from equals(rows.owner, filters.owner)
        if filters.statuses is not None and self._has_other_statuses():
            yield is_in_status(rows, filters.statuses)

    def _has_other_statuses(self) -> bool:
        """Whether the statuses are conditions on the window."""
        return self.filters.statuses is not None and not self.filters.is_by_status(self.scope)


def _running(owner: int | None) -> IndexScan:
    """Return the branch of running jobs: they are few, and sorted by id."""
    running = select(jobs_c.id).where(IS_RUNNING).order_by(jobs_c.lease_until, jobs_c.id)
    few = running.limit(count_limit()).subquery("few")
    return IndexScan("", conditions=[jobs_c.id.in_(select(few.c.id)), *equals(jobs_c.owner, owner)])


def is_in_status(rows: Any, statuses: Sequence[Status]) -> Condition:
    """Return the condition that a job has one of some statuses."""
    waiting = rows.state < int(JobState.RUNNING)
    each = {
        Status.PENDING: and_(waiting, rows.attempt == 0),
        Status.RETRYING: and_(waiting, rows.attempt > 0),
    }
    return or_(
        false(),
        *[
            each[status] if status in each else rows.state == int(JobState[status.name])
            for status in map(Status, statuses)
        ],
    )


def _joined(rows: Any) -> ColumnElement[str]:
    """Join the searched texts: on SQLite each call of `lower` is one of Python."""
    first, *others = (rows[name] for name in _TEXTS)
    for other in others:
        first = first.concat(literal(_SEPARATOR)).concat(other)
    return first  # type: ignore[no-any-return]


@frozen
class JobLists(JobStaging):
    """Pages and counts of jobs."""

    def find(
        self,
        scope: Scope,
        filters: JobFilter,
        *,
        ordering: Sequence[str] = ("-id",),
        offset: int = 0,
        limit: int = 20,
    ) -> Sequence[Job]:
        """Return a page of the jobs visible to the scope, without hidden jobs."""
        selection = self._select(scope, filters)
        if filters.needs_window(scope, ordering):
            return self._search(selection, ordering, offset, limit)[0]
        return self._follow(selection, ordering, offset, limit)

    def list_page(
        self,
        scope: Scope,
        filters: JobFilter,
        *,
        ordering: Sequence[str] = ("-id",),
        offset: int = 0,
        limit: int = 20,
        is_counted: bool = True,
    ) -> JobPage:
        """Return a page as `find`, with the count and the end of the window."""
        selection = self._select(scope, filters)
        if not filters.needs_window(scope, ordering):
            page = self._follow(selection, ordering, offset, limit)
            return JobPage(jobs=page, count=self._count(selection) if is_counted else 0)
        page, count = self._search(selection, ordering, offset, limit)
        if is_counted and offset and not page:
            count = self._count_window(selection)
        return JobPage(jobs=page, count=count, next_before=self._end_of_window(selection))

    def count(self, scope: Scope, filters: JobFilter) -> int:
        """Return the number of matching jobs, at most `COUNT_CAP` + 1."""
        selection = self._select(scope, filters)
        if filters.needs_window(scope, ("-id",)):
            return self._count_window(selection)
        return self._count(selection)

    def _select(self, scope: Scope, filters: JobFilter) -> JobSelection:
        return JobSelection(scope, filters, self._db.dialect.name)

    def _follow(
        self, selection: JobSelection, ordering: Sequence[str], offset: int, limit: int
    ) -> Sequence[Job]:
        """Return a page of a list in the order of ids."""
        if not selection.branches:
            return []
        descending = ordering[0].startswith("-")
        query = selection.page(limit=limit, offset=offset, descending=descending)
        return [job_from_row(row) for row in self._db.execute(query)]

    def _search(
        self, selection: JobSelection, ordering: Sequence[str], offset: int, limit: int
    ) -> tuple[Sequence[Job], int]:
        """Return a page of the matching jobs of the window; if it has any, their number."""
        if not selection.branches:
            return [], 0
        names = [ORDERINGS[name.removeprefix("-")] for name in ordering]
        window, conditions = selection.window(*names)
        columns = {
            name: window.c[ORDERINGS[name]] for name in ORDERINGS if ORDERINGS[name] in window.c
        }
        query = (
            select(window.c.id, func.count().over())
            .where(*conditions)
            .order_by(*order_by(ordering, columns))
            .offset(offset)
            .limit(limit)
        )
        found = self._db.execute(query).all()
        rows = self._db.execute(_BY_IDS, {"ids": [job_id for job_id, _ in found]}) if found else ()
        by_id = {row.id: job_from_row(row) for row in rows}
        page = [by_id[job_id] for job_id, _ in found if job_id in by_id]
        return page, found[0][1] if found else 0

    def _count(self, selection: JobSelection) -> int:
        return self._db.execute(selection.count()).scalar_one() if selection.branches else 0

    def _count_window(self, selection: JobSelection) -> int:
        if not selection.branches:
            return 0
        window, conditions = selection.window()
        query = select(func.count()).select_from(window).where(*conditions)
        return min(self._db.execute(query).scalar_one(), count_limit())

    def _end_of_window(self, selection: JobSelection) -> JobId | None:
        if not selection.branches:
            return None
        beyond = self._db.execute(selection.first_beyond_window()).scalar()
        return None if beyond is None else JobId(beyond + 1)
