"""Time summaries over HTTP: by week, by month, and over a range of days."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Annotated, Any

from attrs import frozen

from workbell.adapters.http.web.mapping import copy_fields
from workbell.adapters.http.web.operations import (
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
)
from workbell.adapters.serialization.scalars import write_duration
from workbell.domain.constraints import FIRST_DAY, LAST_DAY, Constraints, Day
from workbell.domain.goals.summary import MAX_DAYS, DaySeconds, Granularity, hours
from workbell.services.goals.summaries import Overview, SummaryService

ROOT = "/api/v1"


@frozen(kw_only=True, slots=False)
class WeekBody:
    """Logged time of a week, which starts on Monday."""

    week_start: date
    total_hours: float


@frozen(kw_only=True, slots=False)
class MonthBody:
    """Logged time of a calendar month."""

    month_start: date
    total_hours: float


@frozen(kw_only=True)
class RangeQuery:
    """A range of local days, both ends included; by default the last 30 days."""

    first: Annotated[
        date | None,
        Constraints(
            first_day=FIRST_DAY,
            last_day=LAST_DAY,
            description=f"At most {MAX_DAYS:,} days before the last.",
        ),
    ] = None
    last: Day | None = None
    group: Granularity = Granularity.DAY
    goal: Annotated[int | None, Constraints(ge=1, description="The number of one goal.")] = None


@frozen(kw_only=True, slots=False)
class BucketBody:
    """Logged time of consecutive days; shorter at the ends of the range."""

    first: date
    last: date
    total_time: str
    total_hours: float


@frozen(kw_only=True, slots=False)
class PreviousRangeBody(BucketBody):
    """The preceding range of equal length; no `percent_change` if empty."""

    delta_hours: float
    percent_change: float | None


@frozen(kw_only=True, slots=False)
class StreakBody:
    """Consecutive days with logged time; `current` may end yesterday."""

    current: int
    longest: int


@frozen(kw_only=True, slots=False)
class HeatMapDayBody:
    """A day with logged time; `level` 1-4 is its quarter of the maximum."""

    day: date
    total_hours: float
    level: int


@frozen(kw_only=True, slots=False)
class SummaryRangeBody:
    """
    Logged time of a range in buckets, compared with the preceding range.

    The `total_time` of the buckets adds up exactly; hours are rounded to two
    decimals. Streaks cover all entries, the heat map the days with time in the
    year that ends with the range.
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
    """Summaries of the caller's logged time."""

    summaries: SummaryService

    def weekly(self, request: ApiRequest) -> ApiResponse:
        """Return the logged time of each week that has any."""
        weeks = self._periods(request, Granularity.WEEK)
        body = [WeekBody(week_start=day, total_hours=hours(seconds)) for day, seconds in weeks]
        return ApiResponse(body=body)

    def monthly(self, request: ApiRequest) -> ApiResponse:
        """Return the logged time of each month that has any."""
        months = self._periods(request, Granularity.MONTH)
        body = [MonthBody(month_start=day, total_hours=hours(seconds)) for day, seconds in months]
        return ApiResponse(body=body)

    def for_range(self, request: ApiRequest[object, RangeQuery]) -> ApiResponse:
        """Return the logged time of a range of days."""
        query = request.query
        overview = self.summaries.for_range(
            request.actor, query.first, query.last, query.group, query.goal
        )
        return ApiResponse(body=_range_body(overview))

    def _periods(self, request: ApiRequest, group: Granularity) -> Sequence[DaySeconds]:
        return self.summaries.by_period(request.actor, group, request.ids.get("goal_num"))


def _range_body(overview: Overview) -> SummaryRangeBody:
    before = overview.before
    return copy_fields(
        SummaryRangeBody,
        overview,
        first=overview.span.first,
        last=overview.span.last,
        **_time(overview.seconds),
        buckets=[copy_fields(BucketBody, each, **_time(each.seconds)) for each in overview.buckets],
        previous=copy_fields(
            PreviousRangeBody,
            before,
            **_time(before.seconds),
            delta_hours=hours(before.delta),
            percent_change=before.percent,
        ),
        streak=copy_fields(StreakBody, overview.streak),
        heat_map=[
            copy_fields(HeatMapDayBody, each, total_hours=hours(each.seconds))
            for each in overview.heat
        ],
    )


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
            summary="Get a range's logged time: buckets, preceding range, streaks, heat map.",
            handler=routes.for_range, query=RangeQuery, responses={200: SummaryRangeBody},
            errors=(404,), tag="goals",
        ),
    )  # fmt: skip


def periods(
    routes: SummaryRoutes, root: str, prefix: str, style: Mapping[str, Any]
) -> Sequence[AnyOperation]:
    """Return the operations that summarize weeks and months, in a style."""
    kinds: tuple[tuple[str, Any, type], ...] = (
        ("weekly", routes.weekly, WeekBody),
        ("monthly", routes.monthly, MonthBody),
    )
    return tuple(
        Operation(
            method="GET", path=f"{root}/summary/{word}{suffix}",
            name=f"{prefix}get_{word}_summary{name_suffix}",
            summary=f"Get the {word} logged time of {scope}, oldest first.", handler=handler,
            responses={200: ListOf(body, plain=True)}, **style,
        )
        for word, handler, body in kinds
        for suffix, name_suffix, scope in (
            ("", "", "all goals"), ("/{goal_num}", "_of_goal", "one goal"),
        )
    )  # fmt: skip
