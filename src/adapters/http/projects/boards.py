"""Boards over HTTP."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from workbell.adapters.http.projects.views import BoardBody, board_body
from workbell.adapters.http.web.operations import (
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
    PartialOperation,
)
from workbell.adapters.http.web.pagination import PageQuery, make_slice, numbered_page
from workbell.adapters.http.web.request import etag_header
from workbell.domain.identity.permissions import Action
from workbell.domain.projects.board import BoardId
from workbell.domain.projects.project import ProjectId
from workbell.ports.projects.repository import BoardView
from workbell.services.projects.boards import BoardService
from workbell.services.projects.requests import BoardChange, NewBoard, optional_id

BASE = "/api/v1/projects/boards"
ONE = f"{BASE}/{{board_id}}"


@frozen(kw_only=True)
class BoardQuery(PageQuery):
    """Filter and page of a list of boards."""

    project: int | None = None


@frozen(kw_only=True)
class BoardRoutes:
    """Boards of projects."""

    boards: BoardService

    def list(self, request: ApiRequest[object, BoardQuery]) -> ApiResponse:
        """Return a page of boards by project and position."""
        query = request.query
        part = make_slice(request, query.page, query.page_size)
        project = optional_id(ProjectId, query.project)
        found, total = self.boards.list(request.actor, project, part.offset, part.size)
        return numbered_page(request, part, [*map(board_body, found)], total)

    def create(self, request: ApiRequest[NewBoard]) -> ApiResponse:
        """Create a board."""
        view = self.boards.create(request.actor, request.body)
        return _response(view, 201, Location=f"{BASE}/{view.board.id}")

    def get(self, request: ApiRequest) -> ApiResponse:
        """Return one board."""
        return _response(self.boards.get(request.actor, board_id(request)))

    def replace(self, request: ApiRequest[BoardChange]) -> ApiResponse:
        """Replace the editable fields of a board."""
        version = self._version(request)
        view = self.boards.replace(request.actor, board_id(request), request.body, version=version)
        return _response(view)

    def change(self, request: ApiRequest[Mapping[str, Any]]) -> ApiResponse:
        """Change the given fields of a board."""
        version = self._version(request)
        view = self.boards.change(request.actor, board_id(request), request.body, version=version)
        return _response(view)

    def delete(self, request: ApiRequest) -> ApiResponse:
        """Delete a board with its tasks."""
        self.boards.delete(request.actor, board_id(request), version=self._version(request))
        return ApiResponse(status=204)

    def check_managed(self, request: ApiRequest) -> None:
        """Raise unless the caller may manage the board in the path."""
        self.boards.check_access(request.actor, board_id(request), Action.MANAGE_BOARDS)

    def _version(self, request: ApiRequest[Any]) -> int | None:
        view = self.boards.get(request.actor, board_id(request))
        return request.expected_version(view.board.version)


def board_id(request: ApiRequest) -> BoardId:
    """Return the id of the board in a path."""
    return BoardId(request.ids["board_id"])


def _response(view: BoardView, status: int = 200, **headers: str) -> ApiResponse:
    headers = {**etag_header(view.board.version), **headers}
    return ApiResponse(status=status, body=board_body(view), headers=headers)


def operations(routes: BoardRoutes) -> Sequence[AnyOperation]:
    """Return the operations on boards."""
    style: dict[str, Any] = {"tag": "projects"}
    managed: dict[str, Any] = {
        "exists": routes.check_managed, "errors": (409,), "etag": True, **style,
    }  # fmt: skip
    body = {200: BoardBody}
    return (
        Operation(
            method="GET", path=BASE, name="list_boards",
            summary="List boards by project and position.", handler=routes.list,
            query=BoardQuery, responses={200: ListOf(BoardBody)}, errors=(404,), **style,
        ),
        Operation(
            method="POST", path=BASE, name="create_board", summary="Create a board in a project.",
            handler=routes.create, request=NewBoard, responses={201: BoardBody}, errors=(409,),
            **style,
        ),
        Operation(
            method="GET", path=ONE, name="get_board", summary="Get a board with its columns.",
            handler=routes.get, responses=body, etag=True, **style,
        ),
        Operation(
            method="PUT", path=ONE, name="replace_board",
            summary="Replace the editable fields of a board.", handler=routes.replace,
            request=BoardChange, responses=body, **managed,
        ),
        PartialOperation(
            method="PATCH", path=ONE, name="change_board", summary="Change a board.",
            handler=routes.change, request=BoardChange, responses=body, **managed,
        ),
        Operation(
            method="DELETE", path=ONE, name="delete_board",
            summary="Delete a board with its tasks, of which there may be 1,000.",
            handler=routes.delete, responses={204: None}, **managed,
        ),
    )  # fmt: skip
