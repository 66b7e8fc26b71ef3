"""Services of projects."""

from attrs import frozen

from workbell.adapters.builtin_tasks.project_tasks import ProjectTasks
from workbell.adapters.markdown import CommonMark
from workbell.adapters.system import SystemRandomness
from workbell.ports.markdown import Markdown
from workbell.ports.projects.repository import ProjectsTx
from workbell.ports.quarantine import NO_REPORTER, QuarantineReporter
from workbell.ports.serialization import Serializer
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.notifications.dispatch import Notifier
from workbell.services.projects.activity import ActivityService
from workbell.services.projects.boards import BoardService
from workbell.services.projects.bulk import BulkService
from workbell.services.projects.comments import CommentService
from workbell.services.projects.project_members import ProjectMemberService
from workbell.services.projects.projects import ProjectService
from workbell.services.projects.ranks import RankService
from workbell.services.projects.retention import WorkItemRetention
from workbell.services.projects.sla.application import PolicyApplication
from workbell.services.projects.sla.calendars import CalendarService
from workbell.services.projects.sla.clocks import SlaClocks
from workbell.services.projects.sla.explanations import SlaExplanations
from workbell.services.projects.sla.policies import PolicyService
from workbell.services.projects.sla.recording import ClockRecorder
from workbell.services.projects.sla.ticker import SlaTicker
from workbell.services.projects.work_item_writer import WorkItemWriter
from workbell.services.projects.work_items import WorkItemService


@frozen(kw_only=True)
class ProjectServices:
    """The use cases of projects, and the tasks that their jobs run."""

    markdown: Markdown
    projects: ProjectService
    members: ProjectMemberService
    boards: BoardService
    work_items: WorkItemService
    bulk: BulkService
    comments: CommentService
    activity: ActivityService
    retention: WorkItemRetention
    calendars: CalendarService
    sla_policies: PolicyService
    sla_application: PolicyApplication
    sla_explanations: SlaExplanations
    sla_ticker: SlaTicker
    tasks: ProjectTasks


def make_projects(
    store: Store[ProjectsTx],
    clock: Clock,
    notifier: Notifier,
    serializer: Serializer,
    reporter: QuarantineReporter = NO_REPORTER,
) -> ProjectServices:
    """Return the services."""
    randomness = SystemRandomness()
    recorder = ClockRecorder(notifier=notifier)
    clocks = SlaClocks(recorder=recorder)
    ranks = RankService(store=store, randomness=randomness)
    markdown = CommonMark()
    writer = WorkItemWriter(
        serializer=serializer, randomness=randomness, clocks=clocks, notifier=notifier
    )
    return ProjectServices(
        markdown=markdown,
        projects=ProjectService(store=store, clock=clock, serializer=serializer, clocks=clocks),
        members=ProjectMemberService(store=store, clock=clock),
        boards=BoardService(store=store, clock=clock, serializer=serializer, writer=writer),
        work_items=WorkItemService(
            store=store, clock=clock, serializer=serializer, writer=writer, ranks=ranks
        ),
        bulk=BulkService(store=store, clock=clock, serializer=serializer, writer=writer),
        comments=CommentService(
            store=store, clock=clock, markdown=markdown, clocks=clocks, notifier=notifier
        ),
        activity=ActivityService(store=store),
        retention=WorkItemRetention(store=store, clock=clock),
        calendars=CalendarService(store=store, clock=clock, serializer=serializer),
        sla_policies=PolicyService(store=store, clock=clock, serializer=serializer),
        sla_application=PolicyApplication(store=store, clock=clock, recorder=recorder),
        sla_explanations=SlaExplanations(store=store, clock=clock),
        sla_ticker=SlaTicker(store=store, clock=clock, recorder=recorder, reporter=reporter),
        tasks=ProjectTasks(ranks=ranks),
    )
