"""Schedules over HTTP: create, change, run, backfill, list runs, preview."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from attrs import frozen

from workbell.adapters.http.jobs.history import StatusQuery, job_page
from workbell.adapters.http.jobs.views import JobBody, job_body, make_job_body
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
    listed_body,
    preview_body,
    run_body,
    schedule_body,
)
from workbell.adapters.http.web.mapping import copy_fields
from workbell.adapters.http.web.operations import (
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
    PartialOperation,
)
from workbell.adapters.http.web.pagination import make_slice, numbered_page, with_window
from workbell.adapters.http.web.request import etag_header
from workbell.domain.constraints import Constraints, Instant
from workbell.domain.cron.rule import CronRule, DstGap, DstOverlap
from workbell.domain.jobs.job import Job, Status
from workbell.domain.list_filters import parse_ordering
from workbell.domain.schedules.schedule import ScheduleId
from workbell.ports.schedules.views import ListedSchedule, ScheduleView
from workbell.services.jobs.commands import JobService
from workbell.services.jobs.task_definitions import TaskDefinitionService
from workbell.services.schedules.commands import ScheduleService
from workbell.services.schedules.requests import Expression, Jitter, NewSchedule, ZoneName

BASE = "/api/v1/schedules"
ONE = BASE + "/{schedule_id}"
RunCount = Annotated[int, Constraints(ge=1, le=100, description="Number of runs to return.")]


@frozen(kw_only=True)
class RunsQuery(StatusQuery):
    """Statuses and page of a schedule's runs."""

    status: Sequence[Status] | None = None


@frozen(kw_only=True)
class UpcomingQuery:
    """Number of upcoming runs."""

    n: RunCount = 5


@frozen(kw_only=True)
class ExpressionBody:
    """A cron expression, and how to evaluate it."""

    cron_expression: Expression
    time_zone: ZoneName | None = None
    dst_gap: DstGap = DstGap.RUN_AFTER
    dst_overlap: DstOverlap = DstOverlap.FIRST
    jitter_seconds: Jitter = 0
    n: RunCount = 5


@frozen(kw_only=True)
class BackfillRangeBody:
    """A range of past runs, both ends included; a dry run only counts them."""

    start: Instant
    end: Instant
    dry_run: bool = False


@frozen(kw_only=True, slots=False)
class BackfilledBody(JobBody):
    """The first job of a backfill, and a summary of all its jobs."""

    backfill: BackfillSummary


