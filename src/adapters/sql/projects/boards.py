"""Boards in SQL."""

from collections.abc import Collection, Sequence
from typing import Any

from attrs import evolve, frozen
from sqlalchemy import (
    BigInteger,
    Connection,
    bindparam,
    func,
    insert,
    select,
    update,
)

from workbell.adapters.sql.database.filters import count_rows
from workbell.adapters.sql.database.statements import (
    PreparedListStatement,
    PreparedStatement,
    inserted_id,
    prepare,
)
from workbell.adapters.sql.projects.rows import STATUSES, board_from_row, board_values
from workbell.adapters.sql.projects.scopes import (
    MEMBER,
    is_visible_project,
    member_of,
    visible_boards,
)
from workbell.adapters.sql.schema.projects import boards, work_items
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import Scope
from workbell.domain.projects.board import Board, BoardId
from workbell.domain.projects.project import ProjectId
from workbell.domain.projects.work_item import WorkItemStatus
from workbell.ports.projects.repository import BoardView

boards_c, items_c = boards.c, work_items.c
_EXISTS = boards_c.deleted_at.is_(None)
_ONE = select(boards).where(
    boards_c.id == bindparam("board_id"), _EXISTS, is_visible_project(boards_c.project_id)
)
_BOARD = prepare(_ONE, "board_id", MEMBER)
_BOARD_LOCKED = prepare(_ONE.with_for_update(), "board_id", MEMBER)
_BY_ID = PreparedListStatement(lambda ids: select(boards).where(boards_c.id.in_(ids), _EXISTS))
_LAST_POSITION = prepare(
    select(func.max(boards_c.position)).where(
        boards_c.project_id == bindparam("project_id", type_=BigInteger), _EXISTS
    ),
    "project_id",
)
_COUNTS = PreparedListStatement(
    lambda ids: (
        select(items_c.board_id, items_c.status, func.count())
        .where(items_c.board_id.in_(ids), items_c.deleted_at.is_(None))
        .group_by(items_c.board_id, items_c.status)
    )
)
_SORTED = (boards_c.project_id, boards_c.position, boards_c.id)


@frozen
class SqlBoardRepository:
    """Boards that are not deleted, of projects that are not deleted."""

    _db: Connection

    def add(self, board: Board) -> Board:
        """Insert a board and return it with its id."""
        result = self._db.execute(insert(boards), board_values(board))
        return evolve(board, id=BoardId(inserted_id(result)))

    def get(self, scope: Scope, board_id: BoardId) -> Board:
        """Return a board in the scope."""
        return self._one(_BOARD, scope, board_id)

    def get_for_update(self, scope: Scope, board_id: BoardId) -> Board:
        """Lock and return a board in the scope."""
        return self._one(_BOARD_LOCKED, scope, board_id)

    def find_many(self, scope: Scope, board_ids: Collection[BoardId]) -> Sequence[Board]:
        """Return those of the boards that are in the scope, by id."""
        if not board_ids:
            return []
        found = visible_boards(scope).where(boards_c.id.in_(list(board_ids)))
        return self._read(self._db.execute(found.order_by(boards_c.id)).scalars().all())

    def replace(self, board: Board) -> None:
        """Update a board, whose row is locked."""
        change = update(boards).where(boards_c.id == board.id)
        if self._db.execute(change, board_values(board)).rowcount == 0:
            raise NotFound(f"There is no board {board.id}.")

    def view(self, scope: Scope, board_id: BoardId) -> BoardView:
        """Return one board with its numbers."""
        (view,) = self._views([self.get(scope, board_id)])
        return view

    def last_position(self, project_id: ProjectId) -> int:
        """Return the highest position of the project's boards; 0 without boards."""
        ((position,),) = _LAST_POSITION.fetch_all(self._db, (project_id,))
        return position or 0

    def list_page(
        self,
        scope: Scope,
        *,
        project_id: ProjectId | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[BoardView], int]:
        """Return a page of boards by project, position and id, and their number up to the cap."""
        visible = visible_boards(scope, project_id=project_id)
        page = visible.order_by(*_SORTED).offset(offset).limit(limit)
        ids = self._db.execute(page).scalars().all()
        total = self._db.execute(count_rows(visible.subquery("visible"))).scalar_one()
        return self._views(self._read(ids)), total

    def _read(self, ids: Sequence[int]) -> Sequence[Board]:
        """Return boards in the order of the ids."""
        rows = _BY_ID.fetch_all(self._db, ids)
        found: dict[int, Board] = {
            board.id: board for board in (board_from_row(self._db, row) for row in rows)
        }
        return [found[each] for each in ids if each in found]

    def _views(self, found: Sequence[Board]) -> Sequence[BoardView]:
        counts: dict[int, dict[WorkItemStatus, int]] = {board.id: {} for board in found}
        for board_id, status, count in _COUNTS.fetch_all(self._db, sorted(counts)):
            counts[board_id][STATUSES[status]] = count
        return [BoardView(board=board, counts=counts[board.id]) for board in found]

    def _one(self, query: PreparedStatement, scope: Scope, board_id: BoardId) -> Board:
        rows: Sequence[Any] = query.fetch_all(self._db, (board_id, member_of(scope)))
        if not rows:
            raise NotFound(f"There is no board {board_id}.")
        return board_from_row(self._db, rows[0])
