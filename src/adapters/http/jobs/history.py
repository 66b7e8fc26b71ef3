"""Pages of a job history, by number or by cursor."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workbell.adapters.http.web.operations import Answer, Call
from workbell.adapters.http.web.pagination import before_id, keyset, numbered, slice_of
from workbell.domain.jobs.job import Job, JobId
from workbell.ports.jobs.repository import JobFilter
from workbell.services.jobs.commands import JobCommands


def history(
    call: Call,
    jobs: JobCommands,
    query: Any,
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