@frozen(kw_only=True)
class ScheduleRoutes:
    """Schedules in one style: base path, response bodies and statuses."""

    schedules: ScheduleService
    jobs: JobService
    definitions: TaskDefinitionService
    base: str = BASE
    show: Callable[[ScheduleView], Any] = schedule_body
    show_listed: Callable[[ListedSchedule], Any] = listed_body
    show_run: Callable[[Job, ScheduleView], Any] = run_body
    statuses: Callable[[Sequence[Any] | None], Sequence[Status] | None] = lambda given: given

    def list(self, request: ApiRequest[object, ScheduleQuery]) -> ApiResponse:
        """Return a page of the schedules that match the query."""
        query = request.query
        order = parse_ordering(query.ordering, ORDERINGS, "ordering")
        return self.list_page(request, query, order, query.page, query.page_size)

    def list_page(
        self,
        request: ApiRequest,
        filters: ScheduleFilters,
        order: Sequence[str],
        page: int,
        page_size: int | None,
        prefix: str = "",
    ) -> ApiResponse:
        """Return a page of the schedules that match the filters."""
        part = make_slice(request, page, page_size)
        matching = schedule_filter(request, filters, self.definitions, prefix)
        found = self.schedules.find(request.actor, matching, order, part.offset, part.size)
        bodies = [self.show_listed(each) for each in found.schedules]
        response = numbered_page(request, part, bodies, found.total)
        return with_window(response) if found.is_cut else response

    def create(self, request: ApiRequest[NewSchedule]) -> ApiResponse:
        """Create a schedule that belongs to the caller."""
        view = self.schedules.create(request.actor, request.body)
        return self._respond(view, 201, Location=f"{self.base}/{view.schedule.id}")

    def get(self, request: ApiRequest) -> ApiResponse:
        """Return one schedule."""
        return self._respond(self.get_view(request))

    def replace(self, request: ApiRequest[Mapping[str, Any]]) -> ApiResponse:
        """Change a schedule; reset omitted `parameters` and `is_active`."""
        return self._edit(request, {"parameters": {}, "is_active": True, **request.body})

    def change(self, request: ApiRequest[Mapping[str, Any]]) -> ApiResponse:
        """Change the given fields of a schedule."""
        return self._edit(request, request.body)

    def delete(self, request: ApiRequest) -> ApiResponse:
        """Delete a schedule, but not its jobs."""
        version = request.expected_version(self.get_view(request).schedule.version)
        self.schedules.delete(request.actor, _id(request), version=version)
        return ApiResponse(status=204)

    def toggle(self, request: ApiRequest) -> ApiResponse:
        """Pause an active schedule, or resume a paused one."""
        return self._respond(self.schedules.toggle(request.actor, _id(request)))

    def run_now(self, request: ApiRequest) -> ApiResponse:
        """Enqueue an extra run of the schedule's task."""
        job = self.schedules.run_now(request.actor, _id(request))
        return ApiResponse(status=202, body=job_body(job), headers=_location(job))

    def backfill(self, request: ApiRequest[BackfillRangeBody]) -> ApiResponse:
        """Enqueue the runs of a past range, or count them in a dry run."""
        data = request.body
        plan = self.schedules.backfill(
            request.actor, _id(request), data.start, data.end, dry_run=data.dry_run
        )
        summary = copy_fields(BackfillSummary, plan)
        if not plan.jobs:
            return ApiResponse(body=BackfillBody(backfill=summary))
        first = plan.jobs[0]
        body = make_job_body(BackfilledBody, first, backfill=summary)
        return ApiResponse(status=202, body=body, headers=_location(first))

    def runs(self, request: ApiRequest[object, StatusQuery]) -> ApiResponse:
        """Return a schedule's runs, newest first."""
        query = request.query
        view = self.get_view(request)
        filters = {"schedule_id": view.schedule.id, "statuses": self.statuses(query.status)}
        return job_page(request, self.jobs, query, filters, lambda job: self.show_run(job, view))

    def upcoming(self, request: ApiRequest[object, UpcomingQuery]) -> ApiResponse:
        """Return the schedule's expression in words and its next runs."""
        preview = self.schedules.upcoming(request.actor, _id(request), request.query.n)
        return ApiResponse(body=preview_body(preview))

    def explain(self, request: ApiRequest[ExpressionBody]) -> ApiResponse:
        """Return an expression in words and its next runs."""
        data = request.body
        zone = data.time_zone or request.actor.time_zone
        rule = CronRule(data.cron_expression, zone, data.dst_gap, data.dst_overlap)
        preview = self.schedules.explain(rule, data.n, jitter_seconds=data.jitter_seconds)
        return ApiResponse(body=preview_body(preview))

    def get_view(self, request: ApiRequest) -> ScheduleView:
        """Return the schedule in the path; raise NotFound without one."""
        return self.schedules.get(request.actor, _id(request))

    def _edit(self, request: ApiRequest, changes: Mapping[str, Any]) -> ApiResponse:
        version = request.expected_version(self.get_view(request).schedule.version)
        view = self.schedules.edit(request.actor, _id(request), changes, version=version)
        return self._respond(view)

    def _respond(self, view: ScheduleView, status: int = 200, **headers: str) -> ApiResponse:
        headers = {**etag_header(view.schedule.version), **headers}
        return ApiResponse(status=status, body=self.show(view), headers=headers)


def _id(request: ApiRequest) -> ScheduleId:
    return ScheduleId(request.ids["schedule_id"])


def _location(job: Job) -> dict[str, str]:
    return {"Location": f"/api/v1/jobs/{job.id}"}


def operations(routes: ScheduleRoutes) -> Sequence[AnyOperation]:
    """Return the canonical operations on schedules."""
    style = {"tag": "schedules"}
    return (
        *collection_operations(routes, "", ScheduleBody, style),
        *item_operations(routes, "", ScheduleBody, style),
        *_run_operations(routes),
    )


