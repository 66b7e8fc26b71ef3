"""A project with a task, and rows of service levels."""

from datetime import date, timedelta
from typing import Any

from attrs import frozen

from tests.contract.factories import NOON, AnyStore, a_user, after
from workbell.domain.identity.user import User
from workbell.domain.projects.board import Board
from workbell.domain.projects.project import Project, ProjectMember, ProjectRole
from workbell.domain.projects.sla.calendar import BusinessCalendar, BusinessHours
from workbell.domain.projects.sla.clock import (
    ClockKind,
    ClockPhase,
    ClockRules,
    Segment,
    SlaClock,
    start_clock,
)
from workbell.domain.projects.sla.policy import (
    EscalationStep,
    PriorityTarget,
    Recipient,
    Reopen,
    SlaPolicy,
    SlaTerms,
)
from workbell.domain.projects.work_item import WorkItem, WorkItemPriority, WorkItemStatus

OFFICE = BusinessHours(
    time_zone="Europe/Berlin",
    weekly=(((540, 720), (780, 1020)),) * 5 + ((), ()),
    exceptions={date(2030, 12, 25): (), date(2030, 12, 28): ((600, 840),)},
)
TERMS = SlaTerms(
    targets={
        WorkItemPriority.HIGH: PriorityTarget(first_response_minutes=30, resolution_minutes=480),
        WorkItemPriority.LOW: PriorityTarget(resolution_minutes=960),
    },
    pausing_statuses=(WorkItemStatus.REVIEW,),
    reopen=Reopen.RESTART,
    warn_percent=75,
    escalation=(EscalationStep(after_minutes=60, notify=(Recipient.ADMIN,)),),
)


@frozen(kw_only=True)
class Team:
    """A user, and a project of theirs with a board."""

    user: User
    project: Project
    board: Board

    @classmethod
    def create(cls, store: AnyStore, name: str) -> "Team":
        """Insert them."""
        with store.begin() as tx:
            user = tx.users.add(a_user(name))
            project = tx.projects.add(
                Project(name=name, owner_id=user.id, created_at=NOON, updated_at=NOON)
            )
            tx.project_members.add(
                ProjectMember(
                    project_id=project.id, user_id=user.id, role=ProjectRole.ADMIN, joined_at=NOON
                )
            )
            board = tx.boards.add(
                Board(project_id=project.id, name="B", position=1, created_at=NOON, updated_at=NOON)
            )
        return cls(user=user, project=project, board=board)

    def add_items(self, store: AnyStore, count: int = 1, **fields: Any) -> list[WorkItem]:
        """Insert tasks on the board."""
        with store.begin() as tx:
            last = tx.work_items.end_rank(self.board.id, last=True) or "a0"
            return [
                tx.work_items.add(self.an_item(f"{last}{n:06}1", **fields)) for n in range(count)
            ]

    def an_item(self, rank: str, **fields: Any) -> WorkItem:
        """Return a task on the board."""
        values: dict[str, Any] = {
            "project_id": self.project.id,
            "board_id": self.board.id,
            "title": "A task",
            "reporter_id": self.user.id,
            "rank": rank,
            "created_at": NOON,
            "updated_at": NOON,
        }
        return WorkItem(**values | fields)

    def a_calendar(self, **fields: Any) -> BusinessCalendar:
        """Return a calendar of the project."""
        values: dict[str, Any] = {
            "project_id": self.project.id,
            "name": "Office",
            "hours": OFFICE,
            "created_at": NOON,
            "updated_at": NOON,
        }
        return BusinessCalendar(**values | fields)

    def a_policy(self, **fields: Any) -> SlaPolicy:
        """Return a policy of the project."""
        values: dict[str, Any] = {
            "project_id": self.project.id,
            "name": "Support",
            "terms": TERMS,
            "created_at": NOON,
            "updated_at": NOON,
        }
        return SlaPolicy(**values | fields)


def a_clock(item: WorkItem, **fields: Any) -> SlaClock:
    """Return a resolution clock of an item that runs since noon, due an hour later."""
    values: dict[str, Any] = {
        "work_item_id": item.id,
        "project_id": item.project_id,
        "kind": ClockKind.RESOLUTION,
        "phase": ClockPhase.RUNNING,
        "target": timedelta(hours=1),
        "started_at": NOON,
        "segments": (Segment(NOON, None, True, "counting"),),
    }
    clock, _ = start_clock(SlaClock(**values | fields), ClockRules(), after(0))
    return clock
