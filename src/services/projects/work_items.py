"""Use cases of tasks: create, list, change, assign, move, watch, delete."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import evolve, frozen

from workbell.domain.errors import Invalid, NotAllowed, NotFound
from workbell.domain.identity.actor import ALL_OWNERS, Actor, Scope
from workbell.domain.identity.permissions import Action, check_key
from workbell.domain.identity.user import UserId
from workbell.domain.projects.board import Board, BoardId
from workbell.domain.projects.work_item import WorkItem, WorkItemId, WorkItemStatus
from workbell.domain.validation import check_request
from workbell.ports.projects.repository import (
    CommentView,
    ProjectsTx,
    WorkItemFilter,
    WorkItemView,
)
from workbell.ports.serialization import Serializer
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.projects.access import (
    check_item_relation,
    get_board,
    get_reading_scope,
    get_work_item,
)
from workbell.services.projects.highlights import ListedWorkItem, list_with_highlights
from workbell.services.projects.listing import WorkItemConditions, make_filter
from workbell.services.projects.ranks import RankService
from workbell.services.projects.requests import Assignment, Move, NewWorkItem, optional_id
from workbell.services.projects.versions import check_version
from workbell.services.projects.work_item_writer import WorkItemWriter
from workbell.services.transaction_retry import retry_on_contention

SHOWN_THREADS = 100
EXPORT_PAGE = 500


@frozen(kw_only=True)
class WorkItemDetail:
    """A task with its people and its first 100 threads of comments."""

    view: WorkItemView
    comments: Sequence[CommentView]


@frozen(kw_only=True)
class WorkItemService:
    """
    Creates, lists, changes, assigns, moves, watches and deletes tasks.

    Methods that take a task id raise `NotFound` unless the actor may see its
    project, `NotAllowed` if they may only see it, and `ProjectArchived`. `version`
    is the version that the actor has seen (None: any); they raise `StaleVersion`
    if the task has another.
    """

    store: Store[ProjectsTx]
    clock: Clock
    serializer: Serializer
    writer: WorkItemWriter
    ranks: RankService

    @retry_on_contention
    def create(self, actor: Actor, new: NewWorkItem) -> WorkItemView:
        """
        Create a task at the end of a board; the actor is its reporter.

        Raises:
            Invalid: The actor may not see the board, or a field is wrong.
        """
        check_request(new)
        now = self.clock.now()
        with self.store.begin() as tx:
            board = find_board(tx, actor, new.board)
            status = board.first_status if new.status is None else new.status
            board.check_status(status)
            item = WorkItem(
                project_id=board.project_id,
                board_id=board.id,
                reporter_id=actor.user_id,
                title=new.title,
                rank="",
                created_at=now,
                updated_at=now,
            )
            item = apply_fields(tx, item, evolve(new, status=status), now)
            item = self.writer.add(tx, actor, item)
            return tx.work_items.view(get_reading_scope(actor), item.id)

    def list(
        self,
        actor: Actor,
        conditions: WorkItemConditions,
        ordering: Sequence[str],
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[ListedWorkItem], int]:
        """Return a page of the tasks that the actor may see, and their number."""
        filters = make_filter(conditions, self.serializer)
        with self.store.view() as tx:
            views, total = tx.work_items.list_page(
                get_reading_scope(actor), filters, ordering=ordering, offset=offset, limit=limit
            )
            return list_with_highlights(tx, views, filters.search), total

    def export(self, actor: Actor, conditions: WorkItemConditions) -> Iterator[WorkItemView]:
        """
        Return all tasks that the actor may see and that match, by id.

        They are read in pages while the caller iterates; no page holds a connection
        any longer than it is read, so a slow client blocks nothing.

        Raises:
            Invalid: A condition is wrong; before the first task is read.
        """
        filters = make_filter(conditions, self.serializer)
        return self._read_pages(get_reading_scope(actor), filters)

    def _read_pages(self, scope: Scope, filters: WorkItemFilter) -> Iterator[WorkItemView]:
        last, page = WorkItemId(0), EXPORT_PAGE
        while page == EXPORT_PAGE:
            with self.store.view() as tx:
                views = tx.work_items.list_after(scope, filters, last, limit=EXPORT_PAGE)
            yield from views
            page = len(views)
            last = views[-1].item.id if views else last

    def version(self, actor: Actor, item_id: WorkItemId) -> int:
        """Return the version of a task."""
        with self.store.view() as tx:
            return get_work_item(tx, actor, item_id, Action.READ_PROJECT).version

    def get(self, actor: Actor, item_id: WorkItemId) -> WorkItemDetail:
        """Return a task with its comments."""
        with self.store.view() as tx:
            item = get_work_item(tx, actor, item_id, Action.READ_PROJECT)
            view = tx.work_items.view(get_reading_scope(actor), item.id)
            comments, _ = tx.comments.list_page(item.id, limit=SHOWN_THREADS)
        return WorkItemDetail(view=view, comments=comments)

    def check_access(self, actor: Actor, item_id: WorkItemId, action: Action) -> None:
        """Raise NotFound or NotAllowed unless the actor may perform the action."""
        with self.store.view() as tx:
            check_item_relation(tx, actor, item_id, action)

    def change(
        self,
        actor: Actor,
        item_id: WorkItemId,
        updates: Mapping[str, Any],
        *,
        version: int | None = None,
    ) -> WorkItemView:
        """
        Change the given fields of a task.

        Raises:
            Invalid: A field is wrong.
            TransitionRefused: The board does not allow the change of status.
        """

        def merge(before: WorkItem) -> NewWorkItem:
            old = self.serializer.unstructure(NewWorkItem.of(before))
            return self.serializer.structure({**old, **updates}, NewWorkItem)

        return self._edit(actor, item_id, merge, version)

    def replace(
        self, actor: Actor, item_id: WorkItemId, new: NewWorkItem, *, version: int | None = None
    ) -> WorkItemView:
        """
        Replace all editable fields of a task; errors as `change`.

        Without a status the task gets that of a new task on its board.
        """
        check_request(new)
        return self._edit(actor, item_id, lambda _: new, version, resets_status=True)

    @retry_on_contention
    def _edit(
        self,
        actor: Actor,
        item_id: WorkItemId,
        make_change: Callable[[WorkItem], NewWorkItem],
        version: int | None,
        *,
        resets_status: bool = False,
    ) -> WorkItemView:
        now = self.clock.now()
        with self.store.begin() as tx:
            before = get_work_item(tx, actor, item_id, Action.WRITE_TASKS, lock=True)
            check_version(tx, "task", item_id, current=before.version, expected=version)
            new = make_change(before)
            if resets_status and new.status is None:
                new = evolve(new, status=find_board_of(tx, before, new.board).first_status)
            after = edit_item(tx, before, new, now)
            self.writer.save(tx, actor, before, after, now)
            return tx.work_items.view(get_reading_scope(actor), item_id)

    @retry_on_contention
    def assign(self, actor: Actor, item_id: WorkItemId, assignment: Assignment) -> WorkItemView:
        """
        Assign a task to a member of its project, or unassign it.

        Raises:
            Invalid: The user is not a member.
        """
        check_request(assignment)
        now = self.clock.now()
        with self.store.begin() as tx:
            before = get_work_item(tx, actor, item_id, Action.WRITE_TASKS, lock=True)
            assignee = assignment.assignee_id
            check_assignee(tx, before, assignee, "assignee_id")
            after = evolve(before, assignee_id=optional_id(UserId, assignee))
            self.writer.save(tx, actor, before, after, now, "ASSIGN")
            return tx.work_items.view(get_reading_scope(actor), item_id)

    @retry_on_contention
    def move(self, actor: Actor, item_id: WorkItemId, move: Move) -> WorkItemView:
        """
        Move a task to another column, another place, or both.

        It needs no version: the place is computed from the neighbours as they are.

        Raises:
            Invalid: A neighbour is not on the board, or nothing is asked for.
            TransitionRefused: The board does not allow the change of status.
        """
        check_request(move)
        if move == Move():
            raise Invalid.field("status", "is required without before or after")
        now = self.clock.now()
        with self.store.begin() as tx:
            before = get_work_item(tx, actor, item_id, Action.WRITE_TASKS, lock=True)
            after = before
            if move.status is not None:
                board = tx.boards.get(get_reading_scope(actor), BoardId(before.board_id))
                after = change_status(board, before, move.status, now)
            rank = self.ranks.rank_beside(tx, before, move, now)
            if after is not before:
                self.writer.save(tx, actor, before, evolve(after, rank=rank), now, "MOVE")
            elif rank != before.rank:
                tx.work_items.move(item_id, rank)
                changes = {"position": [before.rank, rank]}
                self.writer.audit(tx, actor, "MOVE", before, now, changes)
            return tx.work_items.view(get_reading_scope(actor), item_id)

    @retry_on_contention
    def watch(self, actor: Actor, item_id: WorkItemId, *, on: bool) -> WorkItemView:
        """Let the actor watch a task, or no longer watch it; either may be repeated."""
        now = self.clock.now()
        with self.store.begin() as tx:
            item = get_work_item(tx, actor, item_id, Action.WATCH_TASK)
            if on:
                changed = tx.watchers.add(item, actor.user_id)
            else:
                changed = tx.watchers.remove(item_id, actor.user_id)
            if changed:
                pair = [None, actor.user_id] if on else [actor.user_id, None]
                action = "WATCH" if on else "UNWATCH"
                self.writer.audit(tx, actor, action, item, now, {"watcher": pair})
            return tx.work_items.view(get_reading_scope(actor), item_id)

    @retry_on_contention
    def delete(self, actor: Actor, item_id: WorkItemId, *, version: int | None = None) -> None:
        """Delete a task; managers may delete any, members those that they reported."""
        now = self.clock.now()
        with self.store.begin() as tx:
            item = get_work_item(tx, actor, item_id, Action.DELETE_TASK, lock=True)
            check_version(tx, "task", item_id, current=item.version, expected=version)
            self.writer.delete(tx, actor, item, now)


def find_board(tx: ProjectsTx, actor: Actor, board_id: int) -> Board:
    """Return a board that a request names, on which the actor may write tasks."""
    check_key(actor, Action.WRITE_TASKS)
    try:
        return get_board(tx, actor, BoardId(board_id), Action.WRITE_TASKS)
    except NotFound:
        raise Invalid.field("board", "is not the id of a board") from None
    except NotAllowed:
        raise Invalid.field("board", "is not a board that you may use") from None


def find_board_of(tx: ProjectsTx, item: WorkItem, board_id: int) -> Board:
    """Return a board of a task's project; Invalid if it is no such board."""
    for board in tx.boards.find_many(ALL_OWNERS, [BoardId(board_id)]):
        if board.project_id == item.project_id:
            return board
    raise Invalid.field("board", "is not the id of a board of the same project")


