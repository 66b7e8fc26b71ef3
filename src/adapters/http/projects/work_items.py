"""Tasks over HTTP: create, list, change, move, bulk edit, export."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from attrs import frozen

from workbell.adapters.http.projects.export import export_response
from workbell.adapters.http.projects.views import (
    HighlightsBody,
    TaskBody,
    TaskDetailBody,
    task_body,
    task_detail_body,
)
from workbell.adapters.http.web.mapping import copy_fields
from workbell.adapters.http.web.operations import (
    JSON,
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
    PartialOperation,
)
from workbell.adapters.http.web.pagination import (
    Ordering,
    PageNumber,
    PageSize,
    make_slice,
    numbered_page,
)
from workbell.adapters.http.web.request import etag_header
from workbell.domain.identity.permissions import Action
from workbell.domain.list_filters import parse_ordering
from workbell.domain.projects.work_item import WorkItemId
from workbell.ports.markdown import Markdown
from workbell.ports.projects.repository import WorkItemView
from workbell.services.projects.bulk import BulkRefused, BulkResult, BulkService
from workbell.services.projects.highlights import ListedWorkItem
from workbell.services.projects.listing import WorkItemConditions
from workbell.services.projects.requests import Assignment, BulkEdit, Move, NewWorkItem
from workbell.services.projects.work_items import WorkItemService

BASE = "/api/v1/tasks"
ONE = f"{BASE}/{{task_id}}"
_NAMES = (
    "position", "created_at", "updated_at", "due_date", "priority", "status", "title", "sla_due_at",
)  # fmt: skip
ORDERINGS: Mapping[str, str] = {name: name for name in _NAMES}
CSV = "text/csv"


@frozen(kw_only=True)
class TaskQuery(WorkItemConditions):
    """
    Filters, ordering and page of a list of tasks.

    The default ordering is by relevance with a search, by position with a board,
    and by creation otherwise, newest first.
    """

    ordering: Ordering | None = None
    page: PageNumber = 1
    page_size: PageSize = None


@frozen(kw_only=True)
class TaskExportQuery(WorkItemConditions):
    """Filters and format of an export of tasks."""

    format: Literal["csv", "json"] = "csv"


@frozen(kw_only=True, slots=False)
class BulkItemBody:
    """What became of one task; `code` and `detail` say why it was refused."""

    id: int
    outcome: Literal["changed", "unchanged", "refused"]
    code: str | None
    detail: str | None


@frozen(kw_only=True, slots=False)
class BulkBody:
    """What became of the tasks of a bulk edit."""

    changed: int
    refused: int
    results: Sequence[BulkItemBody]


@frozen(kw_only=True)
class TaskRoutes:
    """Tasks, called work items in the code."""

    work_items: WorkItemService
    bulk: BulkService
    markdown: Markdown

    def list(self, request: ApiRequest[object, TaskQuery]) -> ApiResponse:
        """Return a page of tasks, with highlights if there is a search."""
        query = request.query
        part = make_slice(request, query.page, query.page_size)
        order = _ordering(query)
        found, total = self.work_items.list(request.actor, query, order, part.offset, part.size)
        return numbered_page(request, part, [*map(_listed, found)], total)

    def create(self, request: ApiRequest[NewWorkItem]) -> ApiResponse:
        """Create a task; the caller is its reporter."""
        view = self.work_items.create(request.actor, request.body)
        return _response(view, 201, Location=f"{BASE}/{view.item.id}")

    def get(self, request: ApiRequest) -> ApiResponse:
        """Return one task with its comments."""
        detail = self.work_items.get(request.actor, task_id(request))
        headers = etag_header(detail.view.item.version)
        return ApiResponse(body=task_detail_body(detail, self.markdown), headers=headers)

    def replace(self, request: ApiRequest[NewWorkItem]) -> ApiResponse:
        """Replace the editable fields of a task."""
        version = self._version(request)
        view = self.work_items.replace(
            request.actor, task_id(request), request.body, version=version
        )
        return _response(view)

    def change(self, request: ApiRequest[Mapping[str, Any]]) -> ApiResponse:
        """Change the given fields of a task."""
        version = self._version(request)
        view = self.work_items.change(
            request.actor, task_id(request), request.body, version=version
        )
        return _response(view)

    def delete(self, request: ApiRequest) -> ApiResponse:
        """Delete a task."""
        version = self._version(request)
        self.work_items.delete(request.actor, task_id(request), version=version)
        return ApiResponse(status=204)

    def assign(self, request: ApiRequest[Assignment]) -> ApiResponse:
        """Assign a task to a member, or unassign it."""
        return _response(self.work_items.assign(request.actor, task_id(request), request.body))

    def move(self, request: ApiRequest[Move]) -> ApiResponse:
        """Move a task to another column or place."""
        return _response(self.work_items.move(request.actor, task_id(request), request.body))

    def watch(self, request: ApiRequest) -> ApiResponse:
        """Let the caller watch a task."""
        return _response(self.work_items.watch(request.actor, task_id(request), on=True))

    def unwatch(self, request: ApiRequest) -> ApiResponse:
        """Let the caller no longer watch a task."""
        self.work_items.watch(request.actor, task_id(request), on=False)
        return ApiResponse(status=204)

    def edit_many(self, request: ApiRequest[BulkEdit]) -> ApiResponse:
        """Change many tasks; 409 with the same body if an atomic edit is refused."""
        try:
            return ApiResponse(body=_bulk_body(self.bulk.edit(request.actor, request.body)))
        except BulkRefused as error:
            return ApiResponse(status=409, body=_bulk_body(error.result))

    def export(self, request: ApiRequest[object, TaskExportQuery]) -> ApiResponse:
        """Return all tasks that match, as CSV or JSON."""
        views = self.work_items.export(request.actor, request.query)
        return export_response(request.query.format, views)

    def make_check(self, action: Action) -> Any:
        """Return a check that the caller may perform an action on the task in the path."""
        return lambda request: self.work_items.check_access(request.actor, task_id(request), action)

    def _version(self, request: ApiRequest[Any]) -> int | None:
        current = self.work_items.version(request.actor, task_id(request))
        return request.expected_version(current)


def task_id(request: ApiRequest) -> WorkItemId:
    """Return the id of the task in a path."""
    return WorkItemId(request.ids["task_id"])


def _listed(found: ListedWorkItem) -> TaskBody:
    if found.highlights is None:
        return task_body(found.view)
    return task_body(found.view, copy_fields(HighlightsBody, found.highlights))


def _ordering(query: TaskQuery) -> Sequence[str]:
    if query.ordering is not None:
        return parse_ordering(query.ordering, ORDERINGS, "ordering")
    if query.search:
        return ("relevance",)
    return ("-created_at",) if query.board is None else ("position",)


def _response(view: WorkItemView, status: int = 200, **headers: str) -> ApiResponse:
    headers = {**etag_header(view.item.version), **headers}
    return ApiResponse(status=status, body=task_body(view), headers=headers)


def _bulk_body(result: BulkResult) -> BulkBody:
    results = [copy_fields(BulkItemBody, each) for each in result.results]
    return BulkBody(changed=result.changed, refused=result.refused, results=results)


def operations(routes: TaskRoutes) -> Sequence[AnyOperation]:
    """Return the operations on tasks."""
    return (*_list_operations(routes), *_item_operations(routes), *_action_operations(routes))


def _list_operations(routes: TaskRoutes) -> Sequence[AnyOperation]:
    return (
        Operation(
            method="GET", path=BASE, name="list_tasks",
            summary="List and search the tasks of the current user's projects.",
            handler=routes.list, query=TaskQuery, responses={200: ListOf(TaskBody)},
            errors=(404,), tag="tasks",
        ),
        Operation(
            method="POST", path=BASE, name="create_task",
            summary="Create a task at the end of a board; the current user reports it.",
            handler=routes.create, request=NewWorkItem, responses={201: TaskBody}, errors=(409,),
            tag="tasks",
        ),
        Operation(
            method="POST", path=f"{BASE}/bulk", name="edit_tasks",
            summary="Change up to 500 tasks, all or each for itself, or only say what would change.",
            handler=routes.edit_many, request=BulkEdit, responses={200: BulkBody, 409: BulkBody},
            tag="tasks",
        ),
        Operation(
            method="GET", path=f"{BASE}/export", name="export_tasks",
            summary="Download all tasks that match, as CSV or JSON.", handler=routes.export,
            query=TaskExportQuery, media_types=(CSV, JSON), tag="tasks",
        ),
    )  # fmt: skip


def _item_operations(routes: TaskRoutes) -> Sequence[AnyOperation]:
    style: dict[str, Any] = {"tag": "tasks", "etag": True}
    written: dict[str, Any] = {
        "exists": routes.make_check(Action.WRITE_TASKS), "errors": (409,), **style,
    }  # fmt: skip
    body = {200: TaskBody}
    return (
        Operation(
            method="GET", path=ONE, name="get_task", summary="Get a task with its comments.",
            handler=routes.get, responses={200: TaskDetailBody}, **style,
        ),
        Operation(
            method="PUT", path=ONE, name="replace_task",
            summary="Replace the editable fields of a task.", handler=routes.replace,
            request=NewWorkItem, responses=body, **written,
        ),
        PartialOperation(
            method="PATCH", path=ONE, name="change_task", summary="Change fields of a task.",
            handler=routes.change, request=NewWorkItem, responses=body, **written,
        ),
        Operation(
            method="DELETE", path=ONE, name="delete_task",
            summary="Delete a task: any as a manager, one that one has reported as a member.",
            handler=routes.delete, responses={204: None},
            exists=routes.make_check(Action.DELETE_TASK), errors=(409,), **style,
        ),
    )  # fmt: skip


def _action_operations(routes: TaskRoutes) -> Sequence[AnyOperation]:
    style: dict[str, Any] = {"tag": "tasks", "errors": (409,), "responses": {200: TaskBody}}
    written: dict[str, Any] = {"exists": routes.make_check(Action.WRITE_TASKS), **style}
    watched: dict[str, Any] = {
        "path": f"{ONE}/watch", "exists": routes.make_check(Action.WATCH_TASK), **style,
    }  # fmt: skip
    return (
        Operation(
            method="POST", path=f"{ONE}/assign", name="assign_task",
            summary="Assign a task to a member of its project, or unassign it.",
            handler=routes.assign, request=Assignment, **written,
        ),
        Operation(
            method="POST", path=f"{ONE}/move", name="move_task",
            summary="Move a task to another column, or next to another task of its board.",
            handler=routes.move, request=Move, **written,
        ),
        Operation(
            method="POST", name="watch_task", summary="Watch a task.", handler=routes.watch,
            **watched,
        ),
        Operation(
            method="DELETE", name="unwatch_task", summary="Stop watching a task.",
            handler=routes.unwatch, **(watched | {"responses": {204: None}}),
        ),
    )  # fmt: skip
