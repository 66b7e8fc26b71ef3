"""All operations of projects, from their services."""

from collections.abc import Sequence

from attrs import frozen

from workbell.adapters.http.projects import activity, boards, comments, projects, work_items
from workbell.adapters.http.projects.sla import calendars, policies
from workbell.adapters.http.web.operations import AnyOperation
from workbell.ports.markdown import Markdown
from workbell.services.projects.activity import ActivityService
from workbell.services.projects.boards import BoardService
from workbell.services.projects.bulk import BulkService
from workbell.services.projects.comments import CommentService
from workbell.services.projects.project_members import ProjectMemberService
from workbell.services.projects.projects import ProjectService
from workbell.services.projects.sla.application import PolicyApplication
from workbell.services.projects.sla.calendars import CalendarService
from workbell.services.projects.sla.explanations import SlaExplanations
from workbell.services.projects.sla.policies import PolicyService
from workbell.services.projects.work_items import WorkItemService


@frozen(kw_only=True)
class ProjectsApi:
    """The services behind the operations."""

    markdown: Markdown
    projects: ProjectService
    members: ProjectMemberService
    boards: BoardService
    work_items: WorkItemService
    bulk: BulkService
    comments: CommentService
    activity: ActivityService
    calendars: CalendarService
    sla_policies: PolicyService
    sla_application: PolicyApplication
    sla_explanations: SlaExplanations

    def operations(self) -> Sequence[AnyOperation]:
        """Return the operations on projects, boards, tasks, comments and service levels."""
        return (
            *projects.operations(
                projects.ProjectRoutes(projects=self.projects, members=self.members)
            ),
            *boards.operations(boards.BoardRoutes(boards=self.boards)),
            *work_items.operations(
                work_items.TaskRoutes(
                    work_items=self.work_items, bulk=self.bulk, markdown=self.markdown
                )
            ),
            *comments.operations(
                comments.CommentRoutes(
                    comments=self.comments, work_items=self.work_items, markdown=self.markdown
                )
            ),
            *activity.operations(activity.ActivityRoutes(activity=self.activity)),
            *calendars.operations(calendars.CalendarRoutes(calendars=self.calendars)),
            *policies.operations(
                policies.PolicyRoutes(
                    policies=self.sla_policies,
                    application=self.sla_application,
                    explanations=self.sla_explanations,
                )
            ),
        )
