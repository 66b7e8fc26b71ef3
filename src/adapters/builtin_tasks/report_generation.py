"""Report Generation: an HTML report on jobs and schedules of a period."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal

from attrs import evolve, frozen

from workbell.adapters.builtin_tasks import report_html as report_page
from workbell.adapters.builtin_tasks.report_data import ReportData, Section
from workbell.domain.constraints import Constraints
from workbell.domain.identity.actor import Scope
from workbell.domain.jobs.job import Job
from workbell.domain.jobs.task import Task, TaskContext
from workbell.ports.jobs.views import JobFilter
from workbell.ports.schedules.repository import SchedulesTx
from workbell.ports.schedules.views import ScheduleFilter, ScheduleView
from workbell.ports.store import Store

ReportType = Literal["daily", "weekly", "monthly", "quarterly", "yearly"]

DAYS = {"daily": 1, "weekly": 7, "monthly": 30, "quarterly": 91, "yearly": 365}
PAGE = 500
MAX_JOBS = 50_000
MAX_SCHEDULES = 5_000


@frozen(kw_only=True)
class ReportGeneration:
    """Parameters of Report Generation."""

    report_type: Annotated[
        ReportType, Constraints(description="The period, which ends when the job runs.")
    ] = "daily"
    include_charts: bool = False


@frozen
class ReportGenerator:
    """Writes reports, with `sections` in order, on the jobs of an owner."""

    store: Store[SchedulesTx]
    sections: Sequence[Callable[[ReportData], Section]] = (
        report_page.outcomes,
        report_page.tasks,
        report_page.failures,
        report_page.schedules,
    )

    def run(self, context: TaskContext, parameters: ReportGeneration) -> dict[str, Any]:
        """Write the report and its CSV tables, from the owner's rows only."""
        until = context.now()
        since = until - timedelta(days=DAYS[parameters.report_type])
        jobs = list(self._jobs(context, JobFilter(created_from=since, created_to=until)))
        data = ReportData(
            report_type=parameters.report_type,
            since=since,
            until=until,
            jobs=jobs,
            schedules=list(self._schedules(context)),
            complete=len(jobs) < MAX_JOBS,
        )
        sections = [section(data) for section in self.sections]
        page = report_page.page(data, sections, charts=parameters.include_charts)
        context.artifact("report.html", page.encode(), "text/html")
        context.artifact("jobs.csv", report_page.jobs_csv(data), "text/csv")
        context.artifact("schedules.csv", report_page.schedules_csv(data), "text/csv")
        context.log.info("report_written", jobs=len(jobs), schedules=len(data.schedules))
        return {
            "report_type": parameters.report_type,
            "include_charts": parameters.include_charts,
            "period_start": report_page.format_time(since),
            "period_end": report_page.format_time(until),
            "jobs": len(jobs),
            "by_status": data.by_status(),
            "schedules": len(data.schedules),
            "sections": [section.title for section in sections],
            "artifacts": ["report.html", "jobs.csv", "schedules.csv"],
        }

    def task(self) -> Task:
        """Return the task."""
        return Task(
            key="report.generate",
            name="Report Generation",
            description="Reports on your jobs and schedules of a period, with charts if asked.",
            parameters=ReportGeneration,
            body=self.run,
            timeout_seconds=1800,
        )

    def _jobs(self, context: TaskContext, filters: JobFilter) -> Iterator[Job]:
        """Yield the jobs of the period, the newest first."""
        scope, count = Scope(owner=context.owner), 0
        while count < MAX_JOBS:
            context.check()
            with self.store.view() as tx:
                page = tx.jobs.list_page(scope, filters, limit=PAGE, is_counted=False)
            # parameters and results may be large, and are not reported
            yield from (evolve(job, parameters={}, result=None) for job in page.jobs)
            count += len(page.jobs)
            context.progress(count, note="jobs read")
            before = page.jobs[-1].id if len(page.jobs) == PAGE else page.next_before
            if before is None:
                return
            filters = evolve(filters, before_id=before)

    def _schedules(self, context: TaskContext) -> Iterator[ScheduleView]:
        scope = Scope(owner=context.owner)
        for start in range(0, MAX_SCHEDULES, PAGE):
            context.check()
            with self.store.view() as tx:
                views = tx.schedules.find(
                    scope, ScheduleFilter(), ordering=("id",), offset=start, limit=PAGE
                )
            yield from views
            if len(views) < PAGE:
                return
