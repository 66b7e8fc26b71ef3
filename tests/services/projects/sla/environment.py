"""Fixture for tests of service levels: services over one memory store."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import define

from tests.services.projects.environment import (
    SERIALIZER,
    ProjectFixture,
    make_project_fixture,
)
from workbell.domain.notifications.notice import NoticeKind
from workbell.domain.projects.board import Board
from workbell.domain.projects.project import Project
from workbell.domain.projects.sla.calendar import BusinessCalendar
from workbell.domain.projects.sla.explanation import ClockExplanation
from workbell.domain.projects.sla.policy import Recipient, SlaPolicy
from workbell.domain.projects.work_item import WorkItem, WorkItemId, WorkItemPriority
from workbell.ports.projects.sla import StoredEvent
from workbell.services.notifications.dispatch import Notifier
from workbell.services.projects.requests import Move, NewComment
from workbell.services.projects.sla.application import PolicyApplication
from workbell.services.projects.sla.calendars import CalendarService
from workbell.services.projects.sla.explanations import SlaExplanations
from workbell.services.projects.sla.policies import PolicyService
from workbell.services.projects.sla.recording import ClockRecorder
from workbell.services.projects.sla.requests import NewCalendar, NewPolicy
from workbell.services.projects.sla.ticker import SlaTicker

MONDAY = datetime(2026, 3, 9, 8, tzinfo=UTC)
"""Monday 09:00 in Berlin."""
OFFICE = {day: [["09:00", "17:00"]] for day in ("mon", "tue", "wed", "thu", "fri")}
TARGETS = {
    "HIGH": {"first_response_minutes": 30, "resolution_minutes": 480},
    "CRITICAL": {"first_response_minutes": 15, "resolution_minutes": 60},
    "MEDIUM": {"resolution_minutes": 960},
}


def steps(*minutes: int, notify: Recipient = Recipient.MANAGER) -> list[dict[str, Any]]:
    return [{"after_minutes": each, "notify": [str(notify)]} for each in minutes]


@define
class SlaFixture:
    """A project of ann with the manager max and the member mia, on a Monday at nine."""

    env: ProjectFixture
    project: Project
    board: Board
    calendars: CalendarService
    policies: PolicyService
    application: PolicyApplication
    explanations: SlaExplanations
    ticker: SlaTicker

    @classmethod
    def create(cls) -> "SlaFixture":
        """Return the fixture; there is no policy yet."""
        env = make_project_fixture()
        env.people.clock.at = MONDAY
        project = env.project(max="MANAGER", mia="MEMBER")
        store, clock = env.people.store, env.people.clock
        recorder = ClockRecorder(notifier=Notifier(clock=clock))
        return cls(
            env=env,
            project=project,
            board=env.board(project),
            calendars=CalendarService(store=store, clock=clock, serializer=SERIALIZER),
            policies=PolicyService(store=store, clock=clock, serializer=SERIALIZER),
            application=PolicyApplication(store=store, clock=clock, recorder=recorder),
            explanations=SlaExplanations(store=store, clock=clock),
            ticker=SlaTicker(store=store, clock=clock, recorder=recorder),
        )

    @property
    def now(self) -> datetime:
        """The time of the clock."""
        return self.env.people.clock.at

    def wait(self, minutes: float) -> None:
        """Advance the clock, without a tick."""
        self.env.people.clock.at += timedelta(minutes=minutes)

    def calendar(self, actor: str = "ann", **fields: Any) -> BusinessCalendar:
        """Create a calendar of office hours in Berlin."""
        values = {"name": "Office", "time_zone": "Europe/Berlin", "intervals": OFFICE} | fields
        values = {"project": self.project.id, **values}
        new = SERIALIZER.structure(values, NewCalendar)
        return self.calendars.create(self.env.actor(actor), new)

    def policy(self, actor: str = "ann", **fields: Any) -> SlaPolicy:
        """Create an active policy without a calendar."""
        values = {"name": "Support", "project": self.project.id, "targets": TARGETS} | fields
        return self.policies.create(self.env.actor(actor), SERIALIZER.structure(values, NewPolicy))

    def task(self, reporter: str = "mia", **fields: Any) -> WorkItem:
        """Create a task."""
        if "priority" in fields:
            fields["priority"] = WorkItemPriority(fields["priority"])
        return self.env.task(self.board, reporter, **fields)

    def move(self, item: WorkItem, status: str, actor: str = "mia") -> WorkItem:
        """Move a task into another status."""
        move = SERIALIZER.structure({"status": status}, Move)
        return self.env.work_items.move(self.env.actor(actor), item.id, move).item

    def change(self, item: WorkItem, actor: str = "mia", **updates: Any) -> WorkItem:
        """Change fields of a task."""
        return self.env.work_items.change(self.env.actor(actor), item.id, updates).item

    def comment(self, item: WorkItem, actor: str) -> None:
        """Comment on a task."""
        self.env.comments.add(self.env.actor(actor), item.id, NewComment(content="Hello"))

    def set_archived(self, *, is_archived: bool) -> None:
        """Archive or restore the project."""
        updates = {"is_archived": is_archived}
        self.env.projects.change(self.env.actor("ann"), self.project.id, updates)

    def clocks(self, item: WorkItem, actor: str = "mia") -> dict[str, ClockExplanation]:
        """Return the explained clocks of a task by kind."""
        found = self.explanations.explain(self.env.actor(actor), item.id)
        return {str(one.clock.kind): one for one in found}

    def stored(self, item: WorkItem) -> WorkItem:
        """Return a task as stored."""
        return self.env.stored(item.id)

    def events(self, item_id: WorkItemId) -> Sequence[StoredEvent]:
        """Return the events of a task's clocks."""
        with self.env.people.store.view() as tx:
            found: Sequence[StoredEvent] = tx.sla_clocks.events_of(item_id)
            return found

    def event_kinds(self, item: WorkItem) -> list[str]:
        """Return the kinds of a task's events, in order."""
        return [str(stored.event.kind) for stored in self.events(item.id)]

    def notices(self, name: str, prefix: str = "sla_") -> list[NoticeKind]:
        """Return the kinds of a user's notices of service levels, oldest first."""
        with self.env.people.store.view() as tx:
            found, _ = tx.notices.list_page(self.env.actor(name).user_id, limit=100)
        return [one.kind for one in reversed(found) if one.kind.startswith(prefix)]


def minutes_after(minutes: float) -> datetime:
    """Return the time some minutes after Monday at nine."""
    return MONDAY + timedelta(minutes=minutes)