def collection_operations(
    routes: ScheduleRoutes, prefix: str, body: type, style: Mapping[str, Any]
) -> Sequence[AnyOperation]:
    """Return the operations that list and create schedules, in a style."""
    return (
        Operation(
            method="GET", path=routes.base, name=f"{prefix}list_schedules",
            summary="List schedules.", handler=routes.list, query=ScheduleQuery,
            responses={200: ListOf(body, windowed=True)}, errors=(404,), **style,
        ),
        Operation(
            method="POST", path=routes.base, name=f"{prefix}create_schedule",
            summary="Create a schedule.", handler=routes.create, request=NewSchedule,
            responses={201: body}, errors=(409,), **style,
        ),
    )  # fmt: skip


def item_operations(
    routes: ScheduleRoutes, prefix: str, body: type, style: Mapping[str, Any]
) -> Sequence[AnyOperation]:
    """Return the operations that get, change and delete a schedule, in a style."""
    shared: dict[str, Any] = {"path": f"{routes.base}/{{schedule_id}}", "etag": True, **style}
    changed: dict[str, Any] = {"exists": routes.get_view, "errors": (409,), **shared}
    shown: dict[int, type | ListOf | None] = {200: body}
    return (
        Operation(
            method="GET", name=f"{prefix}get_schedule", summary="Get a schedule.",
            handler=routes.get, responses=shown, **shared,
        ),
        PartialOperation(
            method="PUT", name=f"{prefix}replace_schedule",
            summary="Change a schedule; omitted `parameters` and `is_active` get their defaults.",
            handler=routes.replace, request=NewSchedule, required=("cron_expression",),
            responses=shown, **changed,
        ),
        PartialOperation(
            method="PATCH", name=f"{prefix}change_schedule",
            summary="Change the given fields of a schedule.",
            handler=routes.change, request=NewSchedule, responses=shown, **changed,
        ),
        Operation(
            method="DELETE", name=f"{prefix}delete_schedule",
            summary="Delete a schedule; its past jobs remain.",
            handler=routes.delete, responses={204: None}, **shared,
        ),
    )  # fmt: skip


def _run_operations(routes: ScheduleRoutes) -> Sequence[AnyOperation]:
    existing: dict[str, Any] = {"tag": "schedules", "exists": routes.get_view}
    return (
        Operation(
            method="POST", path=f"{ONE}/toggle_active", name="toggle_schedule",
            summary="Pause an active schedule or resume a paused one.", handler=routes.toggle,
            responses={200: ScheduleBody}, errors=(400, 409), tag="schedules",
        ),
        Operation(
            method="POST", path=f"{BASE}/preview", name="preview_expression",
            summary="Preview a cron expression: description, next runs and warnings.",
            handler=routes.explain, request=ExpressionBody, responses={200: PreviewBody},
            tag="schedules",
        ),
        Operation(
            method="POST", path=f"{ONE}/run_now", name="run_schedule",
            summary="Run a schedule's task now, in addition to its regular runs.",
            handler=routes.run_now, responses={202: JobBody}, tag="schedules",
        ),
        Operation(
            method="POST", path=f"{ONE}/backfill", name="backfill_schedule",
            summary="Enqueue the runs of a past time range, or count them with `dry_run`.",
            handler=routes.backfill, request=BackfillRangeBody,
            responses={202: BackfilledBody, 200: BackfillBody}, **existing,
        ),
        Operation(
            method="GET", path=f"{ONE}/logs", name="list_schedule_runs",
            summary="List a schedule's runs, newest first.", handler=routes.runs,
            query=RunsQuery, responses={200: ListOf(RunBody, history=True, windowed=True)}, **existing,
        ),
        Operation(
            method="GET", path=f"{ONE}/upcoming", name="list_upcoming_runs",
            summary="List a schedule's next runs.", handler=routes.upcoming,
            query=UpcomingQuery, responses={200: PreviewBody}, **existing,
        ),
    )  # fmt: skip
