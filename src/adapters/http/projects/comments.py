"""Comments over HTTP."""

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from workbell.adapters.http.projects.views import CommentBody, comment_body, thread_bodies
from workbell.adapters.http.projects.work_items import BASE, task_id
from workbell.adapters.http.projects.work_items import ONE as TASK
from workbell.adapters.http.web.operations import (
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
)
from workbell.adapters.http.web.pagination import PageQuery, make_slice, numbered_page
from workbell.domain.identity.permissions import Action
from workbell.domain.projects.comment import CommentId
from workbell.ports.markdown import Markdown
from workbell.services.projects.comments import CommentService
from workbell.services.projects.requests import CommentChange, NewComment
from workbell.services.projects.work_items import WorkItemService

ONE = "/api/v1/comments/{comment_id}"


@frozen(kw_only=True)
class CommentRoutes:
    """Comments on tasks."""

    comments: CommentService
    work_items: WorkItemService
    markdown: Markdown

    def list(self, request: ApiRequest[object, PageQuery]) -> ApiResponse:
        """Return a page of threads on a task."""
        part = make_slice(request, request.query.page, request.query.page_size)
        found, total = self.comments.list(request.actor, task_id(request), part.offset, part.size)
        return numbered_page(request, part, thread_bodies(found, self.markdown), total)

    def add(self, request: ApiRequest[NewComment]) -> ApiResponse:
        """Add a comment to a task."""
        view = self.comments.add(request.actor, task_id(request), request.body)
        headers = {"Location": f"{BASE}/{task_id(request)}/comments"}
        return ApiResponse(status=201, body=comment_body(view, self.markdown), headers=headers)

    def edit(self, request: ApiRequest[CommentChange]) -> ApiResponse:
        """Replace the content of one of the caller's comments."""
        view = self.comments.edit(request.actor, comment_id(request), request.body)
        return ApiResponse(body=comment_body(view, self.markdown))

    def delete(self, request: ApiRequest) -> ApiResponse:
        """Delete the content of a comment."""
        self.comments.delete(request.actor, comment_id(request))
        return ApiResponse(status=204)

    def check_commentable(self, request: ApiRequest) -> None:
        """Raise unless the caller may comment on the task in the path."""
        self.work_items.check_access(request.actor, task_id(request), Action.COMMENT)

    def make_check(self, action: Action) -> Any:
        """Return a check that the caller may perform an action on the comment in the path."""
        return lambda request: self.comments.check_access(
            request.actor, comment_id(request), action
        )


def comment_id(request: ApiRequest) -> CommentId:
    """Return the id of the comment in a path."""
    return CommentId(request.ids["comment_id"])


def operations(routes: CommentRoutes) -> Sequence[AnyOperation]:
    """Return the operations on comments."""
    style: dict[str, Any] = {"tag": "tasks"}
    return (
        Operation(
            method="GET", path=f"{TASK}/comments", name="list_task_comments",
            summary="List the threads of comments on a task, oldest first.", handler=routes.list,
            query=PageQuery, responses={200: ListOf(CommentBody)}, **style,
        ),
        Operation(
            method="POST", path=f"{TASK}/add_comment", name="add_task_comment",
            summary="Comment on a task, or reply to a comment; @username mentions a member.",
            handler=routes.add, request=NewComment, responses={201: CommentBody}, errors=(409,),
            exists=routes.check_commentable, **style,
        ),
        Operation(
            method="PATCH", path=ONE, name="edit_comment",
            summary="Edit one of the current user's comments.", handler=routes.edit,
            request=CommentChange, responses={200: CommentBody}, errors=(409,),
            exists=routes.make_check(Action.EDIT_COMMENT), **style,
        ),
        Operation(
            method="DELETE", path=ONE, name="delete_comment",
            summary="Delete a comment; its replies stay.", handler=routes.delete,
            responses={204: None}, errors=(409,),
            exists=routes.make_check(Action.DELETE_COMMENT), **style,
        ),
    )  # fmt: skip
