"""Internal tasks of projects; the service itself enqueues their jobs."""

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from workbell.domain.jobs.task import Task, TaskContext
from workbell.domain.projects.board import BoardId
from workbell.services.projects.ranks import REBALANCE_TASK, RankService


@frozen(kw_only=True)
class BoardParameters:
    """A board."""

    board: int


@frozen(kw_only=True)
class ProjectTasks:
    """The task that spreads the ranks of a board."""

    ranks: RankService

    def rebalance(self, _context: TaskContext, parameters: BoardParameters) -> dict[str, Any]:
        """Spread the ranks of a board."""
        return {"tasks": self.ranks.rebalance(BoardId(parameters.board))}

    def tasks(self) -> Sequence[Task]:
        """Return the tasks."""
        return (
            Task(
                key=REBALANCE_TASK,
                name="Rebalance Board",
                parameters=BoardParameters,
                body=self.rebalance,
                is_internal=True,
            ),
        )
