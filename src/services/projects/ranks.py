"""Places on a board: the rank next to a task, and rebalancing."""

from contextlib import suppress
from datetime import datetime
from typing import Final

from attrs import frozen

from workbell.domain.errors import Invalid, NotFound
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.jobs.job import Job, JobOrigin
from workbell.domain.projects.board import BoardId
from workbell.domain.projects.rank import (
    MAX_RANK_LENGTH,
    REBALANCE_LENGTH,
    TAIL,
    rank_between,
    spread,
)
from workbell.domain.projects.work_item import WorkItem, WorkItemId
from workbell.ports.projects.repository import ProjectsTx
from workbell.ports.store import Store
from workbell.ports.system import Randomness
from workbell.services.projects.requests import Move
from workbell.services.transaction_retry import retry_on_contention

REBALANCE_TASK: Final = "projects.rebalance"


def make_tail(randomness: Randomness) -> int:
    """Return the random part of a rank."""
    return randomness.randbelow(TAIL)


@frozen(kw_only=True)
class RankService:
    """Computes ranks from neighbours, and spreads those of crowded boards."""

    store: Store[ProjectsTx]
    randomness: Randomness

    def rank_beside(self, tx: ProjectsTx, item: WorkItem, move: Move, now: datetime) -> str:
        """
        Return the rank of a move; without a neighbour, the present one.

        A rank longer than 64 characters causes a rebalance: at most one a minute,
        as a job. Ranks that would not fit their column rebalance the board at once.

        Raises:
            Invalid: A neighbour is not on the board of the task.
        """
        rank = self._find_rank(tx, item, move)
        if len(rank) > MAX_RANK_LENGTH:
            rebalance_board(tx, BoardId(item.board_id))
            rank = self._find_rank(tx, item, move)
        elif len(rank) > REBALANCE_LENGTH:
            tx.jobs.add([_rebalance_job(item.board_id, now)], now)
        return rank

    @retry_on_contention
    def rebalance(self, board_id: BoardId) -> int:
        """Spread the ranks of a board; return the number of its tasks, 0 if it is deleted."""
        with suppress(NotFound), self.store.begin() as tx:
            return rebalance_board(tx, board_id)
        return 0

    def _find_rank(self, tx: ProjectsTx, item: WorkItem, move: Move) -> str:
        board_id = BoardId(item.board_id)
        lower = _neighbour(tx, board_id, "after", move.after)
        upper = _neighbour(tx, board_id, "before", move.before)
        if lower is None and upper is None:
            return item.rank
        if lower is None or (upper is not None and lower >= upper):
            lower, _ = tx.work_items.neighbour_ranks(board_id, upper or "")
        elif upper is None:
            _, upper = tx.work_items.neighbour_ranks(board_id, lower)
        return rank_between(lower, upper, make_tail(self.randomness))


def rebalance_board(tx: ProjectsTx, board_id: BoardId) -> int:
    """Lock a board and spread the ranks of its tasks; their order and versions stay."""
    tx.boards.get_for_update(ALL_OWNERS, board_id)
    ids = tx.work_items.ids_by_rank(board_id)
    tx.work_items.replace_ranks(board_id, dict(zip(ids, spread(len(ids)), strict=True)))
    return len(ids)


def _neighbour(tx: ProjectsTx, board_id: BoardId, name: str, item_id: int | None) -> str | None:
    """Return the rank of a neighbour, also a deleted one."""
    if item_id is None:
        return None
    found = tx.work_items.find_on_board(board_id, WorkItemId(item_id))
    if found is None:
        raise Invalid.field(name, "is not the id of a task on the same board")
    return found.rank


def _rebalance_job(board_id: int, now: datetime) -> Job:
    return Job(
        task=REBALANCE_TASK,
        name=f"Rebalance board {board_id}",
        parameters={"board": board_id},
        due_at=now,
        origin=JobOrigin.SYSTEM,
        idempotency_key=f"rebalance:{board_id}:{now:%Y%m%d%H%M}",
        created_at=now,
    )
