"""Boards in memory."""

from collections import Counter
from collections.abc import Collection, Sequence

from attrs import define, evolve

from workbell.adapters.memory.listing import count_rows
from workbell.adapters.memory.projects.scopes import is_visible_board
from workbell.adapters.memory.tables import Tables
from workbell.adapters.memory.values import in_utc
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import Scope
from workbell.domain.projects.board import Board, BoardId
from workbell.domain.projects.project import ProjectId
from workbell.ports.projects.repository import BoardView


@define(eq=False)
class MemoryBoardRepository:
    """Boards that are not deleted, of projects that are not deleted."""

    _tables: Tables

    def add(self, board: Board) -> Board:
        """Insert a board and return it with its id."""
        stored = evolve(in_utc(board), id=BoardId(self._tables.boards.next_id()))
        self._tables.boards.put(stored.id, stored)
        return stored

    def get(self, scope: Scope, board_id: BoardId) -> Board:
        """Return a board in the scope."""
        board = self._tables.boards.get(board_id)
        if board is None or not is_visible_board(self._tables, scope, board_id):
            raise NotFound(f"There is no board {board_id}.")
        return board

    get_for_update = get

    def find_many(self, scope: Scope, board_ids: Collection[BoardId]) -> Sequence[Board]:
        """Return those of the boards that are in the scope, by id."""
        return [board for board in self._visible(scope) if board.id in board_ids]

    def replace(self, board: Board) -> None:
        """Update a board."""
        if self._tables.boards.get(board.id) is None:
            raise NotFound(f"There is no board {board.id}.")
        self._tables.boards.put(board.id, in_utc(board))

    def view(self, scope: Scope, board_id: BoardId) -> BoardView:
        """Return one board with its numbers."""
        return self._view(self.get(scope, board_id))

    def last_position(self, project_id: ProjectId) -> int:
        """Return the highest position of the project's boards; 0 without boards."""
        boards = (each for each in self._tables.boards if each.project_id == project_id)
        return max((each.position for each in boards if each.deleted_at is None), default=0)

    def list_page(
        self,
        scope: Scope,
        *,
        project_id: ProjectId | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[BoardView], int]:
        """Return a page of boards by project, position and id, and their number up to the cap."""
        found = [each for each in self._visible(scope) if project_id in {None, each.project_id}]
        found.sort(key=lambda board: (board.project_id, board.position, board.id))
        return [self._view(each) for each in found[offset : offset + limit]], count_rows(found)

    def _visible(self, scope: Scope) -> Sequence[Board]:
        return [
            each for each in self._tables.boards if is_visible_board(self._tables, scope, each.id)
        ]

    def _view(self, board: Board) -> BoardView:
        items = (item for item in self._tables.work_items if item.board_id == board.id)
        counts = Counter(item.status for item in items if item.deleted_at is None)
        return BoardView(board=board, counts=dict(counts))
