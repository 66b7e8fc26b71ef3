"""Use cases of boards: create, list, change, delete."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from workbell.domain.errors import Invalid, LimitReached, NotAllowed, NotFound
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, check_key
from workbell.domain.projects.board import (
    MAX_BOARDS,
    Board,
    BoardId,
    check_board,
    check_columns_hold,
    check_deletable,
)
from workbell.domain.projects.project import ProjectId
from workbell.domain.validation import check_request
from workbell.ports.projects.repository import BoardView, ProjectsTx
from workbell.ports.serialization import Serializer
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.audit.entries import audit_command, changed_values
from workbell.services.projects.access import (
    check_relation,
    get_board,
    get_project,
    get_reading_scope,
)
from workbell.services.projects.requests import BoardChange, NewBoard
from workbell.services.projects.versions import check_version
from workbell.services.projects.work_item_writer import WorkItemWriter
from workbell.services.transaction_retry import retry_on_contention


@frozen(kw_only=True)
class BoardService:
    """
    Creates, lists, changes and deletes boards.

    Methods that take a board id raise `NotFound` unless the actor may see its
    project, and `NotAllowed` if they may only see it. `version` is the version
    that the actor has seen (None: any); they raise `StaleVersion` if the board has
    another.
    """

    store: Store[ProjectsTx]
    clock: Clock
    serializer: Serializer
    writer: WorkItemWriter

    @retry_on_contention
    def create(self, actor: Actor, new: NewBoard) -> BoardView:
        """
        Create a board in a project.

        Raises:
            Invalid: The actor may not see the project, or a field is wrong.
            LimitReached: The project has 100 boards.
        """
        check_request(new)
        check_key(actor, Action.MANAGE_BOARDS)
        now = self.clock.now()
        with self.store.begin() as tx:
            project_id = ProjectId(new.project)
            try:
                get_project(tx, actor, project_id, Action.MANAGE_BOARDS, lock=True)
            except NotFound:
                raise Invalid.field("project", "is not the id of a project") from None
            except NotAllowed:
                raise Invalid.field("project", "is not a project that you may use") from None
            check_board(new.columns, new.transitions)
            scope = get_reading_scope(actor)
            _, count = tx.boards.list_page(scope, project_id=project_id, limit=1)
            check_board_limit(count)
            position = new.position
            if position is None:
                position = tx.boards.last_position(project_id) + 1
            board = tx.boards.add(
                Board(
                    project_id=project_id,
                    name=new.name,
                    description=new.description,
                    position=position,
                    columns=new.columns,
                    transitions=new.transitions,
                    created_at=now,
                    updated_at=now,
                )
            )
            changes = {"name": [None, board.name], "position": [None, position]}
            self._audit(tx, actor, "CREATE", board, changes)
        return BoardView(board=board, counts={})

    def list(
        self, actor: Actor, project_id: ProjectId | None, offset: int = 0, limit: int = 20
    ) -> tuple[Sequence[BoardView], int]:
        """Return a page of the boards that the actor may see, and their number."""
        with self.store.view() as tx:
            return tx.boards.list_page(
                get_reading_scope(actor), project_id=project_id, offset=offset, limit=limit
            )

    def get(self, actor: Actor, board_id: BoardId) -> BoardView:
        """Return a board."""
        with self.store.view() as tx:
            get_board(tx, actor, board_id, Action.READ_PROJECT)
            return tx.boards.view(get_reading_scope(actor), board_id)

    def check_access(self, actor: Actor, board_id: BoardId, action: Action) -> None:
        """Raise NotFound or NotAllowed unless the actor may perform the action."""
        with self.store.view() as tx:
            board = tx.boards.get(get_reading_scope(actor), board_id)
            check_relation(tx, actor, board.project_id, action)

    def change(
        self,
        actor: Actor,
        board_id: BoardId,
        updates: Mapping[str, Any],
        *,
        version: int | None = None,
    ) -> BoardView:
        """
        Change the given fields of a board.

        Raises:
            Invalid: A field is wrong, or the project another one.
        """

        def merge(before: Board) -> BoardChange:
            old = self.serializer.unstructure(BoardChange.of(before))
            return self.serializer.structure(
                {**old, **without_project(updates, before)}, BoardChange
            )

        return self._edit(actor, board_id, merge, version)

    def replace(
        self, actor: Actor, board_id: BoardId, change: BoardChange, *, version: int | None = None
    ) -> BoardView:
        """Replace all editable fields of a board; errors as `change`."""
        check_request(change)
        return self._edit(actor, board_id, lambda _: change, version)

    @retry_on_contention
    def delete(self, actor: Actor, board_id: BoardId, *, version: int | None = None) -> None:
        """
        Delete a board and its tasks, each with its own audit entry.

        Raises:
            Conflict: The board has more than 1,000 tasks.
        """
        now = self.clock.now()
        with self.store.begin() as tx:
            board = get_board(tx, actor, board_id, Action.MANAGE_BOARDS, lock=True)
            check_version(tx, "board", board_id, current=board.version, expected=version)
            scope = get_reading_scope(actor)
            check_deletable(board, tx.boards.view(scope, board_id).task_count)
            ids = tx.work_items.ids_by_rank(board_id)
            for item in tx.work_items.lock_many(scope, ids):
                self.writer.delete(tx, actor, item, now)
            tx.boards.replace(evolve(board, deleted_at=now, updated_at=now))
            self._audit(tx, actor, "DELETE", board, {"name": [board.name, None]})

    @retry_on_contention
    def _edit(
        self,
        actor: Actor,
        board_id: BoardId,
        make_change: Callable[[Board], BoardChange],
        version: int | None,
    ) -> BoardView:
        now = self.clock.now()
        with self.store.begin() as tx:
            before = get_board(tx, actor, board_id, Action.MANAGE_BOARDS, lock=True)
            check_version(tx, "board", board_id, current=before.version, expected=version)
            change = make_change(before)
            check_board(change.columns, change.transitions)
            view = tx.boards.view(get_reading_scope(actor), board_id)
            check_columns_hold(change.columns, view.counts)
            old = self.serializer.unstructure(BoardChange.of(before))
            after = apply_change(before, change)
            changes = changed_values(old, self.serializer.unstructure(BoardChange.of(after)))
            if not changes:
                return view
            after = after.touched(now)
            tx.boards.replace(after)
            changes["version"] = [before.version, after.version]
            self._audit(tx, actor, "UPDATE", after, changes)
        return BoardView(board=after, counts=view.counts)

    def _audit(
        self, tx: ProjectsTx, actor: Actor, action: str, board: Board, changes: Mapping[str, Any]
    ) -> None:
        now = self.clock.now()
        audit_command(
            tx.audit, actor, action, "board", board.id, now, changes, project_id=board.project_id
        )


def apply_change(board: Board, change: BoardChange) -> Board:
    """Return a board with other fields; without a position it stays where it is."""
    return evolve(
        board,
        name=change.name,
        description=change.description,
        position=board.position if change.position is None else change.position,
        columns=change.columns,
        transitions=change.transitions,
    )


def without_project(updates: Mapping[str, Any], board: Board) -> dict[str, Any]:
    """Return updates without the board's own project; Invalid if they name another."""
    rest = dict(updates)
    if rest.pop("project", board.project_id) != board.project_id:
        raise Invalid.field("project", "of a board cannot be changed")
    return rest


def check_board_limit(count: int) -> None:
    """Raise LimitReached if a project has the most boards."""
    if count >= MAX_BOARDS:
        raise LimitReached(
            f"A project has at most {MAX_BOARDS} boards.", used=count, limit=MAX_BOARDS
        )
