"""Response bodies of goals, progress, timers and quotas; CSV export."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from attrs import frozen

from workbell.adapters.http.web.mapping import copy_fields
from workbell.adapters.serialization.scalars import write_datetime, write_duration
from workbell.domain.goals.goal import Category, GoalState
from workbell.domain.goals.progress_entry import ProgressEntry
from workbell.domain.rate_limits.policy import Decision
from workbell.ports.goals.repository import ExportRow
from workbell.services.goals.commands import GoalView
from workbell.services.goals.timers import StartedTimer

EXPORT_COLUMNS = (
    "goal_num", "goal_name", "category", "progress_num", "progress",
    "logged_hours", "total_hours", "is_complete", "percentage_complete", "local_day",
    "time_zone", "started_at", "ended_at", "created_at",
)  # fmt: skip


@frozen(kw_only=True, slots=False)
class GoalBody:
    """A goal with its progress."""

    goal_num: int
    goal_name: str
    category: Category
    is_complete: bool
    deadline: date | None
    completion_percentage: float
    is_overdue: bool
    state: GoalState
    logged_hours: str
    total_hours: str
    timer_started_at: datetime | None
    created_at: datetime
    updated_at: datetime
    version: int


@frozen(kw_only=True, slots=False)
class GoalProgressBody:
    """A progress entry: the logged and the planned time."""

    goal_num: int
    progress_num: int
    progress: str
    logged_hours: str
    total_hours: str
    is_complete: bool
    percentage_complete: float
    started_at: datetime | None
    ended_at: datetime | None
    local_day: date
    time_zone: str
    created_at: datetime
    updated_at: datetime


@frozen(kw_only=True, slots=False)
class TimerBody:
    """The running timer, and the entry of the timer that it replaced, if any."""

    goal_num: int
    started_at: datetime
    stopped: GoalProgressBody | None


@frozen(kw_only=True, slots=False)
class PolicyBody:
    """
    One rate limit policy: at most `limit` requests in any `period_seconds`.

    Some used requests become available again at `resets_at`; null if none are used.
    """

    policy: str
    limit: int
    period_seconds: int
    used: int
    remaining: int
    resets_at: datetime | None


@frozen(kw_only=True, slots=False)
class QuotaBody:
    """The caller's tier and its rate limit policies, the narrowest first."""

    tier: str
    policies: Sequence[PolicyBody]


def _hours(seconds: int) -> str:
    return write_duration(timedelta(seconds=seconds))


def goal_body(view: GoalView) -> GoalBody:
    """Return the body of a goal."""
    goal = view.goal
    return copy_fields(
        GoalBody,
        goal,
        goal_num=goal.number,
        goal_name=goal.name,
        completion_percentage=float(goal.completion_percentage),
        is_overdue=view.is_overdue,
        logged_hours=_hours(goal.logged_seconds),
        total_hours=_hours(goal.total_seconds),
        timer_started_at=view.timer_started_at,
    )


def progress_body(entry: ProgressEntry) -> GoalProgressBody:
    """Return the body of a progress entry."""
    return copy_fields(
        GoalProgressBody,
        entry,
        goal_num=entry.goal_number,
        progress_num=entry.number,
        progress=entry.note,
        logged_hours=_hours(entry.logged_seconds),
        total_hours=_hours(entry.total_seconds),
        percentage_complete=float(entry.percentage_complete),
        time_zone=entry.zone,
    )


def timer_body(started: StartedTimer) -> TimerBody:
    """Return the body of a running timer."""
    return TimerBody(
        goal_num=started.timer.goal_number,
        started_at=started.timer.started_at,
        stopped=None if started.stopped is None else progress_body(started.stopped),
    )


def policy_body(decision: Decision, now: datetime) -> PolicyBody:
    """Return the body of a policy."""
    rate, used = decision.policy.rate, decision.policy.rate.count - decision.remaining
    resets = now + timedelta(seconds=decision.reset_after)
    return PolicyBody(
        policy=decision.policy.name,
        limit=rate.count,
        period_seconds=rate.seconds,
        used=used,
        remaining=decision.remaining,
        resets_at=resets if used else None,
    )


def export_row(row: ExportRow) -> Sequence[object]:
    """Return the cells of an entry in a CSV export, in the order of `EXPORT_COLUMNS`."""
    entry = row.entry
    return (
        entry.goal_number,
        row.goal_name,
        str(row.category),
        entry.number,
        entry.note,
        _hours(entry.logged_seconds),
        _hours(entry.total_seconds),
        str(entry.is_complete).lower(),
        entry.percentage_complete,
        entry.local_day,
        entry.zone,
        "" if entry.started_at is None else write_datetime(entry.started_at),
        "" if entry.ended_at is None else write_datetime(entry.ended_at),
        write_datetime(entry.created_at),
    )
