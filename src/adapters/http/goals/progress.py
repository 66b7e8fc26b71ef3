"""Progress over HTTP: log time, list it, export it, and see the quota."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import evolve, frozen

from workbell.adapters.http.goals.routes import ONE as GOAL
from workbell.adapters.http.goals.routes import goal_num
from workbell.adapters.http.goals.views import (
    GoalProgressBody,
    QuotaBody,
    csv_pieces,
    policy_body,
    progress_body,
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
    Ordering,
    PageNumber,
    PageSize,
    make_slice,
    numbered_page,
    parse_ordering,
)
from workbell.adapters.http.web.query_types import FilterText
from workbell.domain.rate_limits.policy import Route
from workbell.ports.goals.repository import EntryFilter
from workbell.services.goals.commands import GoalService
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
class EntryQuery:
    """Which entries to list, newest first unless asked otherwise."""

    is_complete: bool | None = None
    created_at__gte: datetime | None = None
    created_at__lte: datetime | None = None
    search: FilterText | None = None
    ordering: Ordering = "-created_at"
    page: PageNumber = 1
    page_size: PageSize = None


@frozen(kw_only=True)
class GoalProgressQuery(EntryQuery):
    """Which entries of a goal to list, by number unless asked otherwise."""

    ordering: Ordering = "progress_num"


@frozen(kw_only=True)
class ProgressRoutes:
    """A person's progress entries, and what is left of their quota."""

    progress: ProgressService
    goals: GoalService
    rate_limits: RateLimiting | None = None
    root: str = ROOT

    def list(self, request: ApiRequest[object, EntryQuery]) -> ApiResponse:
        """Return a page of all of the caller's entries."""
        return self._page(request, EntryFilter())

    def list_of_goal(self, request: ApiRequest[object, EntryQuery]) -> ApiResponse:
        """Return a page of a goal's entries."""
        goal = self.goals.get(request.actor, goal_num(request)).goal
        return self._page(request, EntryFilter(goal_id=goal.id))

    def log(self, request: ApiRequest[NewProgressEntry]) -> ApiResponse:
        """Log time towards a goal."""
        entry = self.progress.log(request.actor, goal_num(request), request.body)
        location = f"{self.root}/goals/{entry.goal_number}/progress/{entry.number}"
        return ApiResponse(status=201, body=progress_body(entry), headers={"Location": location})

    def get(self, request: ApiRequest) -> ApiResponse:
        """Return one entry."""
        return ApiResponse(body=progress_body(self.progress.get(request.actor, *_numbers(request))))

    def change(self, request: ApiRequest[Mapping[str, Any]]) -> ApiResponse:
        """Change the fields of an entry that are given."""
        entry = self.progress.edit(request.actor, *_numbers(request), request.body)
        return ApiResponse(body=progress_body(entry))

    def delete(self, request: ApiRequest) -> ApiResponse:
        """Delete an entry."""
        self.progress.delete(request.actor, *_numbers(request))
        return ApiResponse(status=204)

    def export(self, request: ApiRequest) -> ApiResponse:
        """Return all of the caller's entries as CSV."""
        headers = {"Content-Disposition": 'attachment; filename="progress.csv"'}
        pieces = csv_pieces(self.progress.export(request.actor))
        return ApiResponse(
            body=pieces, media_type=f"{CSV}; charset=utf-8; header=present", headers=headers
        )

    def quota(self, request: ApiRequest) -> ApiResponse:
        """Return what is left of the caller's quota and rate."""
        policies = []
        if self.rate_limits is not None:
            now = self.rate_limits.clock.now()
            policies = [
                policy_body(each, now) for each in self.rate_limits.remaining(request.actor)
            ]
        headers = {"Cache-Control": "no-store"}
        return ApiResponse(
            body=QuotaBody(tier=request.actor.tier, policies=policies), headers=headers
        )

    def goal_exists(self, request: ApiRequest) -> object:
        """Look for the goal, before anything that was sent is judged."""
        return self.goals.get(request.actor, goal_num(request))

    def exists(self, request: ApiRequest) -> object:
        """Look for the entry, before anything that was sent is judged."""
        return self.progress.get(request.actor, *_numbers(request))

    def _page(self, request: ApiRequest[object, EntryQuery], filters: EntryFilter) -> ApiResponse:
        query = request.query
        order = parse_ordering(query.ordering, ORDERINGS, "ordering")
        part = make_slice(request, query.page, query.page_size)
        filters = evolve(
            filters,
            is_complete=query.is_complete,
            created_from=query.created_at__gte,
            created_to=query.created_at__lte,
            search=query.search,
        )
        found, total = self.progress.find(request.actor, filters, order, part.offset, part.size)
        return numbered_page(request, part, [progress_body(entry) for entry in found], total)


def _numbers(request: ApiRequest) -> tuple[int, int]:
    return goal_num(request), request.ids["progress_num"]


def operations(progress: ProgressRoutes) -> Sequence[AnyOperation]:
    """Return the canonical operations on progress."""
    style = {"tag": "goals"}
    return (*commands(progress, "", style), *_collection_operations(progress))


def commands(
    progress: ProgressRoutes, prefix: str, style: Mapping[str, Any]
) -> Sequence[AnyOperation]:
    """Return the operations that list, log, show, change and delete entries, in a style."""
    of_goal = f"{progress.root}/goals{GOAL}/progress"
    one = f"{of_goal}/{{progress_num}}"
    counted: dict[str, Any] = {**style, "limit": Route.PROGRESS}
    shown: dict[int, type | ListOf | None] = {200: GoalProgressBody}
    return (
        Operation(
            method="GET", path=of_goal, name=f"{prefix}list_goal_progress",
            summary="List a goal's progress.", handler=progress.list_of_goal,
            query=GoalProgressQuery, exists=progress.goal_exists,
            responses={200: ListOf(GoalProgressBody)}, **counted,
        ),
        Operation(
            method="POST", path=of_goal, name=f"{prefix}log_progress",
            summary="Log time towards a goal.", handler=progress.log, request=NewProgressEntry,
            exists=progress.goal_exists, responses={201: GoalProgressBody}, errors=(409,), **counted,
        ),
        Operation(
            method="GET", path=one, name=f"{prefix}get_progress", summary="Show an entry.",
            handler=progress.get, responses=shown, **counted,
        ),
        PartialOperation(
            method="PATCH", path=one, name=f"{prefix}change_progress",
            summary="Change an entry.", handler=progress.change, request=ProgressEntryChange,
            exists=progress.exists, responses=shown, **counted,
        ),
        Operation(
            method="DELETE", path=one, name=f"{prefix}delete_progress",
            summary="Delete an entry.", handler=progress.delete, responses={204: None}, **counted,
        ),
        Operation(
            method="GET", path=f"{progress.root}/progress", name=f"{prefix}list_progress",
            summary="List all of one's progress, newest first.", handler=progress.list,
            query=EntryQuery, responses={200: ListOf(GoalProgressBody)}, errors=(404,), **counted,
        ),
    )  # fmt: skip


def _collection_operations(progress: ProgressRoutes) -> Sequence[AnyOperation]:
    return (
        Operation(
            method="GET", path=f"{progress.root}/progress/export", name="export_progress",
            summary="Download all of one's progress as CSV.", handler=progress.export,
            media_types=(CSV,), limit=Route.PROGRESS, tag="goals",
        ),
        Operation(
            method="GET", path=f"{progress.root}/quota", name="get_quota",
            summary="Show what is left of one's quota; this costs nothing of it.",
            handler=progress.quota, responses={200: QuotaBody}, tag="goals",
        ),
    )  # fmt: skip
