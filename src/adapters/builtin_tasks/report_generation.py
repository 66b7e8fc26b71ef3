"""Report Generation: the jobs and schedules of a period, as a page."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal

from attrs import evolve, frozen

from workbell.adapters.builtin_tasks import report_html as report_page
from workbell.adapters.builtin_tasks.report_data import ReportFacts, Section
from workbell.domain.constraints import Constraints
from workbell.domain.identity.actor import Scope
from workbell.domain.jobs.job import Job
from workbell.domain.jobs.task import Task, TaskContext
from workbell.ports.jobs.repository import JobFilter
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
    """Which period the report covers, and whether it draws."""

    report_type: Annotated[
        ReportType, Constraints(description="The period, which ends when the report is made.")
    ] = "daily"
    include_charts: bool = False


@frozen
class Reporter:
    """
    Writes reports on what a job's owner has run.

    `sections` follow one another in the report; deliveries and goals come to
    the list with their contexts.
    """

    store: Store[SchedulesTx]
    sections: Sequence[Callable[[ReportFacts], Section]] = (
        report_page.outcomes,
        report_page.tasks,
        report_page.failures,
        report_page.schedules,
    )

    def run(self, context: TaskContext, parameters: ReportGeneration) -> dict[str, Any]:
        """
        Make the page and its tables, from the owner's own rows only.

        Raises:
            Unavailable: The store does not answer.
            Interrupted: The job was stopped between two pages of rows.
        """
        until = context.now()
        since = until - timedelta(days=DAYS[parameters.report_type])
        jobs = list(self._jobs(context, JobFilter(created_from=since, created_to=until)))
        facts = ReportFacts(
            report_type=parameters.report_type,
            since=since,
            until=until,
            jobs=jobs,
            schedules=list(self._schedules(context)),
            complete=len(jobs) < MAX_JOBS,
        )
        sections = [section(facts) for section in self.sections]
        page = report_page.page(facts, sections, charts=parameters.include_charts)
        context.artifact("report.html", page.encode(), "text/html")
        context.artifact("jobs.csv", report_page.jobs_csv(facts), "text/csv")
        context.artifact("schedules.csv", report_page.schedules_csv(facts), "text/csv")
        context.log.info("reported", jobs=len(jobs), schedules=len(facts.schedules))
        return {
            "report_type": parameters.report_type,
            "include_charts": parameters.include_charts,
            "period_start": report_page.moment_text(since),
            "period_end": report_page.moment_text(until),
            "jobs": len(jobs),
            "by_status": facts.by_status(),
            "schedules": len(facts.schedules),
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
        """Yield the period's jobs, the newest first, page by page."""
        scope, before = Scope(owner=context.owner), None
        for start in range(0, MAX_JOBS, PAGE):
            context.check()
            with self.store.view() as tx:
                part = tx.jobs.find(
                    scope,
                    JobFilter(
                        created_from=filters.created_from,
                        created_to=filters.created_to,
                        before_id=before,
                    ),
                    limit=PAGE,
                )
            # what jobs took and gave may be large, and is not reported
            yield from (evolve(job, parameters={}, result=None) for job in part)
            context.progress(start + len(part), note="jobs read")
            if len(part) < PAGE:
                return
            before = part[-1].id

    def _schedules(self, context: TaskContext) -> Iterator[ScheduleView]:
        scope = Scope(owner=context.owner)
        for start in range(0, MAX_SCHEDULES, PAGE):
            context.check()
            with self.store.view() as tx:
                part = tx.schedules.find(
                    scope, ScheduleFilter(), ordering=("id",), offset=start, limit=PAGE
                )
            yield from part
            if len(part) < PAGE:
                return
