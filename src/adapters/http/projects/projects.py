"""Projects and their members over HTTP."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from attrs import frozen

from workbell.adapters.http.projects.views import (
    ProjectBody,
    ProjectMemberBody,
    member_body,
    project_body,
)
from workbell.adapters.http.web.operations import (
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
    PartialOperation,
)
from workbell.adapters.http.web.pagination import OrderedQuery, Ordering, ordered_page
from workbell.adapters.http.web.query_types import FilterText
from workbell.domain.identity.permissions import Action
from workbell.domain.projects.project import ProjectId
from workbell.ports.projects.repository import ProjectFilter
from workbell.services.projects.project_members import ProjectMemberService
from workbell.services.projects.projects import ProjectDetail, ProjectService
from workbell.services.projects.requests import (
    FormerProjectMember,
    NewProject,
    NewProjectMember,
    ProjectChange,
)

BASE = "/api/v1/projects"
ONE = f"{BASE}/{{project_id}}"
ORDERINGS: Mapping[str, str] = {name: name for name in ("created_at", "updated_at", "name")}


@frozen(kw_only=True)
class ProjectQuery(OrderedQuery):
    """Filters, ordering and page of a list of projects."""

    is_archived: bool | None = None
    search: FilterText | None = None
    ordering: Ordering = "-created_at"


@frozen(kw_only=True)
class ProjectRoutes:
    """Projects and their members."""

    projects: ProjectService
    members: ProjectMemberService

    def list(self, request: ApiRequest[object, ProjectQuery]) -> ApiResponse:
        """Return a page of the projects that the caller may see."""
        query = request.query
        filters = ProjectFilter(is_archived=query.is_archived, search=query.search)
        find = partial(self.projects.list, request.actor, filters)
        return ordered_page(request, ORDERINGS, find, project_body)

    def create(self, request: ApiRequest[NewProject]) -> ApiResponse:
        """Create a project that the caller owns."""
        detail = self.projects.create(request.actor, request.body)
        return _response(detail, 201, Location=f"{BASE}/{detail.view.project.id}")

    def get(self, request: ApiRequest) -> ApiResponse:
        """Return one project."""
        return _response(self.projects.get(request.actor, project_id(request)))

    def replace(self, request: ApiRequest[ProjectChange]) -> ApiResponse:
        """Replace the editable fields of a project."""
        body = request.body
        updates = {
            "name": body.name,
            "description": body.description,
            "is_archived": body.is_archived,
        }
        return _response(self.projects.change(request.actor, project_id(request), updates))

    def change(self, request: ApiRequest[Mapping[str, Any]]) -> ApiResponse:
        """Change the given fields of a project."""
        return _response(self.projects.change(request.actor, project_id(request), request.body))

    def delete(self, request: ApiRequest) -> ApiResponse:
        """Delete a project with everything in it."""
        self.projects.delete(request.actor, project_id(request))
        return ApiResponse(status=204)

    def add_member(self, request: ApiRequest[NewProjectMember]) -> ApiResponse:
        """Add a member, or change the role of one."""
        view = self.members.add(request.actor, project_id(request), request.body)
        headers = {"Location": f"{BASE}/{project_id(request)}"}
        return ApiResponse(status=201, body=member_body(view), headers=headers)

    def remove_member(self, request: ApiRequest[FormerProjectMember]) -> ApiResponse:
        """Remove a member."""
        self.members.remove(request.actor, project_id(request), request.body)
        return ApiResponse(status=204)

    def check_leaving(self, request: ApiRequest) -> None:
        """Raise unless the caller may leave or manage the project in the path."""
        actions = (Action.MANAGE_PROJECT, Action.LEAVE_PROJECT)
        self.projects.check_access(request.actor, project_id(request), *actions)

    def check_managed(self, request: ApiRequest) -> None:
        """Raise unless the caller may manage the project in the path."""
        self.projects.check_access(request.actor, project_id(request), Action.MANAGE_PROJECT)


def project_id(request: ApiRequest) -> ProjectId:
    """Return the id of the project in a path."""
    return ProjectId(request.ids["project_id"])


def _response(detail: ProjectDetail, status: int = 200, **headers: str) -> ApiResponse:
    return ApiResponse(status=status, body=project_body(detail), headers=headers)


def operations(routes: ProjectRoutes) -> Sequence[AnyOperation]:
    """Return the operations on projects and members."""
    style: dict[str, Any] = {"tag": "projects"}
    managed: dict[str, Any] = {"exists": routes.check_managed, "errors": (409,), **style}
    body = {200: ProjectBody}
    return (
        Operation(
            method="GET", path=BASE, name="list_projects",
            summary="List the projects of which the current user is a member.",
            handler=routes.list, query=ProjectQuery, responses={200: ListOf(ProjectBody)},
            errors=(404,), **style,
        ),
        Operation(
            method="POST", path=BASE, name="create_project",
            summary="Create a project; the current user owns it and becomes an ADMIN.",
            handler=routes.create, request=NewProject, responses={201: ProjectBody}, **style,
        ),
        Operation(
            method="GET", path=ONE, name="get_project", summary="Get a project with its members.",
            handler=routes.get, responses=body, **style,
        ),
        Operation(
            method="PUT", path=ONE, name="replace_project",
            summary="Replace the editable fields of a project.",
            handler=routes.replace, request=ProjectChange, responses=body, **managed,
        ),
        PartialOperation(
            method="PATCH", path=ONE, name="change_project",
            summary="Change a project; `is_archived` archives it, which refuses all writes in it.",
            handler=routes.change, request=ProjectChange, responses=body, **managed,
        ),
        Operation(
            method="DELETE", path=ONE, name="delete_project",
            summary="Delete a project with its boards and tasks.",
            handler=routes.delete, responses={204: None}, **managed,
        ),
        Operation(
            method="POST", path=f"{ONE}/add_member", name="add_project_member",
            summary="Add a user to a project, or change the role of a member.",
            handler=routes.add_member, request=NewProjectMember,
            responses={201: ProjectMemberBody}, **managed,
        ),
        Operation(
            method="DELETE", path=f"{ONE}/remove_member", name="remove_project_member",
            summary="Remove a member and end their watches; members may also leave.",
            handler=routes.remove_member, request=FormerProjectMember, responses={204: None},
            exists=routes.check_leaving, errors=(409,), **style,
        ),
    )  # fmt: skip
