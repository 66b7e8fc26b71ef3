"""The order of the items of a board, in SQL."""

from collections.abc import Mapping, Sequence

from attrs import frozen
from sqlalchemy import (
    BigInteger,
    Connection,
    String,
    bindparam,
    cast,
    func,
    literal,
    select,
    update,
)

from workbell.adapters.sql.database.statements import chunks, prepare
from workbell.adapters.sql.projects.errors import checking_rank
from workbell.adapters.sql.schema.projects import work_items
from workbell.domain.errors import NotFound
from workbell.domain.projects.board import BoardId
from workbell.domain.projects.work_item import WorkItemId

items_c = work_items.c
_on_board = items_c.board_id == bindparam("on_board", type_=BigInteger)
_before = select(func.max(items_c.rank)).where(_on_board, items_c.rank < bindparam("rank"))
_after = select(func.min(items_c.rank)).where(_on_board, items_c.rank > bindparam("rank"))
_NEIGHBOURS = prepare(
    select(_before.scalar_subquery(), _after.scalar_subquery()), "on_board", "rank"
)
_FIRST = prepare(select(func.min(items_c.rank)).where(_on_board), "on_board")
_LAST = prepare(select(func.max(items_c.rank)).where(_on_board), "on_board")
_IDS = prepare(select(items_c.id).where(_on_board).order_by(items_c.rank), "on_board")
_MOVE = prepare(
    update(work_items)
    .where(items_c.id == bindparam("item_id", type_=BigInteger))
    .values(rank=bindparam("new_rank")),
    *("new_rank", "item_id"),
)
_MOVE_ON_BOARD = prepare(
    update(work_items)
    .where(items_c.id == bindparam("item_id", type_=BigInteger), _on_board)
    .values(rank=bindparam("new_rank")),
    *("new_rank", "item_id", "on_board"),
)


@frozen(slots=False)
class WorkItemRanks:
    """Statements on ranks; deleted items have ranks, too."""

    _db: Connection

    def move(self, item_id: WorkItemId, rank: str) -> None:
        """Update the rank of an item, and nothing else."""
        with checking_rank(rank):
            count = _MOVE.execute(self._db, (rank, item_id)).rowcount
        if count == 0:
            raise NotFound(f"There is no task {item_id}.")

    def neighbour_ranks(self, board_id: BoardId, rank: str) -> tuple[str | None, str | None]:
        """Return the ranks before and after a rank on a board."""
        ((before, after),) = _NEIGHBOURS.fetch_all(self._db, (board_id, rank))
        return before, after

    def end_rank(self, board_id: BoardId, *, last: bool) -> str | None:
        """Return the first or last rank of a board; None if it is empty."""
        query = _LAST if last else _FIRST
        ((rank,),) = query.fetch_all(self._db, (board_id,))
        return None if rank is None else str(rank)

    def ids_by_rank(self, board_id: BoardId) -> Sequence[WorkItemId]:
        """Return the ids of a board's items in order."""
        return [WorkItemId(item_id) for (item_id,) in _IDS.fetch_all(self._db, (board_id,))]

    def replace_ranks(self, board_id: BoardId, ranks: Mapping[WorkItemId, str]) -> None:
        """Update the ranks of items of a board, whose row is locked."""
        # First ranks that no item can have: an item may get the old rank of another one.
        temporary = literal("~") + cast(items_c.id, String(20))
        for ids in chunks(sorted(ranks)):
            locked = items_c.id.in_(ids) & (items_c.board_id == board_id)
            rows = select(items_c.id).where(locked).order_by(items_c.id).with_for_update()
            self._db.execute(rows).all()
            self._db.execute(update(work_items).where(locked).values(rank=temporary))
        changes = [(rank, item_id, board_id) for item_id, rank in sorted(ranks.items())]
        with checking_rank():  # another transaction may have added an item
            _MOVE_ON_BOARD.execute_many(self._db, changes)
