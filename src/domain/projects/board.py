"""Boards: the columns in which the tasks of a project stand."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final, NewType, Self

from attrs import evolve, frozen

from workbell.domain.constraints import NOT_BLANK, Constraints
from workbell.domain.errors import Conflict, Invalid
from workbell.domain.projects.project import ProjectId
from workbell.domain.projects.work_item import WorkItemStatus

BoardId = NewType("BoardId", int)
BoardName = Annotated[
    str,
    Constraints(
        min_length=1,
        max_length=255,
        pattern=NOT_BLANK,
        hint="must not be blank",
        example="Development",
    ),
]
WipLimit = Annotated[int, Constraints(ge=1, le=10_000)]
MAX_BOARDS: Final = 100
"""How many boards a project may have."""
MAX_DELETED: Final = 1_000
"""With how many tasks a board may be deleted."""
_STATUSES: Final = tuple(status.value for status in WorkItemStatus)
Transitions = Mapping[WorkItemStatus, Sequence[WorkItemStatus]]


class TransitionRefused(Conflict):
    """The board does not allow this change of status."""

    code = "transition_refused"


@frozen(kw_only=True)
class BoardColumn:
    """A column of a board: its name, the status of its tasks and an advisory limit."""

    name: Annotated[
        str,
        Constraints(min_length=1, max_length=100, pattern=NOT_BLANK, hint="must not be blank"),
    ]
    status: WorkItemStatus
    wip_limit: WipLimit | None = None


DEFAULT_COLUMNS: Final = tuple(
    BoardColumn(name=status.replace("_", " ").capitalize(), status=status)
    for status in WorkItemStatus
)


@frozen(kw_only=True)
class Board:
    """
    A board of a project.

    `position` orders the boards of a project. `transitions` maps a status to
    those that may follow it; a status without an entry allows none, None allows
    every change. `version` counts changes of these fields.
    """

    id: BoardId = BoardId(0)
    project_id: ProjectId
    name: str
    description: str = ""
    position: int
    columns: Sequence[BoardColumn] = DEFAULT_COLUMNS
    transitions: Transitions | None = None
    version: int = 1
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None

    @property
    def first_status(self) -> WorkItemStatus:
        """The status of a new task: BACKLOG, or that of the first column."""
        statuses = [column.status for column in self.columns]
        backlog = WorkItemStatus.BACKLOG
        return backlog if backlog in statuses else statuses[0]

    def check_status(self, status: WorkItemStatus) -> None:
        """Raise Invalid if the board has no column for a status."""
        if all(column.status is not status for column in self.columns):
            names = ", ".join(column.status for column in self.columns)
            raise Invalid.field("status", f"has no column on the board; its columns: {names}")

    def check_transition(self, before: WorkItemStatus, after: WorkItemStatus) -> None:
        """Raise TransitionRefused if a task may not change from one status to another."""
        if before is after or self.transitions is None:
            return
        allowed = self.transitions.get(before, ())
        if after not in allowed:
            names = ", ".join(allowed) or "none"
            raise TransitionRefused(
                f"Board {self.id} does not allow {before} -> {after}; allowed: {names}."
            )

    def exceeded_limits(self, counts: Mapping[WorkItemStatus, int]) -> Sequence[WorkItemStatus]:
        """Return the statuses whose columns hold more tasks than their limit."""
        return [
            column.status
            for column in self.columns
            if column.wip_limit is not None and counts.get(column.status, 0) > column.wip_limit
        ]

    def touched(self, now: datetime) -> Self:
        """Return the next version, changed now."""
        return evolve(self, version=self.version + 1, updated_at=now)


def check_board(columns: Sequence[BoardColumn], transitions: Transitions | None) -> None:
    """Raise Invalid if a status has two columns, is unknown, or is listed twice."""
    for status, count in Counter(column.status for column in columns).items():
        if count > 1:
            raise Invalid.field("columns", f"must have at most one column for {status}")
    for status, following in (transitions or {}).items():
        if status not in _STATUSES:
            names = ", ".join(_STATUSES)
            raise Invalid.field(f"transitions.{status}", f"is not a status; they are {names}")
        if len(set(following)) < len(following):
            raise Invalid.field(f"transitions.{status}", "must not name a status twice")


def check_columns_hold(
    columns: Sequence[BoardColumn], counts: Mapping[WorkItemStatus, int]
) -> None:
    """Raise Invalid if tasks of the board would be in no column."""
    held = {column.status for column in columns}
    for status, count in counts.items():
        if count and status not in held:
            raise Invalid.field(
                "columns", f"must have a column for {status}, in which there are {count} tasks"
            )


def check_deletable(board: Board, tasks: int) -> None:
    """Raise Conflict if a board has too many tasks to delete them in one transaction."""
    if tasks > MAX_DELETED:
        raise Conflict(
            f"Board {board.id} has more than {MAX_DELETED:,} tasks: move or delete some first."
        )
