"""Pages of a job history, by number or by cursor."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from attrs import frozen

from workbell.adapters.http.web.operations import ApiRequest, ApiResponse
from workbell.adapters.http.web.pagination import (
    CursorQuery,
    cursor_page,
    decode_cursor,
    make_slice,
    numbered_page,
)
from workbell.domain.jobs.job import Job, JobId
from workbell.ports.jobs.repository import JobFilter
from workbell.services.jobs.commands import JobService


@frozen(kw_only=True)
class StatusQuery(CursorQuery):
    """A page of a history, filtered by the statuses of a style."""

    status: Sequence[StrEnum] | None = None


def job_page(
    request: ApiRequest,
    jobs: JobService,
    query: CursorQuery,
    filters: Mapping[str, Any],
    show: Callable[[Job], Any],
    order: Sequence[str] = ("-id",),
) -> ApiResponse:
    """Return a page of the jobs that match the filters."""
    part = make_slice(request, query.page, query.page_size)
    if query.cursor is not None:
        last_id = decode_cursor(query.cursor)
        selected = JobFilter(**filters, before_id=None if last_id is None else JobId(last_id))
        page = jobs.find(request.actor, selected, order, 0, part.size)
        return cursor_page(request, part.size, [*map(show, page)], page[-1].id if page else None)
    selected = JobFilter(**filters)
    page = jobs.find(request.actor, selected, order, part.offset, part.size)
    return numbered_page(request, part, [*map(show, page)], jobs.count(request.actor, selected))
