"""Progress over HTTP: log time, list and export entries, get the quota."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from workbell.adapters.http.goals.routes import ONE as GOAL
from workbell.adapters.http.goals.routes import goal_num
from workbell.adapters.http.goals.views import (
    EXPORT_COLUMNS,
    GoalProgressBody,
    QuotaBody,
    export_row,
    policy_body,
    progress_body,
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
from workbell.adapters.http.web.pagination import (
    OrderedQuery,
    Ordering,
    make_slice,
    numbered_page,
)
from workbell.adapters.http.web.query_types import FilterText
from workbell.adapters.serialization.csv_text import csv_lines
from workbell.domain import constraints
from workbell.domain.constraints import Instant
from workbell.domain.errors import NotFound
from workbell.domain.goals.goal import GoalId
from workbell.domain.list_filters import parse_ordering
from workbell.domain.rate_limits.policy import Route
from workbell.ports.goals.repository import EntryFilter
from workbell.services.goals.commands import GoalService, GoalView
from workbell.services.goals.progress import NewProgressEntry, ProgressEntryChange, ProgressService
from workbell.services.rate_limits import RateLimiting

ROOT = "/api/v1"
CSV = "text/csv"
ORDERINGS: Mapping[str, str] = {
    "progress_num": "number",
    "created_at": "created_at",
    "logged_hours": "logged",
    "total_hours": "total",
}


@frozen(kw_only=True)
class EntryQuery(OrderedQuery):
    """Filters, ordering and page of a list of progress entries."""

    is_complete: bool | None = None
    created_at__gte: Instant | None = None
    created_at__lte: Instant | None = None
    search: FilterText | None = None
    ordering: Ordering = "-created_at"


@frozen(kw_only=True)
class GoalProgressQuery(EntryQuery):
    """Filters, ordering and page of a goal's progress entries."""

    ordering: Ordering = "progress_num"


@frozen(kw_only=True)
class ProgressRoutes:
    """The caller's progress entries and quota."""

    progress: ProgressService
    goals: GoalService
    rate_limits: RateLimiting | None = None
    root: str = ROOT

    def list(self, request: ApiRequest[object, EntryQuery]) -> ApiResponse:
        """Return a page of all of the caller's entries."""
        return self._page(request)

    def list_of_goal(self, request: ApiRequest[object, EntryQuery]) -> ApiResponse:
        """Return a page of a goal's entries."""
        return self._page(request, self.get_goal(request).goal.id)

    def log(self, request: ApiRequest[NewProgressEntry]) -> ApiResponse:
        """Log time towards a goal."""
        entry = self.progress.log(request.actor, goal_num(request), request.body)
        location = f"{self.root}/goals/{entry.goal_number}/progress/{entry.number}"
        return ApiResponse(status=201, body=progress_body(entry), headers={"Location": location})

    def get(self, request: ApiRequest) -> ApiResponse:
        """Return one entry."""
        return ApiResponse(body=progress_body(self.progress.get(request.actor, *_numbers(request))))

    def change(self, request: ApiRequest[Mapping[str, Any]]) -> ApiResponse:
        """Change the given fields of an entry."""
        entry = self.progress.edit(request.actor, *_numbers(request), request.body)
        return ApiResponse(body=progress_body(entry))

    def delete(self, request: ApiRequest) -> ApiResponse:
        """Delete an entry."""
        self.progress.delete(request.actor, *_numbers(request))
        return ApiResponse(status=204)

    def export(self, request: ApiRequest) -> ApiResponse:
        """Return all of the caller's entries as CSV."""
        headers = {"Content-Disposition": 'attachment; filename="progress.csv"'}
        return ApiResponse(
            body=csv_lines(EXPORT_COLUMNS, map(export_row, self.progress.export(request.actor))),
            media_type=f"{CSV}; charset=utf-8; header=present",
            headers=headers,
        )

    def quota(self, request: ApiRequest) -> ApiResponse:
        """Return the limits of the caller's tier and their remaining requests."""
        policies = []
        if self.rate_limits is not None:
            now = self.rate_limits.clock.now()
            policies = [
                policy_body(each, now) for each in self.rate_limits.remaining(request.actor)
            ]
        body = QuotaBody(tier=request.actor.tier, policies=policies)
        return ApiResponse(body=body, headers={"Cache-Control": "no-store"})

    def get_goal(self, request: ApiRequest) -> GoalView:
        """Return the goal in the path; raise NotFound without one."""
        return self.goals.get(request.actor, goal_num(request))

    def _page(
        self, request: ApiRequest[object, EntryQuery], goal_id: GoalId | None = None
    ) -> ApiResponse:
        query = request.query
        created = {"created_from": query.created_at__gte, "created_to": query.created_at__lte}
        filters = copy_fields(EntryFilter, query, goal_id=goal_id, **created)
        part = make_slice(request, query.page, query.page_size)
        if part.offset >= constraints.COUNT_CAP:
            raise NotFound(f"Pages end at {constraints.COUNT_CAP:,} results; narrow `created_at`.")
        order = parse_ordering(query.ordering, ORDERINGS, "ordering")
        page = self.progress.find(request.actor, filters, order, part.offset, part.size)
        bodies = [progress_body(entry) for entry in page.entries]
        response = numbered_page(request, part, bodies, page.total)
        if part.offset + part.size >= constraints.COUNT_CAP:
            response.body["next"] = None
        if page.exceeds_window:
            response.body["search_window"] = constraints.SEARCH_WINDOW
        return response


