"""Conversion between rows and the objects of projects."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from attrs import asdict
from sqlalchemy import Connection, select

from workbell.adapters.sql.database.rows import RowReader
from workbell.adapters.sql.database.statements import PreparedListStatement, PreparedStatement
from workbell.adapters.sql.identity.users import user_from_row
from workbell.adapters.sql.schema.projects import (
    boards,
    comments,
    project_members,
    projects,
    work_items,
)
from workbell.adapters.sql.schema.tables import users
from workbell.domain.errors import NotFound
from workbell.domain.identity.user import User, UserId
from workbell.domain.projects.board import Board, BoardColumn
from workbell.domain.projects.comment import Comment
from workbell.domain.projects.project import Project, ProjectMember, ProjectRole
from workbell.domain.projects.work_item import (
    WorkItem,
    WorkItemId,
    WorkItemPriority,
    WorkItemStatus,
)

STATUSES, PRIORITIES = tuple(WorkItemStatus), tuple(WorkItemPriority)
"""Statuses and priorities by their stored numbers."""
STATUS_NUMBERS = {status: number for number, status in enumerate(STATUSES)}
PRIORITY_NUMBERS = {priority: number for number, priority in enumerate(PRIORITIES)}
PROJECT_READER, MEMBER_READER, BOARD_READER, ITEM_READER, COMMENT_READER = (
    RowReader.of(table) for table in (projects, project_members, boards, work_items, comments)
)
_USERS = PreparedListStatement(lambda ids: select(users).where(users.c.id.in_(ids)))

_CONTENTS = PreparedListStatement(
    lambda ids: (
        select(comments.c.work_item_id, comments.c.content)
        .where(comments.c.work_item_id.in_(ids), comments.c.deleted_at.is_(None))
        .order_by(comments.c.id)
    )
)


def find_users(db: Connection, user_ids: Iterable[UserId]) -> Mapping[UserId, User]:
    """Return users by id."""
    found = (user_from_row(db, row) for row in _USERS.fetch_all(db, sorted(set(user_ids))))
    return {user.id: user for user in found}


def find_contents(
    db: Connection, item_ids: Iterable[WorkItemId]
) -> Mapping[WorkItemId, Sequence[str]]:
    """Return the contents of the comments on items, by id, without deleted ones."""
    found: dict[WorkItemId, list[str]] = {}
    for item_id, content in _CONTENTS.fetch_all(db, sorted(set(item_ids))):
        found.setdefault(item_id, []).append(content)
    return found


def project_from_row(db: Connection, row: Sequence[Any]) -> Project:
    """Convert a driver's row of all columns to a project."""
    return Project(**PROJECT_READER.read(db, row))


def member_from_row(db: Connection, row: Sequence[Any]) -> ProjectMember:
    """Convert a driver's row of all columns to a membership."""
    values = MEMBER_READER.read(db, row)
    return ProjectMember(**values | {"role": ProjectRole(values["role"])})


def board_from_row(db: Connection, row: Sequence[Any]) -> Board:
    """Convert a driver's row of all columns to a board."""
    values = BOARD_READER.read(db, row)
    columns = [
        BoardColumn(**column | {"status": WorkItemStatus(column["status"])})
        for column in values["columns"]
    ]
    transitions = values["transitions"]
    if transitions is not None:
        transitions = {
            WorkItemStatus(before): tuple(WorkItemStatus(status) for status in after)
            for before, after in transitions.items()
        }
    return Board(**values | {"columns": tuple(columns), "transitions": transitions})


def board_values(board: Board) -> dict[str, Any]:
    """Return the columns of a board, except its id."""
    return _without_id(asdict(board, recurse=False)) | {
        "columns": [asdict(column) for column in board.columns]
    }


def read_visible(
    db: Connection, query: PreparedStatement, item_id: WorkItemId, member: int
) -> WorkItem:
    """Return the work item that a query finds for an id and a member, or raise NotFound."""
    rows = query.fetch_all(db, (item_id, member))
    if not rows:
        raise NotFound(f"There is no task {item_id}.")
    return item_from_row(db, rows[0])


def item_from_row(db: Connection, row: Sequence[Any]) -> WorkItem:
    """Convert a driver's row of all columns to a work item."""
    return item_from_values(ITEM_READER.read(db, row))


def item_from_values(values: dict[str, Any]) -> WorkItem:
    """Convert the columns of a row to a work item; the dictionary is modified."""
    hundredths = values.pop("estimated_hundredths")
    return WorkItem(
        **values
        | {
            "status": STATUSES[values["status"]],
            "priority": PRIORITIES[values["priority"]],
            "labels": tuple(values["labels"]),
            "estimated_hours": None if hundredths is None else Decimal(hundredths) / 100,
        }
    )


def item_values(item: WorkItem) -> dict[str, Any]:
    """Return the columns of a work item, except its id."""
    values = _without_id(asdict(item, recurse=False))
    hours: Decimal | None = values.pop("estimated_hours")
    return values | {
        "status": STATUS_NUMBERS[item.status],
        "priority": PRIORITY_NUMBERS[item.priority],
        "labels": list(item.labels),
        "estimated_hundredths": None if hours is None else _hundredths(hours),
    }


def comment_from_row(db: Connection, row: Sequence[Any]) -> Comment:
    """Convert a driver's row of all columns to a comment."""
    values = COMMENT_READER.read(db, row)
    del values["root_id"]
    return Comment(**values)


def comment_values(comment: Comment) -> dict[str, Any]:
    """Return the columns of a comment, except its id and `root_id`."""
    return _without_id(asdict(comment))


def _hundredths(hours: Decimal) -> int:
    return int((Decimal(hours) * 100).to_integral_value(ROUND_HALF_UP))


def _without_id(values: dict[str, Any]) -> dict[str, Any]:
    del values["id"]
    return values
