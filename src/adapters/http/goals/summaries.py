"""Summaries over HTTP: time by week, by month, and over any span."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Annotated, Any

from attrs import frozen

from workbell.adapters.http.web.operations import (
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
)
from workbell.adapters.serialization.scalars import write_duration
from workbell.domain.constraints import Constraints
from workbell.domain.goals.summary import MOST_DAYS, Granularity, Streak, Worked, hours
from workbell.services.goals.summaries import Overview, SummaryService

ROOT = "/api/v1"


@frozen(kw_only=True, slots=False)
class WeekBody:
    """The time of a week, which starts on Monday."""

    week_start: date
    total_hours: float


@frozen(kw_only=True, slots=False)
class MonthBody:
    """The time of a calendar month."""

    month_start: date
    total_hours: float


@frozen(kw_only=True)
class RangeQuery:
    """
    Which local days to sum up, both ends included, and how to cut them.

    Without them it is the 30 days that end today.
    """

    first: Annotated[
        date | None, Constraints(description=f"At most {MOST_DAYS:,} days before the last.")
    ] = None
    last: date | None = None
    group: Granularity = Granularity.DAY
    goal: Annotated[int | None, Constraints(ge=1, description="The number of one goal.")] = None


@frozen(kw_only=True, slots=False)
class BucketBody:
    """The time of some days in a row; those at the edges of the span may be fewer."""

    first: date
    last: date
    total_time: str
    total_hours: float


@frozen(kw_only=True, slots=False)
class PreviousRangeBody:
    """
    The equally long span before, and how it has changed since.

    `percent_change` is null where there was no time before.
    """

    first: date
    last: date
    total_time: str
    total_hours: float
    delta_hours: float
    percent_change: float | None


@frozen(kw_only=True, slots=False)
class StreakBody:
    """Days in a row with time: up to today, which breaks none while it lasts, and at the most."""

    current: int
    longest: int


@frozen(kw_only=True, slots=False)
class HeatMapDayBody:
    """A day with time, and the quarter of the busiest day's time that it reaches, from 1 to 4."""

    day: date
    total_hours: float
    level: int


@frozen(kw_only=True, slots=False)
class SummaryRangeBody:
    """
    A span in buckets, compared with the one before.

    The buckets' `total_time` adds up to the span's exactly; hours are rounded
    to two places. Streaks go over all that was ever logged, the heat map over
    the year that ends with the span and without the days that have no time.
    """

    first: date
    last: date
    group: Granularity
    goal: int | None
    total_time: str
    total_hours: float
    buckets: Sequence[BucketBody]
    previous: PreviousRangeBody
    streak: StreakBody
    heat_map: Sequence[HeatMapDayBody]


@frozen(kw_only=True)
class SummaryRoutes:
    """Summaries of a person's time."""

    summaries: SummaryService

    def weekly(self, request: ApiRequest) -> ApiResponse:
        """Return the time of each week that has any."""
        return ApiResponse(body=[_week(each) for each in self._periods(request, Granularity.WEEK)])

    def monthly(self, request: ApiRequest) -> ApiResponse:
        """Return the time of each month that has any."""
        return ApiResponse(
            body=[_month(each) for each in self._periods(request, Granularity.MONTH)]
        )

    def over(self, request: ApiRequest[object, RangeQuery]) -> ApiResponse:
        """Return the time of a span."""
        query = request.query
        found = self.summaries.for_range(
            request.actor, query.first, query.last, query.group, query.goal
        )  # fmt: skip
        return ApiResponse(body=_range(found))

    def _periods(self, request: ApiRequest, group: Granularity) -> Sequence[Worked]:
        return self.summaries.by_period(request.actor, group, request.ids.get("goal_num"))


def _week(period: Worked) -> WeekBody:
    return WeekBody(week_start=period[0], total_hours=hours(period[1]))


def _month(period: Worked) -> MonthBody:
    return MonthBody(month_start=period[0], total_hours=hours(period[1]))


def _range(found: Overview) -> SummaryRangeBody:
    return SummaryRangeBody(
        first=found.span.first,
        last=found.span.last,
        group=found.group,
        goal=found.goal,
        **_time(found.seconds),
        buckets=[
            BucketBody(first=each.first, last=each.last, **_time(each.seconds))
            for each in found.buckets
        ],
        previous=PreviousRangeBody(
            first=found.before.first,
            last=found.before.last,
            **_time(found.before.seconds),
            delta_hours=hours(found.before.delta),
            percent_change=found.before.percent,
        ),
        streak=_streak(found.streak),
        heat_map=[
            HeatMapDayBody(day=each.day, total_hours=hours(each.seconds), level=each.level)
            for each in found.heat
        ],
    )


def _streak(found: Streak) -> StreakBody:
    return StreakBody(current=found.current, longest=found.longest)


def _time(seconds: int) -> dict[str, Any]:
    return {
        "total_time": write_duration(timedelta(seconds=seconds)),
        "total_hours": hours(seconds),
    }


def operations(routes: SummaryRoutes) -> Sequence[AnyOperation]:
    """Return the canonical operations on summaries."""
    style = {"tag": "goals"}
    return (
        *periods(routes, ROOT, "", style),
        Operation(
            method="GET", path=f"{ROOT}/summary/range", name="get_summary_range",
            summary="Sum up a span: buckets, the span before, streaks and a heat map.",
            handler=routes.over, query=RangeQuery, responses={200: SummaryRangeBody}, errors=(404,),
            tag="goals",
        ),
    )  # fmt: skip


def periods(
    routes: SummaryRoutes, root: str, prefix: str, style: Mapping[str, Any]
) -> Sequence[AnyOperation]:
    """Return the operations that sum up weeks and months, in a style."""
    kinds: tuple[tuple[str, Any, type], ...] = (
        ("weekly", routes.weekly, WeekBody),
        ("monthly", routes.monthly, MonthBody),
    )
    return tuple(
        Operation(
            method="GET", path=f"{root}/summary/{word}{of_one}",
            name=f"{prefix}get_{word}_summary{of_goal}",
            summary=f"Sum up {filters} {word}, oldest first.", handler=handler,
            responses={200: ListOf(body, plain=True)}, **style,
        )
        for word, handler, body in kinds
        for of_one, of_goal, filters in (
            ("", "", "all goals"), ("/{goal_num}", "_of_goal", "one goal"),
        )
    )  # fmt: skip
