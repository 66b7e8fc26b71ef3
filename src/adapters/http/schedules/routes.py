"""Schedules over HTTP: list, create, change, run, look back and ahead."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from attrs import frozen

from workbell.adapters.http.jobs.history import StatusQuery, history
from workbell.adapters.http.jobs.views import JobBody, job_body, job_facts
from workbell.adapters.http.schedules.filters import (
    ORDERINGS,
    ScheduleFilters,
    ScheduleQuery,
    schedule_filter,
)
from workbell.adapters.http.schedules.views import (
    BackfillBody,
    BackfillSummary,
    PreviewBody,
    RunBody,
    ScheduleBody,
    backfill_summary,
    listed_body,
    preview_body,
    run_body,
    schedule_body,
)
from workbell.adapters.http.web.operations import (
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
    PartialOperation,
)
from workbell.adapters.http.web.pagination import (
    Cursor,
    PageNumber,
    PageSize,
    make_slice,
    numbered,
    ordering,
)
from workbell.adapters.http.web.request import etag
from workbell.domain.constraints import Constraints
from workbell.domain.cron.rule import CronRule, DstGap, DstOverlap
from workbell.domain.errors import Invalid
from workbell.domain.jobs.job import Job, Status
from workbell.domain.schedules.schedule import ScheduleId
from workbell.ports.schedules.views import ListedSchedule, ScheduleView
from workbell.services.jobs.commands import JobService
from workbell.services.jobs.task_definitions import TaskDefinitionService
from workbell.services.schedules.commands import ScheduleService
from workbell.services.schedules.requests import Expression, NewSchedule, ZoneName

BASE = "/api/v1/schedules"
ONE = BASE + "/{schedule_id}"
RunCount = Annotated[int, Constraints(ge=1, le=100, description="How many runs to show.")]


@frozen(kw_only=True)
class RunsQuery:
    """Which runs of a schedule to list, newest first."""

    status: Sequence[Status] | None = None
    page: PageNumber = 1
    page_size: PageSize = None
    cursor: Cursor = None


@frozen(kw_only=True)
class UpcomingQuery:
    """How many runs to show."""

    n: RunCount = 5


@frozen(kw_only=True)
class ExpressionBody:
    """An expression to explain."""

    cron_expression: Expression
    time_zone: ZoneName | None = None
    dst_gap: DstGap = DstGap.RUN_AFTER
    dst_overlap: DstOverlap = DstOverlap.FIRST
    n: RunCount = 5


@frozen(kw_only=True)
class BackfillRangeBody:
    """A range of past runs, both ends included; a dry run only counts them."""

    start: datetime
    end: datetime
    dry_run: bool = False


@frozen(kw_only=True, slots=False)
class BackfilledBody(JobBody):
    """The first job of a backfill, and what the whole of it comes to."""

    backfill: BackfillSummary


@frozen(kw_only=True)
class ScheduleRoutes:
    """Schedules, shown in the form and the words of one style."""

    scheduling: ScheduleService
    jobs: JobService
    definitions: TaskDefinitionService
    base: str = BASE
    show: Callable[[ScheduleView], Any] = schedule_body
    show_listed: Callable[[ListedSchedule], Any] = listed_body
    show_run: Callable[[Job, ScheduleView], Any] = run_body
    statuses: Callable[[Sequence[Any] | None], Sequence[Status] | None] = lambda given: given

    def list(self, call: ApiRequest[object, ScheduleQuery]) -> ApiResponse:
        """Return a page of the schedules that the query selects."""
        query = call.query
        order = ordering(query.ordering, ORDERINGS, "ordering")
        return self.list_page(call, query, order, query.page, query.page_size)

    def list_page(
        self,
        call: ApiRequest,
        filters: ScheduleFilters,
        order: Sequence[str],
        page: int,
        page_size: int | None,
        prefix: str = "",
    ) -> ApiResponse:
        """Return a page of the schedules that the filters select."""
        part = make_slice(call, page, page_size)
        selected = schedule_filter(call, filters, self.definitions, prefix)
        found, total = self.scheduling.find(call.actor, selected, order, part.offset, part.size)
        return numbered(call, part, [self.show_listed(each) for each in found], total)

    def create(self, call: ApiRequest[NewSchedule]) -> ApiResponse:
        """Give the caller a new schedule."""
        view = self.scheduling.create(call.actor, call.body)
        location = {"Location": f"{self.base}/{view.schedule.id}"}
        return self._answer(view, 201, location)

    def get(self, call: ApiRequest) -> ApiResponse:
        """Return one schedule."""
        return self._answer(self._seen(call))

    def replace(self, call: ApiRequest[Mapping[str, Any]]) -> ApiResponse:
        """Change a schedule; parameters and switch take their defaults where left out."""
        _check_replacement(call.body)
        return self._edit(call, {"parameters": {}, "is_active": True, **call.body})

    def change(self, call: ApiRequest[Mapping[str, Any]]) -> ApiResponse:
        """Change the fields of a schedule that are given."""
        return self._edit(call, call.body)

    def delete(self, call: ApiRequest) -> ApiResponse:
        """Delete a schedule; its history stays."""
        version = call.version(self._seen(call).schedule.version)
        self.scheduling.delete(call.actor, _id(call), version=version)
        return ApiResponse(status=204)

    def toggle(self, call: ApiRequest) -> ApiResponse:
        """Pause an active schedule, or resume a paused one."""
        return self._answer(self.scheduling.toggle(call.actor, _id(call)))

    def run_now(self, call: ApiRequest) -> ApiResponse:
        """Run the schedule's task once more, now."""
        job = self.scheduling.run_now(call.actor, _id(call))
        return ApiResponse(status=202, body=job_body(job), headers=_location(job))

    def backfill(self, call: ApiRequest[BackfillRangeBody]) -> ApiResponse:
        """Run the ticks of a past range."""
        asked = call.body
        plan = self.scheduling.backfill(
            call.actor, _id(call), asked.start, asked.end, dry_run=asked.dry_run
        )
        summary = backfill_summary(plan)
        if not plan.jobs:
            return ApiResponse(body=BackfillBody(backfill=summary))
        first = plan.jobs[0]
        body = BackfilledBody(status=first.status, backfill=summary, **job_facts(first))
        return ApiResponse(status=202, body=body, headers=_location(first))

    def runs(self, call: ApiRequest[object, StatusQuery]) -> ApiResponse:
        """Return a schedule's runs, newest first."""
        query = call.query
        view = self._seen(call)
        filters = {"schedule_id": view.schedule.id, "statuses": self.statuses(query.status)}
        return history(call, self.jobs, query, filters, lambda job: self.show_run(job, view))

    def upcoming(self, call: ApiRequest[object, UpcomingQuery]) -> ApiResponse:
        """Explain the schedule's expression and its next runs."""
        return ApiResponse(
            body=preview_body(self.scheduling.upcoming(call.actor, _id(call), call.query.n))
        )

    def explain(self, call: ApiRequest[ExpressionBody]) -> ApiResponse:
        """Explain an expression and its next runs."""
        asked = call.body
        zone = asked.time_zone or call.actor.time_zone
        rule = CronRule(asked.cron_expression, zone, asked.dst_gap, asked.dst_overlap)
        return ApiResponse(body=preview_body(self.scheduling.explain(rule, asked.n)))

    def exists(self, call: ApiRequest) -> object:
        """Look for the schedule, before anything that was sent is judged."""
        return self._seen(call)

    def _seen(self, call: ApiRequest) -> ScheduleView:
        return self.scheduling.get(call.actor, _id(call))

    def _edit(self, call: ApiRequest, given: Mapping[str, Any]) -> ApiResponse:
        version = call.version(self._seen(call).schedule.version)
        return self._answer(self.scheduling.edit(call.actor, _id(call), given, version=version))

    def _answer(
        self, view: ScheduleView, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> ApiResponse:
        tags = etag(view.schedule.version) | dict(headers or {})
        return ApiResponse(status=status, body=self.show(view), headers=tags)


def _id(call: ApiRequest) -> ScheduleId:
    return ScheduleId(call.ids["schedule_id"])


def _check_replacement(body: Mapping[str, Any]) -> None:
    if "cron_expression" not in body:
        raise Invalid.field("cron_expression", "cron_expression is required")


def _location(job: Job) -> dict[str, str]:
    return {"Location": f"/api/v1/jobs/{job.id}"}


def operations(schedules: ScheduleRoutes) -> Sequence[AnyOperation]:
    """Return the canonical operations on schedules."""
    return (*_commands(schedules), *_of_runs(schedules))


def _commands(schedules: ScheduleRoutes) -> Sequence[AnyOperation]:
    own: dict[str, Any] = {"tag": "schedules", "exists": schedules.exists}
    shown: dict[int, type | ListOf | None] = {200: ScheduleBody}
    return (
        Operation(
            method="GET", path=BASE, name="list_schedules", summary="List schedules.",
            handler=schedules.list, query=ScheduleQuery, answers={200: ListOf(ScheduleBody)},
            tag="schedules", errors=(404,),
        ),
        Operation(
            method="POST", path=BASE, name="create_schedule", summary="Create a schedule.",
            handler=schedules.create, request=NewSchedule, answers={201: ScheduleBody},
            errors=(409,), tag="schedules",
        ),
        Operation(
            method="GET", path=ONE, name="get_schedule", summary="Show a schedule.",
            handler=schedules.get, answers=shown, etag=True, tag="schedules",
        ),
        PartialOperation(
            method="PUT", path=ONE, name="replace_schedule", summary="Replace a schedule.",
            handler=schedules.replace, request=NewSchedule, answers=shown,
            errors=(409,), etag=True, **own,
        ),
        PartialOperation(
            method="PATCH", path=ONE, name="change_schedule", summary="Change a schedule.",
            handler=schedules.change, request=NewSchedule, answers=shown,
            errors=(409,), etag=True, **own,
        ),
        Operation(
            method="DELETE", path=ONE, name="delete_schedule", summary="Delete a schedule.",
            handler=schedules.delete, answers={204: None}, etag=True, tag="schedules",
        ),
        Operation(
            method="POST", path=f"{ONE}/toggle_active", name="toggle_schedule",
            summary="Pause an active schedule, or resume a paused one.",
            handler=schedules.toggle, answers=shown, errors=(400, 409), tag="schedules",
        ),
    )  # fmt: skip


def _of_runs(schedules: ScheduleRoutes) -> Sequence[AnyOperation]:
    own: dict[str, Any] = {"tag": "schedules", "exists": schedules.exists}
    return (
        Operation(
            method="POST", path=f"{BASE}/preview", name="preview_expression",
            summary="Explain a cron expression: words, next runs, warnings.",
            handler=schedules.explain, request=ExpressionBody, answers={200: PreviewBody},
            tag="schedules",
        ),
        Operation(
            method="POST", path=f"{ONE}/run_now", name="run_schedule",
            summary="Run a schedule's task once more, now.",
            handler=schedules.run_now, answers={202: JobBody}, tag="schedules",
        ),
        Operation(
            method="POST", path=f"{ONE}/backfill", name="backfill_schedule",
            summary="Run the past runs of a range.", handler=schedules.backfill,
            request=BackfillRangeBody, answers={202: BackfilledBody, 200: BackfillBody}, **own,
        ),
        Operation(
            method="GET", path=f"{ONE}/logs", name="list_schedule_runs",
            summary="List a schedule's runs, newest first.", handler=schedules.runs,
            query=RunsQuery, answers={200: ListOf(RunBody, history=True)}, **own,
        ),
        Operation(
            method="GET", path=f"{ONE}/upcoming", name="list_upcoming_runs",
            summary="Show a schedule's next runs.", handler=schedules.upcoming,
            query=UpcomingQuery, answers={200: PreviewBody}, **own,
        ),
    )  # fmt: skip
