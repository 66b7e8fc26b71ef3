"""Repositories of projects, boards, tasks and comments; the transaction."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from workbell.domain.errors import Contended
from workbell.domain.identity.actor import Scope
from workbell.domain.identity.user import User, UserId
from workbell.domain.projects.board import Board, BoardId
from workbell.domain.projects.comment import Comment, CommentId
from workbell.domain.projects.project import Project, ProjectId, ProjectMember, ProjectRole
from workbell.domain.projects.work_item import (
    WorkItem,
    WorkItemId,
    WorkItemPriority,
    WorkItemStatus,
)
from workbell.domain.search.query import SearchQuery
from workbell.ports.identity.users import IdentityTx
from workbell.ports.notifications.repository import NotificationsTx
from workbell.ports.projects.sla import SlaTx
from workbell.ports.search import SearchSource, SearchTx


class RankTaken(Contended):
    """Another item of the board got the same rank first; retry with other neighbours."""


@frozen(kw_only=True)
class ProjectFilter:
    """Conditions of a list of projects; None means any. `search` matches part of the name."""

    is_archived: bool | None = None
    search: str | None = None


@frozen(kw_only=True)
class ProjectView:
    """A project with its owner and the numbers of its boards and members."""

    project: Project
    owner: User
    board_count: int
    member_count: int


@frozen(kw_only=True)
class ProjectMemberView:
    """A membership and its user."""

    member: ProjectMember
    user: User


@frozen(kw_only=True)
class BoardView:
    """A board with the number of its tasks in each status that has any."""

    board: Board
    counts: Mapping[WorkItemStatus, int]

    @property
    def task_count(self) -> int:
        """The number of tasks on the board."""
        return sum(self.counts.values())


@frozen(kw_only=True)
class WorkItemFilter:
    """Conditions of a list of tasks; None means any. Times are inclusive."""

    ids: Collection[WorkItemId] | None = None
    board_id: BoardId | None = None
    project_id: ProjectId | None = None
    statuses: Collection[WorkItemStatus] | None = None
    priorities: Collection[WorkItemPriority] | None = None
    assignee_id: UserId | None = None
    reporter_id: UserId | None = None
    label: str | None = None
    is_sla_breached: bool | None = None
    due_from: datetime | None = None
    due_to: datetime | None = None
    search: SearchQuery | None = None


@frozen(kw_only=True)
class WorkItemView:
    """A task with its people; `score` is set in lists ordered by relevance."""

    item: WorkItem
    reporter: User
    assignee: User | None
    watchers: Sequence[UserId] = ()
    score: float = 0.0


@frozen(kw_only=True)
class CommentView:
    """A comment and its author."""

    comment: Comment
    author: User


class ProjectRepository(Protocol):
    """
    Projects that are not deleted.

    A scope covers the projects of which its owner is a member.
    """

    def add(self, project: Project) -> Project:
        """Insert a project and return it with its id."""

    def get(self, scope: Scope, project_id: ProjectId) -> Project:
        """Return a project in the scope, or raise NotFound."""

    def get_for_update(self, scope: Scope, project_id: ProjectId) -> Project:
        """Return a project in the scope and lock its row, or raise NotFound."""

    def get_for_write(self, scope: Scope, project_id: ProjectId) -> Project:
        """
        Return a project in the scope and hold a shared lock on its row.

        Writes inside a project hold it, so that archiving, which updates the row,
        waits for them and they for it; they do not wait for one another.
        """

    def replace(self, project: Project) -> None:
        """Update a project; the caller holds its row."""

    def view(self, scope: Scope, project_id: ProjectId) -> ProjectView:
        """Return one project with its numbers, or raise NotFound."""

    def list_page(
        self,
        scope: Scope,
        filters: ProjectFilter,
        *,
        ordering: Sequence[str] = ("-created_at",),
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[ProjectView], int]:
        """
        Return a page of projects, and their number up to `COUNT_CAP` + 1.

        `ordering` holds `created_at`, `updated_at` or `name`, "-" for descending.
        """


class ProjectMemberRepository(Protocol):
    """Members of projects. Lock the project before changing its members."""

    def add(self, member: ProjectMember) -> ProjectMember:
        """Insert a member and return it with its id; Conflict if it exists."""

    def find(self, project_id: ProjectId, user_id: UserId) -> ProjectMember | None:
        """Return a user's membership, or None."""

    def replace(self, member: ProjectMember) -> None:
        """Update the role of a member."""

    def remove(self, project_id: ProjectId, user_id: UserId) -> bool:
        """Delete a membership and the user's watches in the project; False without one."""

    def list_of(self, project_ids: Collection[ProjectId]) -> Sequence[ProjectMemberView]:
        """Return the members of projects, by project and time of joining."""

    def roles(
        self, project_id: ProjectId, user_ids: Collection[UserId]
    ) -> Mapping[UserId, ProjectRole]:
        """Return the roles of those users who are members."""

    def by_username(self, project_id: ProjectId, usernames: Collection[str]) -> Sequence[UserId]:
        """Return the members with one of the usernames, regardless of case."""

    def administered_by(self, user_id: UserId) -> Sequence[ProjectId]:
        """Return the projects in which the user has the role ADMIN."""


