"""Pages of a job history, by number or by cursor."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

from workbell.adapters.http.web.operations import ApiRequest, ApiResponse
from workbell.adapters.http.web.pagination import decode_cursor, keyset, make_slice, numbered
from workbell.domain.jobs.job import Job, JobId
from workbell.ports.jobs.repository import JobFilter
from workbell.services.jobs.commands import JobService


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
    call: ApiRequest,
    jobs: JobService,
    query: HistoryQuery,
    filters: Mapping[str, Any],
    show: Callable[[Job], Any],
    order: Sequence[str] = ("-id",),
) -> ApiResponse:
    """Return a part of a history of jobs, by page or by cursor."""
    part = make_slice(call, query.page, query.page_size)
    if query.cursor is not None:
        last = decode_cursor(query.cursor)
        by_cursor = JobFilter(**filters, before_id=None if last is None else JobId(last))
        found = jobs.find(call.actor, by_cursor, order, 0, part.size)
        return keyset(call, part.size, [show(j) for j in found], found[-1].id if found else None)
    by_page = JobFilter(**filters)
    found = jobs.find(call.actor, by_page, order, part.offset, part.size)
    total = jobs.count(call.actor, by_page)
    return numbered(call, part, [show(j) for j in found], total)
