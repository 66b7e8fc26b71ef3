"""Work items: the entries of boards, called tasks in the API."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, NewType, Self

from attrs import evolve, frozen

from workbell.domain.constraints import NOT_BLANK, Constraints
from workbell.domain.identity.user import UserId
from workbell.domain.projects.project import ProjectId

WorkItemId = NewType("WorkItemId", int)
Title = Annotated[
    str,
    Constraints(
        min_length=1,
        max_length=255,
        pattern=NOT_BLANK,
        hint="must not be blank",
        example="Implement feature X",
    ),
]
Label = Annotated[
    str,
    Constraints(
        min_length=1, max_length=50, pattern=NOT_BLANK, hint="must not be blank", example="backend"
    ),
]
Labels = Annotated[Sequence[Label], Constraints(max_length=20)]
EstimatedHours = Annotated[Decimal, Constraints(ge=0, le=99_999, example=8)]
Description = Annotated[str, Constraints(max_length=50_000)]
MAX_BULK: Final = 500
"""How many tasks one bulk edit may name."""


class WorkItemStatus(StrEnum):
    """The status of a task, in the order of a default board."""

    BACKLOG = "BACKLOG"
    TODO = "TODO"
    IN_PROGRESS = "IN_PROGRESS"
    REVIEW = "REVIEW"
    DONE = "DONE"


class WorkItemPriority(StrEnum):
    """The priority of a task, the lowest first."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


@frozen(kw_only=True)
class WorkItem:
    """
    An entry of a board.

    `rank` orders the items of a board (domain/projects/rank.py). `sla_due_at` is
    the earliest deadline of the running SLA clocks, `is_sla_breached` whether one
    of the present cycle is breached. `version` counts changes of the item's own
    fields: not those of `rank`, comments, watchers and SLA clocks.
    """

    id: WorkItemId = WorkItemId(0)
    project_id: ProjectId
    board_id: int
    title: str
    description: str = ""
    status: WorkItemStatus = WorkItemStatus.BACKLOG
    priority: WorkItemPriority = WorkItemPriority.MEDIUM
    assignee_id: UserId | None = None
    reporter_id: UserId
    labels: Sequence[str] = ()
    due_date: datetime | None = None
    estimated_hours: Decimal | None = None
    rank: str
    comment_count: int = 0
    is_sla_breached: bool = False
    sla_due_at: datetime | None = None
    version: int = 1
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None = None
    deleted_at: datetime | None = None

    @property
    def is_done(self) -> bool:
        """Whether the item is done."""
        return self.status is WorkItemStatus.DONE

    def in_status(self, status: WorkItemStatus, now: datetime) -> Self:
        """Return the item in a status; entering and leaving DONE sets `completed_at`."""
        if status is self.status:
            return self
        completed_at = now if status is WorkItemStatus.DONE else None
        return evolve(self, status=status, completed_at=completed_at)

    def touched(self, now: datetime) -> Self:
        """Return the next version, changed now."""
        return evolve(self, version=self.version + 1, updated_at=now)

    def delete(self, now: datetime) -> Self:
        """Return the item as deleted; its row and rank stay for 30 days."""
        return evolve(self, deleted_at=now, updated_at=now)
