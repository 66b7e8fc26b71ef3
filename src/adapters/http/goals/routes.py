"""Goals over HTTP: set, list, change, pause, archive, and time them."""

from collections.abc import Mapping, Sequence
from datetime import date
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
from workbell.adapters.http.web.operations import (
    AnyOperation,
    ApiRequest,
    ApiResponse,
    Handler,
    ListOf,
    Operation,
    PartialOperation,
)
from workbell.adapters.http.web.pagination import (
    Ordering,
    PageNumber,
    PageSize,
    make_slice,
    numbered,
    ordering,
)
from workbell.adapters.http.web.query_types import Text
from workbell.adapters.http.web.request import etag
from workbell.domain.goals.goal import Category, GoalState
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
class GoalQuery:
    """Which goals to list; what is left out narrows nothing down."""

    category: Category | None = None
    is_complete: bool | None = None
    state: Sequence[GoalState] | None = None
    deadline__gte: date | None = None
    deadline__lte: date | None = None
    search: Text | None = None
    ordering: Ordering = "goal_num"
    page: PageNumber = 1
    page_size: PageSize = None


@frozen(kw_only=True)
class GoalRoutes:
    """A person's goals and their timer, under one base address."""

    goals: GoalService
    timers: TimerService
    base: str = BASE

    def list(self, call: ApiRequest[object, GoalQuery]) -> ApiResponse:
        """Return a page of the caller's goals."""
        query = call.query
        order = ordering(query.ordering, ORDERINGS, "ordering")
        part = make_slice(call, query.page, query.page_size)
        filters = GoalFilter(
            category=query.category,
            is_complete=query.is_complete,
            states=query.state,
            deadline_from=query.deadline__gte,
            deadline_to=query.deadline__lte,
            search=query.search,
        )
        found, total = self.goals.find(call.actor, filters, order, part.offset, part.size)
        return numbered(call, part, [goal_body(view) for view in found], total)

    def create(self, call: ApiRequest[NewGoal]) -> ApiResponse:
        """Give the caller a new goal."""
        view = self.goals.create(call.actor, call.body)
        location = {"Location": f"{self.base}/{view.goal.number}"}
        return _answer(view, 201, location)

    def get(self, call: ApiRequest) -> ApiResponse:
        """Return one goal."""
        return _answer(self._seen(call))

    def change(self, call: ApiRequest[Mapping[str, Any]]) -> ApiResponse:
        """Change the fields of a goal that are given."""
        version = call.version(self._seen(call).goal.version)
        view = self.goals.edit(call.actor, goal_num(call), call.body, version=version)
        return _answer(view)

    def delete(self, call: ApiRequest) -> ApiResponse:
        """Delete a goal with all its progress."""
        version = call.version(self._seen(call).goal.version)
        self.goals.delete(call.actor, goal_num(call), version=version)
        return ApiResponse(status=204)

    def pause(self, call: ApiRequest) -> ApiResponse:
        """Pause a goal."""
        return _answer(self.goals.pause(call.actor, goal_num(call)))

    def resume(self, call: ApiRequest) -> ApiResponse:
        """Resume a goal."""
        return _answer(self.goals.resume(call.actor, goal_num(call)))

    def archive(self, call: ApiRequest) -> ApiResponse:
        """Archive a goal."""
        return _answer(self.goals.archive(call.actor, goal_num(call)))

    def start_timer(self, call: ApiRequest) -> ApiResponse:
        """Start the caller's timer; the one that runs is stopped."""
        return ApiResponse(body=timer_body(self.timers.start(call.actor, goal_num(call))))

    def stop_timer(self, call: ApiRequest[TimerStop]) -> ApiResponse:
        """Stop the caller's timer; return the entry of its time."""
        entry = self.timers.stop(call.actor, goal_num(call), call.body)
        return ApiResponse(body=progress_body(entry))

    def exists(self, call: ApiRequest) -> object:
        """Look for the goal, before anything that was sent is judged."""
        return self._seen(call)

    def _seen(self, call: ApiRequest) -> GoalView:
        return self.goals.get(call.actor, goal_num(call))


def goal_num(call: ApiRequest) -> int:
    """Return the number of the goal in a path."""
    return call.ids["goal_num"]


def _answer(
    view: GoalView, status: int = 200, headers: Mapping[str, str] | None = None
) -> ApiResponse:  # fmt: skip
    tags = etag(view.goal.version) | dict(headers or {})
    return ApiResponse(status=status, body=goal_body(view), headers=tags)


def operations(goals: GoalRoutes) -> Sequence[AnyOperation]:
    """Return the canonical operations on goals and timers."""
    return (*commands(goals, "", {"tag": "goals"}), *_switches(goals), *_of_timers(goals))


def commands(goals: GoalRoutes, prefix: str, style: Mapping[str, Any]) -> Sequence[AnyOperation]:
    """Return the operations that list, make, show, change and delete goals, in a style."""
    base, one = goals.base, goals.base + ONE
    shown: dict[int, type | ListOf | None] = {200: GoalBody}
    return (
        Operation(
            method="GET", path=base, name=f"{prefix}list_goals", summary="List goals.",
            handler=goals.list, query=GoalQuery, answers={200: ListOf(GoalBody)},
            errors=(404,), **style,
        ),
        Operation(
            method="POST", path=base, name=f"{prefix}create_goal", summary="Set a goal.",
            handler=goals.create, request=NewGoal, answers={201: GoalBody}, **style,
        ),
        Operation(
            method="GET", path=one, name=f"{prefix}get_goal", summary="Show a goal.",
            handler=goals.get, answers=shown, etag=True, **style,
        ),
        PartialOperation(
            method="PATCH", path=one, name=f"{prefix}change_goal", summary="Change a goal.",
            handler=goals.change, request=NewGoal, exists=goals.exists,
            answers=shown, etag=True, **style,
        ),
        Operation(
            method="DELETE", path=one, name=f"{prefix}delete_goal",
            summary="Delete a goal with all its progress.", handler=goals.delete,
            answers={204: None}, etag=True, **style,
        ),
    )  # fmt: skip


def _switches(goals: GoalRoutes) -> Sequence[AnyOperation]:
    def switch(word: str, summary: str, handler: Handler) -> AnyOperation:
        return Operation(
            method="POST", path=f"{goals.base}{ONE}/{word}", name=f"{word}_goal",
            summary=summary, handler=handler, answers={200: GoalBody}, errors=(409,), tag="goals",
        )  # fmt: skip

    return (
        switch("pause", "Pause a goal; its timer is stopped.", goals.pause),
        switch("resume", "Resume a paused or archived goal.", goals.resume),
        switch("archive", "Archive a goal; its timer is stopped.", goals.archive),
    )


def _of_timers(goals: GoalRoutes) -> Sequence[AnyOperation]:
    timer = f"{goals.base}{ONE}/timer"
    return (
        Operation(
            method="POST", path=f"{timer}/start", name="start_timer",
            summary="Start the timer for a goal; the one that runs is stopped and logged.",
            handler=goals.start_timer, answers={200: TimerBody}, errors=(409,), tag="goals",
        ),
        Operation(
            method="POST", path=f"{timer}/stop", name="stop_timer",
            summary="Stop the timer, and log its time.", handler=goals.stop_timer,
            request=TimerStop, optional=True, exists=goals.exists,
            answers={200: GoalProgressBody}, errors=(409,), tag="goals",
        ),
    )  # fmt: skip
