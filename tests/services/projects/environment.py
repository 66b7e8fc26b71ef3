"""Fixture for tests of projects: users and services over one memory store."""

from collections.abc import Sequence
from typing import Any

from attrs import define, field

from tests.services.accounts import AccountFixture, make_accounts
from workbell.adapters.serialization.serializer import JsonSerializer
from workbell.domain.audit.entry import AuditEntry
from workbell.domain.identity.actor import ALL_OWNERS, Actor
from workbell.domain.jobs.job import Job
from workbell.domain.notifications.notice import Notification
from workbell.domain.projects.board import Board
from workbell.domain.projects.project import Project, ProjectRole
from workbell.domain.projects.work_item import WorkItem, WorkItemId
from workbell.entrypoints.bootstrap.projects import ProjectServices, make_projects
from workbell.ports.jobs.views import JobFilter
from workbell.ports.projects.repository import WorkItemView
from workbell.services.notifications.dispatch import Notifier
from workbell.services.projects.activity import ActivityService
from workbell.services.projects.boards import BoardService
from workbell.services.projects.bulk import BulkService
from workbell.services.projects.comments import CommentService
from workbell.services.projects.listing import WorkItemConditions
from workbell.services.projects.project_members import ProjectMemberService
from workbell.services.projects.projects import ProjectService
from workbell.services.projects.ranks import RankService
from workbell.services.projects.requests import (
    NewBoard,
    NewProject,
    NewProjectMember,
    NewWorkItem,
)
from workbell.services.projects.work_items import WorkItemService

SERIALIZER = JsonSerializer("is not a known field")


@define
class ProjectFixture:
    """Users of one memory store, with the services of projects."""

    people: AccountFixture
    services: ProjectServices
    actors: dict[str, Actor] = field(factory=dict[str, Actor])

    projects: ProjectService = field(init=False)
    members: ProjectMemberService = field(init=False)
    boards: BoardService = field(init=False)
    work_items: WorkItemService = field(init=False)
    bulk: BulkService = field(init=False)
    comments: CommentService = field(init=False)
    activity: ActivityService = field(init=False)
    ranks: RankService = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make the services attributes of the fixture."""
        for name in ("projects", "members", "boards", "work_items", "bulk", "comments", "activity"):
            setattr(self, name, getattr(self.services, name))
        self.ranks = self.services.tasks.ranks

    def actor(self, name: str, **fields: Any) -> Actor:
        """Return the actor of a user; add the user first if necessary."""
        if name not in self.actors:
            self.actors[name] = Actor.of(self.people.join(name, **fields))
        return self.actors[name]

    def project(self, owner: str = "ann", **members: str) -> Project:
        """Create a project with further members: `bob="MEMBER"`."""
        detail = self.projects.create(self.actor(owner), NewProject(name="Website"))
        project = detail.view.project
        for name, role in members.items():
            self.join(project, name, role)
        return project

    def join(self, project: Project, name: str, role: str = "MEMBER", owner: str = "ann") -> None:
        """Add a member."""
        new = NewProjectMember(user_id=self.actor(name).user_id, role=ProjectRole(role))
        self.members.add(self.actor(owner), project.id, new)

    def board(self, project: Project, owner: str = "ann", **fields: Any) -> Board:
        """Create a board."""
        new = NewBoard(**{"name": "Board", **fields}, project=project.id)
        return self.boards.create(self.actor(owner), new).board

    def task(self, board: Board, reporter: str = "ann", **fields: Any) -> WorkItem:
        """Create a task."""
        new = NewWorkItem(**{"title": "Task", **fields}, board=board.id)
        return self.work_items.create(self.actor(reporter), new).item

    def stored(self, item_id: WorkItemId) -> WorkItem:
        """Return a task as stored."""
        with self.people.store.view() as tx:
            item: WorkItem = tx.work_items.get(ALL_OWNERS, item_id)
            return item

    def find(
        self, name: str = "ann", ordering: Sequence[str] = ("position",), **conditions: Any
    ) -> list[WorkItemView]:
        """Return the first tasks that a user sees."""
        found, _ = self.work_items.list(
            self.actor(name), WorkItemConditions(**conditions), ordering, 0, 100
        )
        return [each.view for each in found]

    def titles(self, board: Board) -> list[str]:
        """Return the titles of the tasks of a board in their order."""
        return [view.item.title for view in self.find(board=board.id)]

    def notices(self, name: str) -> list[Notification]:
        """Return a user's notifications, newest first."""
        with self.people.store.view() as tx:
            found, _ = tx.notices.list_page(self.actor(name).user_id, limit=100)
            return list(found)

    def jobs(self, task: str) -> list[Job]:
        """Return the jobs of a task, oldest first."""
        with self.people.store.view() as tx:
            return list(tx.jobs.find(ALL_OWNERS, JobFilter(task=task), ordering=["id"], limit=1000))

    def audit(self, model: str) -> list[AuditEntry]:
        """Return the audit entries of a model, oldest first."""
        return [entry for entry in self.people.audit() if entry.model_name == model]


def make_project_fixture() -> ProjectFixture:
    """Return a fixture without users."""
    people = make_accounts()
    notifier = Notifier(clock=people.clock)
    services = make_projects(people.store, people.clock, notifier, SERIALIZER)
    return ProjectFixture(people=people, services=services)