def edit_item(tx: ProjectsTx, before: WorkItem, new: NewWorkItem, now: datetime) -> WorkItem:
    """
    Return a task with the fields of a request, which obey its board.

    Raises:
        Invalid: The board is in another project or has no column for the status, or
            a field is wrong.
        TransitionRefused: The board does not allow the change of status.
    """
    after = before
    status = before.status if new.status is None else new.status
    if new.board != before.board_id or status is not before.status:
        board = find_board_of(tx, before, new.board)
        if board.id != before.board_id:
            board.check_status(status)
            after = evolve(after, board_id=board.id)
        after = change_status(board, after, status, now)
    return apply_fields(tx, after, evolve(new, status=status), now)


def apply_fields(tx: ProjectsTx, item: WorkItem, new: NewWorkItem, now: datetime) -> WorkItem:
    """Return a task with the fields of a request, except the board."""
    if new.assignee != item.assignee_id:
        check_assignee(tx, item, new.assignee, "assignee")
    return evolve(
        item.in_status(new.status or item.status, now),
        title=new.title,
        description=new.description,
        priority=new.priority,
        assignee_id=optional_id(UserId, new.assignee),
        labels=tuple(dict.fromkeys(new.labels)),
        due_date=new.due_date,
        estimated_hours=new.estimated_hours,
    )


def change_status(board: Board, item: WorkItem, status: WorkItemStatus, now: datetime) -> WorkItem:
    """Return a task in another status of its board; Invalid or TransitionRefused."""
    if status is not item.status:
        board.check_status(status)
        board.check_transition(item.status, status)
    return item.in_status(status, now)


def check_assignee(tx: ProjectsTx, item: WorkItem, user_id: int | None, field: str) -> None:
    """Raise Invalid if a user is not a member of the task's project."""
    if user_id is not None and tx.project_members.find(item.project_id, UserId(user_id)) is None:
        raise Invalid.field(field, "is not the id of a member of the project")
