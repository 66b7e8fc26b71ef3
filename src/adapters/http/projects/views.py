"""Response bodies of projects, boards, tasks and comments."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from attrs import frozen

from workbell.adapters.http.identity.people import PersonBody, person_body
from workbell.adapters.http.web.mapping import copy_fields
from workbell.domain.constraints import Constraints
from workbell.domain.projects.board import BoardColumn
from workbell.domain.projects.comment import Comment
from workbell.domain.projects.project import ProjectRole
from workbell.domain.projects.work_item import Description, WorkItemPriority, WorkItemStatus
from workbell.ports.markdown import Markdown
from workbell.ports.projects.repository import (
    BoardView,
    CommentView,
    ProjectMemberView,
    WorkItemView,
)
from workbell.services.projects.projects import ProjectDetail
from workbell.services.projects.work_items import WorkItemDetail

Html = Annotated[str, Constraints(max_length=1_000_000, description="Inert HTML.")]


@frozen(kw_only=True, slots=False)
class ProjectMemberBody:
    """A member of a project."""

    user: PersonBody
    role: ProjectRole
    joined_at: datetime


@frozen(kw_only=True, slots=False)
class ProjectBody:
    """A project with its members."""

    id: int
    name: str
    description: Description
    owner: PersonBody
    members: Sequence[ProjectMemberBody]
    is_archived: bool
    board_count: int
    member_count: int
    created_at: datetime
    updated_at: datetime


@frozen(kw_only=True, slots=False)
class BoardBody:
    """
    A board with its columns.

    `wip_warnings` names the statuses whose columns hold more tasks than their
    limit. `transitions` is null if every change of status is allowed.
    """

    id: int
    name: str
    description: Description
    project: int
    position: int
    columns: Sequence[BoardColumn]
    transitions: Mapping[WorkItemStatus, Sequence[WorkItemStatus]] | None
    task_count: int
    wip_warnings: Sequence[WorkItemStatus]
    created_at: datetime
    updated_at: datetime
    version: int


@frozen(kw_only=True, slots=False)
class HighlightsBody:
    """Excerpts as HTML, in which the words of a search are marked."""

    title: str
    description: str
    comments: Sequence[str] = ()


@frozen(kw_only=True, slots=False)
class TaskBody:
    """
    A task of a board.

    `position` orders the tasks of a board: compare it as text, byte by byte.
    `highlights` is null without a search.
    """

    id: int
    title: str
    description: Description
    board: int
    project: int
    status: WorkItemStatus
    priority: WorkItemPriority
    assignee: int | None
    assignee_detail: PersonBody | None
    reporter: int
    reporter_detail: PersonBody
    labels: Sequence[str]
    watchers: Sequence[int]
    due_date: datetime | None
    sla_breached: bool
    sla_due_at: datetime | None
    estimated_hours: float | None
    comment_count: int
    position: str
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    version: int
    highlights: HighlightsBody | None = None


@frozen(kw_only=True, slots=False)
class CommentBody:
    """
    A comment and its replies.

    `content` is the Markdown as written, `content_html` its inert HTML. A deleted
    comment has an empty content and stays for its replies.
    """

    id: int
    author: PersonBody
    content: str
    content_html: Html
    parent: int | None
    deleted: bool
    created_at: datetime
    edited_at: datetime | None
    replies: "Sequence[CommentBody]" = ()


@frozen(kw_only=True, slots=False)
class TaskDetailBody(TaskBody):
    """A task with its first 100 threads of comments."""

    comments: Sequence[CommentBody] = ()


def member_body(view: ProjectMemberView) -> ProjectMemberBody:
    """Return the body of a member."""
    return copy_fields(ProjectMemberBody, view.member, user=person_body(view.user))


def project_body(detail: ProjectDetail) -> ProjectBody:
    """Return the body of a project."""
    view = detail.view
    return copy_fields(
        ProjectBody,
        view.project,
        owner=person_body(view.owner),
        members=[member_body(member) for member in detail.members],
        board_count=view.board_count,
        member_count=view.member_count,
    )


def board_body(view: BoardView) -> BoardBody:
    """Return the body of a board."""
    board = view.board
    return copy_fields(
        BoardBody,
        board,
        project=board.project_id,
        task_count=view.task_count,
        wip_warnings=board.exceeded_limits(view.counts),
    )


def task_body(
    view: WorkItemView,
    highlights: HighlightsBody | None = None,
    kind: type[TaskBody] = TaskBody,
    **extra: object,
) -> TaskBody:
    """Return the body of a task."""
    item = view.item
    return copy_fields(
        kind,
        item,
        board=item.board_id,
        project=item.project_id,
        assignee=item.assignee_id,
        assignee_detail=view.assignee and person_body(view.assignee),
        reporter=item.reporter_id,
        reporter_detail=person_body(view.reporter),
        watchers=view.watchers,
        sla_breached=item.is_sla_breached,
        estimated_hours=None if item.estimated_hours is None else float(item.estimated_hours),
        position=item.rank,
        highlights=highlights,
        **extra,
    )


def task_detail_body(detail: WorkItemDetail, markdown: Markdown) -> TaskBody:
    """Return the body of a task with its comments."""
    comments = thread_bodies(detail.comments, markdown)
    return task_body(detail.view, kind=TaskDetailBody, comments=comments)


def comment_body(
    view: CommentView, markdown: Markdown, replies: Sequence[CommentBody] = ()
) -> CommentBody:
    """Return the body of a comment."""
    comment = view.comment
    return copy_fields(
        CommentBody,
        comment,
        author=person_body(view.author),
        content_html=markdown.to_html(comment.content),
        parent=comment.parent_id,
        deleted=comment.deleted_at is not None,
        replies=replies,
    )


def thread_bodies(views: Sequence[CommentView], markdown: Markdown) -> Sequence[CommentBody]:
    """Return comments as trees, in the order given; parents precede their replies."""
    children: dict[int | None, list[CommentView]] = {}
    for view in views:
        children.setdefault(view.comment.parent_id, []).append(view)

    def build(comment: Comment | None) -> list[CommentBody]:
        found = children.get(None if comment is None else comment.id, [])
        return [comment_body(view, markdown, build(view.comment)) for view in found]

    return build(None)