class BoardRepository(Protocol):
    """Boards that are not deleted, of projects that are not deleted."""

    def add(self, board: Board) -> Board:
        """Insert a board and return it with its id."""

    def get(self, scope: Scope, board_id: BoardId) -> Board:
        """Return a board in the scope, or raise NotFound."""

    def get_for_update(self, scope: Scope, board_id: BoardId) -> Board:
        """Return a board in the scope and lock its row, or raise NotFound."""

    def find_many(self, scope: Scope, board_ids: Collection[BoardId]) -> Sequence[Board]:
        """Return those of the boards that are in the scope."""

    def replace(self, board: Board) -> None:
        """Update a board; the caller holds its row."""

    def view(self, scope: Scope, board_id: BoardId) -> BoardView:
        """Return one board with its numbers, or raise NotFound."""

    def last_position(self, project_id: ProjectId) -> int:
        """Return the highest position of the project's boards; 0 without boards."""

    def list_page(
        self,
        scope: Scope,
        *,
        project_id: ProjectId | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[BoardView], int]:
        """Return a page of boards by project, position and id, and their number up to the cap."""


class WorkItemRepository(SearchSource, Protocol):
    """
    Tasks that are not deleted, on boards and in projects that are not deleted.

    Writes raise RankTaken if the board has the item's rank already.
    """

    def add(self, item: WorkItem) -> WorkItem:
        """Insert an item and return it with its id."""

    def get(self, scope: Scope, item_id: WorkItemId) -> WorkItem:
        """Return an item in the scope, or raise NotFound."""

    def get_for_update(self, scope: Scope, item_id: WorkItemId) -> WorkItem:
        """Return an item in the scope and lock its row, or raise NotFound."""

    def lock_many(self, scope: Scope, item_ids: Collection[WorkItemId]) -> Sequence[WorkItem]:
        """Lock those of the items that are in the scope and return them by id."""

    def replace(self, item: WorkItem) -> None:
        """Update an item, except comment count and SLA columns; the caller holds its row."""

    def move(self, item_id: WorkItemId, rank: str) -> None:
        """Update the rank of an item, and nothing else."""

    def set_sla(self, item_id: WorkItemId, due_at: datetime | None, *, is_breached: bool) -> None:
        """Update the SLA columns of an item, and nothing else."""

    def count_comment(self, item_id: WorkItemId, change: int) -> None:
        """Add to the comment count of an item, in one statement."""

    def find_on_board(self, board_id: BoardId, item_id: WorkItemId) -> WorkItem | None:
        """Return an item of a board, also a deleted one; None if it has no such item."""

    def neighbour_ranks(self, board_id: BoardId, rank: str) -> tuple[str | None, str | None]:
        """Return the ranks before and after a rank on a board, including deleted items."""

    def end_rank(self, board_id: BoardId, *, last: bool) -> str | None:
        """Return the first or last rank of a board; None if it is empty."""

    def ids_by_rank(self, board_id: BoardId) -> Sequence[WorkItemId]:
        """Return the ids of a board's items in order, including deleted ones."""

    def replace_ranks(self, board_id: BoardId, ranks: Mapping[WorkItemId, str]) -> None:
        """Update the ranks of all items of a board; the caller holds the board's row."""

    def view(self, scope: Scope, item_id: WorkItemId) -> WorkItemView:
        """Return one item with its people, or raise NotFound."""

    def list_page(
        self,
        scope: Scope,
        filters: WorkItemFilter,
        *,
        ordering: Sequence[str] = ("-created_at",),
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[WorkItemView], int]:
        """
        Return a page of items, and their number up to `COUNT_CAP` + 1.

        The number of matches of a search stops at `MAX_MATCHES` + 1. By relevance the
        newest `MAX_MATCHES` come first; older ones follow by id, with the score 0.
        `ordering` holds `position`, `created_at`, `updated_at`, `due_date`,
        `priority`, `status`, `title`, `sla_due_at` or `relevance` (with a search),
        "-" for descending; the id breaks ties, and missing times come last.
        """

    def list_after(
        self, scope: Scope, filters: WorkItemFilter, after: WorkItemId, *, limit: int
    ) -> Sequence[WorkItemView]:
        """Return the items that match with ids above `after`, by id, at most `limit`."""

    def purge(self, before: datetime, *, limit: int) -> int:
        """Delete items that were deleted before a time, with what belongs to them."""


