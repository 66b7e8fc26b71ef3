"""Goals over HTTP: create, list, change, pause, archive; timers."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import frozen

from workbell.adapters.http.goals.views import (
    GoalBody,
    GoalProgressBody,
    TimerBody,
    goal_body,
    progress_body,
    timer_body,
)
from workbell.adapters.http.web.mapping import copy_fields
from workbell.adapters.http.web.operations import (
    AnyOperation,
    ApiRequest,
    ApiResponse,
    Handler,
    ListOf,
    Operation,
    PartialOperation,
)
from workbell.adapters.http.web.pagination import OrderedQuery, Ordering, ordered_page
from workbell.adapters.http.web.query_types import FilterText
from workbell.adapters.http.web.request import etag_header
from workbell.domain.constraints import Day
from workbell.domain.goals.goal import Category, GoalState
from workbell.domain.identity.actor import Actor
from workbell.ports.goals.repository import GoalFilter
from workbell.services.goals.commands import GoalService, GoalView, NewGoal
from workbell.services.goals.timers import TimerService, TimerStop

BASE = "/api/v1/goals"
ONE = "/{goal_num}"
ORDERINGS: Mapping[str, str] = {
    "goal_num": "number",
    "goal_name": "name",
    "category": "category",
    "deadline": "deadline",
    "is_complete": "is_complete",
    "created_at": "created_at",
    "updated_at": "updated_at",
}


@frozen(kw_only=True)
class GoalQuery(OrderedQuery):
    """Filters, ordering and page of a list of goals."""

    category: Category | None = None
    is_complete: bool | None = None
    state: Sequence[GoalState] | None = None
    deadline__gte: Day | None = None
    deadline__lte: Day | None = None
    search: FilterText | None = None
    ordering: Ordering = "goal_num"


@frozen(kw_only=True)
class GoalRoutes:
    """The caller's goals and timer, under one base path."""

    goals: GoalService
    timers: TimerService
    base: str = BASE

    def list(self, request: ApiRequest[object, GoalQuery]) -> ApiResponse:
        """Return a page of the caller's goals."""
        query = request.query
        filters = copy_fields(
            GoalFilter,
            query,
            states=query.state,
            deadline_from=query.deadline__gte,
            deadline_to=query.deadline__lte,
        )
        find = partial(self.goals.find, request.actor, filters)
        return ordered_page(request, ORDERINGS, find, goal_body)

    def create(self, request: ApiRequest[NewGoal]) -> ApiResponse:
        """Create a goal that belongs to the caller."""
        view = self.goals.create(request.actor, request.body)
        return _goal_response(view, 201, Location=f"{self.base}/{view.goal.number}")

    def get(self, request: ApiRequest) -> ApiResponse:
        """Return one goal."""
        return _goal_response(self.get_view(request))

    def change(self, request: ApiRequest[Mapping[str, Any]]) -> ApiResponse:
        """Change the given fields of a goal."""
        version = request.expected_version(self.get_view(request).goal.version)
        view = self.goals.edit(request.actor, goal_num(request), request.body, version=version)
        return _goal_response(view)

    def delete(self, request: ApiRequest) -> ApiResponse:
        """Delete a goal and its progress entries."""
        version = request.expected_version(self.get_view(request).goal.version)
        self.goals.delete(request.actor, goal_num(request), version=version)
        return ApiResponse(status=204)

    def make_switch(self, switch: Callable[[Actor, int], GoalView]) -> Handler:
        """Return a handler that changes the state of a goal."""
        return lambda request: _goal_response(switch(request.actor, goal_num(request)))

    def start_timer(self, request: ApiRequest) -> ApiResponse:
        """Start the caller's timer; a running one is stopped and logged."""
        return ApiResponse(body=timer_body(self.timers.start(request.actor, goal_num(request))))

    def stop_timer(self, request: ApiRequest[TimerStop]) -> ApiResponse:
        """Stop the caller's timer and return the progress entry of its time."""
        entry = self.timers.stop(request.actor, goal_num(request), request.body)
        return ApiResponse(body=progress_body(entry))

    def get_view(self, request: ApiRequest) -> GoalView:
        """Return the goal in the path; raise NotFound without one."""
        return self.goals.get(request.actor, goal_num(request))


def goal_num(request: ApiRequest) -> int:
    """Return the number of the goal in a path."""
    return request.ids["goal_num"]


def _goal_response(view: GoalView, status: int = 200, **headers: str) -> ApiResponse:
    headers = {**etag_header(view.goal.version), **headers}
    return ApiResponse(status=status, body=goal_body(view), headers=headers)


def operations(goals: GoalRoutes) -> Sequence[AnyOperation]:
    """Return the canonical operations on goals and timers."""
    style: dict[str, Any] = {"errors": (409,), "tag": "goals"}
    timer = f"{goals.base}{ONE}/timer"
    service = goals.goals
    switches = (
        ("pause", "Pause a goal and stop its timer.", service.pause),
        ("resume", "Resume a paused or archived goal.", service.resume),
        ("archive", "Archive a goal and stop its timer.", service.archive),
    )
    return (
        *commands(goals, "", {"tag": "goals"}),
        *(
            Operation(
                method="POST", path=f"{goals.base}{ONE}/{word}", name=f"{word}_goal",
                summary=summary, handler=goals.make_switch(switch), responses={200: GoalBody},
                **style,
            )
            for word, summary, switch in switches
        ),
        Operation(
            method="POST", path=f"{timer}/start", name="start_timer",
            summary="Start the timer for a goal; a running timer is stopped and logged.",
            handler=goals.start_timer, responses={200: TimerBody}, **style,
        ),
        Operation(
            method="POST", path=f"{timer}/stop", name="stop_timer",
            summary="Stop the timer and log its time.", handler=goals.stop_timer,
            request=TimerStop, optional=True, exists=goals.get_view,
            responses={200: GoalProgressBody}, **style,
        ),
    )  # fmt: skip


def commands(goals: GoalRoutes, prefix: str, style: Mapping[str, Any]) -> Sequence[AnyOperation]:
    """Return the operations on goals in a style."""
    base, one = goals.base, goals.base + ONE
    shown: dict[int, type | ListOf | None] = {200: GoalBody}
    return (
        Operation(
            method="GET", path=base, name=f"{prefix}list_goals", summary="List goals.",
            handler=goals.list, query=GoalQuery, responses={200: ListOf(GoalBody)},
            errors=(404,), **style,
        ),
        Operation(
            method="POST", path=base, name=f"{prefix}create_goal", summary="Create a goal.",
            handler=goals.create, request=NewGoal, responses={201: GoalBody}, **style,
        ),
        Operation(
            method="GET", path=one, name=f"{prefix}get_goal", summary="Get a goal.",
            handler=goals.get, responses=shown, etag=True, **style,
        ),
        PartialOperation(
            method="PATCH", path=one, name=f"{prefix}change_goal",
            summary="Change the given fields of a goal.", handler=goals.change, request=NewGoal,
            exists=goals.get_view, responses=shown, etag=True, **style,
        ),
        Operation(
            method="DELETE", path=one, name=f"{prefix}delete_goal",
            summary="Delete a goal and its progress entries.", handler=goals.delete,
            responses={204: None}, etag=True, **style,
        ),
    )  # fmt: skip
