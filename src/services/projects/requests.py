"""Requests of projects, before validation."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from attrs import frozen

from workbell.domain.constraints import Constraints, Instant
from workbell.domain.projects.board import (
    DEFAULT_COLUMNS,
    Board,
    BoardColumn,
    BoardName,
)
from workbell.domain.projects.comment import Content
from workbell.domain.projects.project import Project, ProjectName, ProjectRole
from workbell.domain.projects.work_item import (
    MAX_BULK,
    Description,
    EstimatedHours,
    Labels,
    Title,
    WorkItem,
    WorkItemPriority,
    WorkItemStatus,
)

T = TypeVar("T")
ObjectId = Annotated[int, Constraints(ge=1)]


@frozen(kw_only=True)
class NewProject:
    """A project to create."""

    name: ProjectName
    description: Description = ""


@frozen(kw_only=True)
class ProjectChange:
    """The editable fields of a project; `is_archived` archives and restores it."""

    name: ProjectName
    description: Description = ""
    is_archived: bool = False

    @classmethod
    def of(cls, project: Project) -> "ProjectChange":
        """Return a project's current fields, to merge a change into."""
        return cls(
            name=project.name,
            description=project.description,
            is_archived=project.is_archived,
        )


@frozen(kw_only=True)
class NewProjectMember:
    """A user to add to a project, or another role for a member."""

    user_id: ObjectId
    role: ProjectRole = ProjectRole.MEMBER


@frozen(kw_only=True)
class FormerProjectMember:
    """A member to remove from a project."""

    user_id: ObjectId


@frozen(kw_only=True)
class BoardChange:
    """
    The editable fields of a board.

    `transitions` maps a status to those that may follow it; null allows every
    change. Without a `position`, a new board follows the others.
    """

    name: BoardName
    description: Description = ""
    position: Annotated[int, Constraints(ge=0, le=1_000_000)] | None = None
    columns: Annotated[Sequence[BoardColumn], Constraints(min_length=1, max_length=5)] = (
        DEFAULT_COLUMNS
    )
    transitions: Mapping[WorkItemStatus, Sequence[WorkItemStatus]] | None = None

    @classmethod
    def of(cls, board: Board) -> "BoardChange":
        """Return a board's current fields, to merge a change into."""
        return cls(
            name=board.name,
            description=board.description,
            position=board.position,
            columns=board.columns,
            transitions=board.transitions,
        )


@frozen(kw_only=True)
class NewBoard(BoardChange):
    """A board to create in a project."""

    project: ObjectId


@frozen(kw_only=True)
class NewWorkItem:
    """
    A task to create, or the editable fields of one.

    Without a `status` a new task is in the backlog, or in the first column of a
    board that has no backlog.
    """

    title: Title
    board: ObjectId
    description: Description = ""
    status: WorkItemStatus | None = None
    priority: WorkItemPriority = WorkItemPriority.MEDIUM
    assignee: ObjectId | None = None
    labels: Labels = ()
    due_date: Instant | None = None
    estimated_hours: EstimatedHours | None = None

    @classmethod
    def of(cls, item: WorkItem) -> "NewWorkItem":
        """Return a task's current fields, to merge a change into."""
        return cls(
            title=item.title,
            board=item.board_id,
            description=item.description,
            status=item.status,
            priority=item.priority,
            assignee=item.assignee_id,
            labels=item.labels,
            due_date=item.due_date,
            estimated_hours=item.estimated_hours,
        )


@frozen(kw_only=True)
class Assignment:
    """The assignee of a task; null removes the assignee."""

    assignee_id: ObjectId | None


@frozen(kw_only=True)
class Move:
    """
    Another column or place on the board.

    `before` and `after` name a task of the same board, also one that has been
    deleted, next to which the task is placed.
    """

    status: WorkItemStatus | None = None
    before: ObjectId | None = None
    after: ObjectId | None = None


@frozen(kw_only=True)
class BulkChange:
    """The fields that a bulk edit sets; omitted ones stay as they are."""

    status: WorkItemStatus
    priority: WorkItemPriority
    assignee: ObjectId | None
    due_date: Instant | None
    board: ObjectId
    estimated_hours: EstimatedHours | None
    labels_add: Labels
    labels_remove: Labels


@frozen(kw_only=True)
class BulkEdit:
    """
    One change of many tasks.

    `set` has at least one field of `BulkChange`. Mode `atomic` changes all tasks
    or none, `each` those that it can. With `dry_run` nothing is changed.
    """

    ids: Annotated[Sequence[ObjectId], Constraints(min_length=1, max_length=MAX_BULK)]
    set: Annotated[
        Mapping[str, Any],
        Constraints(
            min_length=1, max_length=8, partial_of=BulkChange, example={"priority": "HIGH"}
        ),
    ]
    mode: Literal["atomic", "each"] = "atomic"
    dry_run: bool = False


@frozen(kw_only=True)
class NewComment:
    """A comment on a task, or a reply to the comment `parent`."""

    content: Content
    parent: ObjectId | None = None


@frozen(kw_only=True)
class CommentChange:
    """Another content for a comment."""

    content: Content


def optional_id(kind: Callable[[int], T], number: int | None) -> T | None:
    """Return a number as an id of a kind; None stays None."""
    return None if number is None else kind(number)
