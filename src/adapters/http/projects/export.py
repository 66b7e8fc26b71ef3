"""Export of tasks as CSV or JSON, streamed."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

from workbell.adapters.http.projects.views import TaskBody, task_body
from workbell.adapters.http.web.operations import JSON, ApiResponse
from workbell.adapters.serialization import json_codec
from workbell.adapters.serialization.csv_text import csv_lines
from workbell.adapters.serialization.scalars import write_datetime
from workbell.ports.projects.repository import WorkItemView

COLUMNS: Final = (
    "id", "title", "description", "project", "board", "status", "priority", "assignee",
    "reporter", "labels", "due_date", "sla_breached", "sla_due_at", "estimated_hours",
    "comment_count", "created_at", "updated_at", "completed_at",
)  # fmt: skip


def export_response(kind: Literal["csv", "json"], views: Iterable[WorkItemView]) -> ApiResponse:
    """Return tasks as a download; the body is made while it is sent."""
    if kind == "csv":
        body = csv_lines(COLUMNS, (_row(view) for view in views))
        media_type = "text/csv; charset=utf-8; header=present"
    else:
        body, media_type = _json_array(task_body(view) for view in views), JSON
    headers = {"Content-Disposition": f'attachment; filename="tasks.{kind}"'}
    return ApiResponse(body=body, media_type=media_type, headers=headers)


def _json_array(bodies: Iterable[TaskBody]) -> Iterator[bytes]:
    start = b"["
    for body in bodies:
        yield start + json_codec.dumps(body)
        start = b",\n"
    yield b"[]" if start == b"[" else b"]"


def _row(view: WorkItemView) -> Sequence[object]:
    item = view.item
    times = (item.due_date, item.sla_due_at, item.created_at, item.updated_at, item.completed_at)
    due, sla_due, created, updated, completed = (at and write_datetime(at) for at in times)
    return (
        item.id, item.title, item.description, item.project_id, item.board_id, item.status.value,
        item.priority.value, view.assignee and view.assignee.username, view.reporter.username,
        ", ".join(item.labels), due, item.is_sla_breached, sla_due, item.estimated_hours,
        item.comment_count, created, updated, completed,
    )  # fmt: skip