def _numbers(request: ApiRequest) -> tuple[int, int]:
    return goal_num(request), request.ids["progress_num"]


def operations(routes: ProgressRoutes) -> Sequence[AnyOperation]:
    """Return the canonical operations on progress."""
    style: dict[str, Any] = {"tag": "goals"}
    return (
        *commands(routes, "", style),
        Operation(
            method="GET", path=f"{routes.root}/progress/export", name="export_progress",
            summary="Download all progress entries as CSV.", handler=routes.export,
            media_types=(CSV,), limit=Route.PROGRESS, **style,
        ),
        Operation(
            method="GET", path=f"{routes.root}/quota", name="get_quota",
            summary="Get the remaining quota; the request itself does not count towards it.",
            handler=routes.quota, responses={200: QuotaBody}, **style,
        ),
    )  # fmt: skip


def commands(
    routes: ProgressRoutes, prefix: str, style: Mapping[str, Any]
) -> Sequence[AnyOperation]:
    """Return the operations on progress entries in a style."""
    of_goal = f"{routes.root}/goals{GOAL}/progress"
    one = f"{of_goal}/{{progress_num}}"
    counted: dict[str, Any] = {**style, "limit": Route.PROGRESS}
    shown: dict[int, type | ListOf | None] = {200: GoalProgressBody}
    return (
        Operation(
            method="GET", path=of_goal, name=f"{prefix}list_goal_progress",
            summary="List the progress entries of a goal.", handler=routes.list_of_goal,
            query=GoalProgressQuery, exists=routes.get_goal,
            responses={200: ListOf(GoalProgressBody, windowed=True)}, **counted,
        ),
        Operation(
            method="POST", path=of_goal, name=f"{prefix}log_progress",
            summary="Log time towards a goal as a progress entry.", handler=routes.log,
            request=NewProgressEntry, exists=routes.get_goal, responses={201: GoalProgressBody},
            errors=(409,), **counted,
        ),
        Operation(
            method="GET", path=one, name=f"{prefix}get_progress", summary="Get a progress entry.",
            handler=routes.get, responses=shown, **counted,
        ),
        PartialOperation(
            method="PATCH", path=one, name=f"{prefix}change_progress",
            summary="Change the given fields of a progress entry.", handler=routes.change,
            request=ProgressEntryChange, exists=routes.get, responses=shown, **counted,
        ),
        Operation(
            method="DELETE", path=one, name=f"{prefix}delete_progress",
            summary="Delete a progress entry.", handler=routes.delete, responses={204: None},
            **counted,
        ),
        Operation(
            method="GET", path=f"{routes.root}/progress", name=f"{prefix}list_progress",
            summary="List the progress entries of all goals, newest first.", handler=routes.list,
            query=EntryQuery, responses={200: ListOf(GoalProgressBody, windowed=True)}, errors=(404,), **counted,
        ),
    )  # fmt: skip
