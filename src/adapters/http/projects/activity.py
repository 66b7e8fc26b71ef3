"""The activity of projects and tasks over HTTP."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import frozen

from workbell.adapters.http.identity.people import PersonBody, person_body
from workbell.adapters.http.projects.projects import ONE as PROJECT
from workbell.adapters.http.projects.projects import project_id
from workbell.adapters.http.projects.work_items import ONE as TASK
from workbell.adapters.http.projects.work_items import task_id
from workbell.adapters.http.web.mapping import copy_fields
from workbell.adapters.http.web.operations import (
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
)
from workbell.adapters.http.web.pagination import CursorQuery, history_page
from workbell.services.projects.activity import ActivityEntry, ActivityService

Found = tuple[Sequence[ActivityEntry], int]


@frozen(kw_only=True, slots=False)
class ActivityBody:
    """A user's action; `changes` are values before and after, by field."""

    id: int
    user: int
    user_detail: PersonBody | None
    action: str
    model_name: str
    object_id: str
    changes: Mapping[str, Sequence[Any]]
    timestamp: datetime


@frozen(kw_only=True)
class ActivityRoutes:
    """The activity of projects and tasks, newest first."""

    activity: ActivityService

    def list_of_project(self, request: ApiRequest[object, CursorQuery]) -> ApiResponse:
        """Return a page of what was done in a project."""

        def find(before_id: int | None, offset: int, limit: int) -> Found:
            return self.activity.list_of_project(
                request.actor, project_id(request), before_id=before_id, offset=offset, limit=limit
            )

        return history_page(request, find, _body, _entry_id)

    def list_of_task(self, request: ApiRequest[object, CursorQuery]) -> ApiResponse:
        """Return a page of what was done to a task."""

        def find(before_id: int | None, offset: int, limit: int) -> Found:
            return self.activity.list_of_task(
                request.actor, task_id(request), before_id=before_id, offset=offset, limit=limit
            )

        return history_page(request, find, _body, _entry_id)


def _entry_id(found: ActivityEntry) -> int:
    return found.entry.id


def _body(found: ActivityEntry) -> ActivityBody:
    entry = found.entry
    return copy_fields(
        ActivityBody,
        entry,
        user=entry.user_id,
        user_detail=found.user and person_body(found.user),
        timestamp=entry.at,
    )


def operations(routes: ActivityRoutes) -> Sequence[AnyOperation]:
    """Return the operations on activities."""
    style: dict[str, Any] = {
        "method": "GET", "query": CursorQuery,
        "responses": {200: ListOf(ActivityBody, history=True)},
    }  # fmt: skip
    return (
        Operation(
            path=f"{PROJECT}/activity", name="list_project_activity", tag="projects",
            summary="List what was done in a project, newest first.",
            handler=routes.list_of_project, **style,
        ),
        Operation(
            path=f"{TASK}/activity", name="list_task_activity", tag="tasks",
            summary="List what was done to a task, newest first.", handler=routes.list_of_task,
            **style,
        ),
    )  # fmt: skip
