"""Pages of a job history, by number or by cursor."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

from workbell.adapters.http.web.operations import Answer, Call
from workbell.adapters.http.web.pagination import before_id, keyset, numbered, slice_of
from workbell.domain.jobs.job import Job, JobId
from workbell.ports.jobs.repository import JobFilter
from workbell.services.jobs.commands import JobCommands


class HistoryQuery(Protocol):
    """Which part of a history to return: a page, or what follows a cursor."""

    @property
    def page(self) -> int:
        """The number of the page, from 1."""
        ...

    @property
    def page_size(self) -> int | None:
        """The number of entries; None for the default of the style."""
        ...

    @property
    def cursor(self) -> str | None:
        """The cursor, "" to begin with; None to page by number."""
        ...


class StatusQuery(HistoryQuery, Protocol):
    """A part of a history, of some statuses only, in the words of a style."""

    @property
    def status(self) -> Sequence[StrEnum] | None:
        """The statuses; None for all."""
        ...


def history(
    call: Call,
    jobs: JobCommands,
    query: HistoryQuery,
    which: Mapping[str, Any],
    show: Callable[[Job], Any],
    order: Sequence[str] = ("-id",),
) -> Answer:
    """Return a part of a history of jobs, by page or by cursor."""
    part = slice_of(call, query.page, query.page_size)
    if query.cursor is not None:
        last = before_id(query.cursor)
        by_cursor = JobFilter(**which, before_id=None if last is None else JobId(last))
        found = jobs.find(call.actor, by_cursor, order, 0, part.size)
        return keyset(call, part.size, [show(j) for j in found], found[-1].id if found else None)
    filters = JobFilter(**which)
    found = jobs.find(call.actor, filters, order, part.offset, part.size)
    total = jobs.count(call.actor, filters)
    return numbered(call, part, [show(j) for j in found], total)
