"""Projects, boards, tasks and comments of the contract tests."""

from typing import Any

from attrs import frozen

from tests.contract.factories import NOON, AnyStore, a_user
from workbell.domain.identity.actor import ALL_OWNERS, Scope
from workbell.domain.identity.user import User, UserId
from workbell.domain.projects.board import Board
from workbell.domain.projects.comment import Comment
from workbell.domain.projects.project import Project, ProjectMember, ProjectRole
from workbell.domain.projects.work_item import WorkItem
from workbell.ports.projects.repository import WorkItemFilter

NO_ONE = Scope(owner=UserId(99))
"""The scope of a user without projects."""


def a_project(owner: User, name: str = "Website", **fields: Any) -> Project:
    values: dict[str, Any] = {
        "name": name,
        "owner_id": owner.id,
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Project(**values | fields)


def a_member(
    project: Project, user: User, role: ProjectRole = ProjectRole.MEMBER, **fields: Any
) -> ProjectMember:
    values: dict[str, Any] = {
        "project_id": project.id,
        "user_id": user.id,
        "role": role,
        "joined_at": NOON,
    }
    return ProjectMember(**values | fields)


def a_board(project: Project, name: str = "Development", **fields: Any) -> Board:
    values: dict[str, Any] = {
        "project_id": project.id,
        "name": name,
        "position": 1,
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Board(**values | fields)


def an_item(board: Board, reporter: User, rank: str, **fields: Any) -> WorkItem:
    values: dict[str, Any] = {
        "project_id": board.project_id,
        "board_id": board.id,
        "title": f"Task {rank}",
        "reporter_id": reporter.id,
        "rank": rank,
        "created_at": NOON,
        "updated_at": NOON,
    }
    return WorkItem(**values | fields)


def a_comment(
    item: WorkItem, author: User, content: str = "A comment", parent: Comment | None = None,
    **fields: Any,
) -> Comment:  # fmt: skip
    values: dict[str, Any] = {
        "project_id": item.project_id,
        "work_item_id": item.id,
        "author_id": author.id,
        "content": content,
        "parent_id": parent and parent.id,
        "depth": parent.depth + 1 if parent else 1,
        "created_at": NOON,
    }
    return Comment(**values | fields)


@frozen
class Team:
    """A user who is the ADMIN of a project with one board."""

    user: User
    project: Project
    board: Board

    @property
    def scope(self) -> Scope:
        """The scope of the user."""
        return Scope(owner=self.user.id)

    @classmethod
    def create(cls, store: AnyStore, name: str) -> "Team":
        """Insert a user, their project and its board."""
        with store.begin() as tx:
            user = tx.users.add(a_user(name))
            project = tx.projects.add(a_project(user, f"{name}'s project"))
            tx.project_members.add(a_member(project, user, ProjectRole.ADMIN))
            board = tx.boards.add(a_board(project))
        return cls(user, project, board)


def add_item(store: AnyStore, team: Team, rank: str, **fields: Any) -> WorkItem:
    """Insert a task of a team's board."""
    with store.begin() as tx:
        return tx.work_items.add(an_item(team.board, team.user, rank, **fields))


def read(store: AnyStore, item: WorkItem) -> WorkItem:
    """Return the stored state of a task."""
    with store.view() as tx:
        return tx.work_items.get(ALL_OWNERS, item.id)


def listed(
    store: AnyStore, scope: Scope = ALL_OWNERS, *ordering: str, offset: int = 0, limit: int = 20,
    **filters: Any,
) -> list[str]:  # fmt: skip
    """Return the titles of a page of tasks; without a page, check their number."""
    order = ordering or ("position",)
    with store.view() as tx:
        views, total = tx.work_items.list_page(
            scope, WorkItemFilter(**filters), ordering=order, offset=offset, limit=limit
        )
    assert offset or limit < 20 or total == len(views)
    return [view.item.title.removeprefix("Task ") for view in views]