class CommentRepository(Protocol):
    """Comments, including deleted ones; their items are not deleted."""

    def add(self, comment: Comment) -> Comment:
        """Insert a comment and return it with its id."""

    def get(self, scope: Scope, comment_id: CommentId) -> Comment:
        """Return a comment in the scope that is not deleted, or raise NotFound."""

    def get_for_update(self, scope: Scope, comment_id: CommentId) -> Comment:
        """Return the same and lock its row, or raise NotFound."""

    def find_on_item(self, item_id: WorkItemId, comment_id: CommentId) -> Comment | None:
        """Return a comment on an item, also a deleted one; None if it has no such comment."""

    def replace(self, comment: Comment) -> None:
        """Update content, edit and deletion time of a comment."""

    def list_page(
        self, item_id: WorkItemId, *, offset: int = 0, limit: int = 100
    ) -> tuple[Sequence[CommentView], int]:
        """
        Return threads of an item and their number up to the cap.

        `offset` and `limit` count comments on the item itself, oldest first; each is
        followed by all comments below it, by id.
        """

    def contents(self, item_ids: Collection[WorkItemId]) -> Mapping[WorkItemId, Sequence[str]]:
        """Return the contents of the comments on items, by id, without deleted ones."""


class WatcherRepository(Protocol):
    """Users who watch work items."""

    def add(self, item: WorkItem, user_id: UserId) -> bool:
        """Let a user watch an item; False if they do already."""

    def remove(self, item_id: WorkItemId, user_id: UserId) -> bool:
        """Let a user no longer watch an item; False if they did not."""

    def list_of(self, item_id: WorkItemId) -> Sequence[UserId]:
        """Return the users who watch an item, by id."""


class ProjectsTx(SlaTx, SearchTx, NotificationsTx, IdentityTx, Protocol):
    """A transaction over projects, the search index, notifications, jobs and users."""

    @property
    def projects(self) -> ProjectRepository:
        """The projects."""

    @property
    def project_members(self) -> ProjectMemberRepository:
        """The members of projects."""

    @property
    def boards(self) -> BoardRepository:
        """The boards."""

    @property
    def work_items(self) -> WorkItemRepository:
        """The work items."""

    @property
    def comments(self) -> CommentRepository:
        """The comments."""

    @property
    def watchers(self) -> WatcherRepository:
        """The watchers."""
