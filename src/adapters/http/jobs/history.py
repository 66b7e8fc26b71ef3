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
    with_window,
)
from workbell.domain import constraints
from workbell.domain.errors import NotFound
from workbell.domain.jobs.job import Job, JobId
from workbell.ports.jobs.views import JobFilter
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
    """
    Return a page of the jobs that match the filters.

    Pages by cursor lead through the windows of a search, one after the other.

    Raises:
        NotFound: The page is beyond the last one, or begins beyond `COUNT_CAP`.
    """
    part = make_slice(request, query.page, query.page_size)
    if query.cursor is not None:
        last_id = decode_cursor(query.cursor)
        selected = JobFilter(**filters, before_id=None if last_id is None else JobId(last_id))
        page = jobs.list_page(request.actor, selected, order, 0, part.size, is_counted=False)
        ids = [job.id for job in page.jobs]
        last = ids[-1] if len(ids) == part.size else page.next_before
        response = cursor_page(request, len(ids), [*map(show, page.jobs)], last)
    else:
        if part.offset >= constraints.COUNT_CAP:
            raise NotFound(f"Pages end at {constraints.COUNT_CAP:,} results; use `cursor` instead.")
        page = jobs.list_page(request.actor, JobFilter(**filters), order, part.offset, part.size)
        bodies = [*map(show, page.jobs)]
        response = numbered_page(request, part, bodies, page.count, ends_at_cap=True)
    return response if page.next_before is None else with_window(response)
