"""Progress entries: time logged for a goal, and the timer."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NewType, Self

from attrs import evolve, frozen

from workbell.domain.cron.time_zones import EPOCH
from workbell.domain.errors import Invalid
from workbell.domain.goals.goal import GoalId, percentage
from workbell.domain.goals.local_days import local_day, split_by_local_day
from workbell.domain.identity.user import UserId

EntryId = NewType("EntryId", int)

MAX_SECONDS = 10_000 * 3600 - 1
"""The maximum time of one entry: 9999:59:59."""

_SECOND = timedelta(seconds=1)


@frozen(kw_only=True)
class ProgressEntry:
    """
    Time logged for a goal, out of the time that was planned.

    `zone` was the user's time zone at creation, and `local_day` the date there. An
    entry with `started_at` covers a period, which ends `logged_seconds` later.
    """

    id: EntryId = EntryId(0)
    owner: UserId
    goal_id: GoalId
    goal_number: int
    number: int
    note: str = ""
    logged_seconds: int
    total_seconds: int
    started_at: datetime | None = None
    zone: str
    local_day: date
    created_at: datetime
    updated_at: datetime

    @property
    def ended_at(self) -> datetime | None:
        """The end of its period, or None."""
        if self.started_at is None:
            return None
        return self.started_at + timedelta(seconds=self.logged_seconds)

    @property
    def is_complete(self) -> bool:
        """Whether all planned time was logged."""
        return self.logged_seconds == self.total_seconds

    @property
    def percentage_complete(self) -> Decimal:
        """The share of the planned time that was logged, with two decimals."""
        return percentage(self.logged_seconds, self.total_seconds)

    def seconds_by_day(self) -> tuple[tuple[date, int], ...]:
        """Return the logged seconds per local day, without empty days."""
        if self.started_at is not None and self.ended_at is not None:
            return split_by_local_day(self.started_at, self.ended_at, self.zone)
        return ((self.local_day, self.logged_seconds),) if self.logged_seconds else ()

    def edited(self, note: str, logged: int, total: int, now: datetime) -> Self:
        """
        Return the entry with other times; its start does not change.

        Raises:
            Invalid: The times are invalid, or the period would end after now.
        """
        check_time(logged, total)
        after = evolve(
            self, note=note, logged_seconds=logged, total_seconds=total, updated_at=now
        )  # fmt: skip
        if after.ended_at is not None and logged > self.logged_seconds and after.ended_at > now:
            raise Invalid.field("logged_hours", "logged_hours would end in the future")
        return after


@frozen(kw_only=True)
class Timer:
    """The running timer of a user."""

    owner: UserId
    goal_id: GoalId
    goal_number: int
    started_at: datetime
    zone: str

    def seconds(self, now: datetime) -> int:
        """Return the elapsed whole seconds, from 1 to `MAX_SECONDS`."""
        return min(max((now - self.started_at) // _SECOND, 1), MAX_SECONDS)


@frozen(kw_only=True)
class TimeEntry:
    """The validated time of a new entry: seconds, and the start if known."""

    logged: int
    total: int
    started_at: datetime | None = None

    @classmethod
    def of(
        cls,
        logged: timedelta | None,
        total: timedelta | None,
        started_at: datetime | None,
        ended_at: datetime | None,
        now: datetime,
    ) -> Self:
        """
        Validate a duration or a period; the total defaults to the logged time.

        Raises:
            Invalid: Both or neither are given, or they are out of range.
        """
        if started_at is None and ended_at is None:
            if logged is None:
                raise Invalid.field("logged_hours", "logged_hours is required")
            seconds = whole_seconds(logged, "logged_hours")
        else:
            seconds = _span_seconds(logged, started_at, ended_at, now)
        if total is None and not 0 < seconds <= MAX_SECONDS:
            message = "logged_hours must be more than 00:00:00 and at most 9999:59:59"
            raise Invalid.field("logged_hours", message)
        planned = seconds if total is None else whole_seconds(total, "total_hours")
        check_time(seconds, planned)
        return cls(logged=seconds, total=planned, started_at=started_at)

    def entry(
        self, owner: UserId, goal: GoalId, goal_number: int, number: int, note: str, zone: str,
        now: datetime,
    ) -> ProgressEntry:  # fmt: skip
        """Build the progress entry, created now in a time zone."""
        return ProgressEntry(
            owner=owner,
            goal_id=goal,
            goal_number=goal_number,
            number=number,
            note=note,
            logged_seconds=self.logged,
            total_seconds=self.total,
            started_at=self.started_at,
            zone=zone,
            local_day=local_day(now, zone),
            created_at=now,
            updated_at=now,
        )


def _span_seconds(
    logged: timedelta | None, started_at: datetime | None, ended_at: datetime | None, now: datetime
) -> int:
    """Validate a period in the past and return its whole seconds."""
    if started_at is None or ended_at is None:
        missing = "started_at" if started_at is None else "ended_at"
        raise Invalid.field(missing, f"{missing} is required: give both the start and the end")
    if logged is not None:
        raise Invalid.field("logged_hours", "logged_hours must be left out if started_at is given")
    if started_at < EPOCH:
        raise Invalid.field("started_at", "started_at must not be before 1970")
    if ended_at <= started_at:
        raise Invalid.field("ended_at", "ended_at must be after started_at")
    if ended_at > now:
        raise Invalid.field("ended_at", "ended_at must not be in the future")
    if (seconds := (ended_at - started_at) // _SECOND) > MAX_SECONDS:
        raise Invalid.field("ended_at", "ended_at must be less than 10,000 hours after started_at")
    return max(seconds, 1)


def whole_seconds(duration: timedelta, field: str) -> int:
    """Return a duration in seconds; Invalid if it has a fraction of a second."""
    seconds, rest = divmod(duration, _SECOND)
    if rest:
        raise Invalid.field(field, f"{field} must be whole seconds")
    return seconds


def check_time(logged: int, total: int) -> None:
    """Raise Invalid if a time is out of range, or more is logged than planned."""
    errors: dict[str, list[str]] = {}
    for field, seconds in (("logged_hours", logged), ("total_hours", total)):
        if seconds > MAX_SECONDS:
            errors[field] = [f"{field} must be at most 9999:59:59"]
        elif seconds < 0:
            errors[field] = [f"{field} must not be negative"]
    if not errors and total == 0:
        errors["total_hours"] = ["total_hours must be more than 00:00:00"]
    elif not errors and logged > total:
        errors["logged_hours"] = ["logged_hours must be at most total_hours"]
    if errors:
        raise Invalid(field_errors=errors)
