"""Progress: time logged towards a goal, and the timer that logs it."""

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
"""The longest time that an entry has: 9999:59:59."""

_SECOND = timedelta(seconds=1)


@frozen(kw_only=True)
class ProgressEntry:
    """
    Time that was logged towards a goal, of the time that was planned.

    `zone` was the person's when it was made, and `local_day` that day's date
    there. A timed entry has a span: it ends as long after `started_at` as was
    logged.
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
        """When its span ended, if it has one."""
        if self.started_at is None:
            return None
        return self.started_at + timedelta(seconds=self.logged_seconds)

    @property
    def is_complete(self) -> bool:
        """Whether all that was planned was logged."""
        return self.logged_seconds == self.total_seconds

    @property
    def percentage_complete(self) -> Decimal:
        """How much of what was planned was logged, with two places."""
        return percentage(self.logged_seconds, self.total_seconds)

    def seconds_by_day(self) -> tuple[tuple[date, int], ...]:
        """Return how many seconds of it fall on which local days; days without are left out."""
        if self.started_at is not None and self.ended_at is not None:
            return split_by_local_day(self.started_at, self.ended_at, self.zone)
        return ((self.local_day, self.logged_seconds),) if self.logged_seconds else ()

    def edited(self, note: str, logged: int, total: int, now: datetime) -> Self:
        """
        Return the entry with other time; a span keeps its start.

        Raises:
            Invalid: The times do not fit, or a span would end after now.
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
    """A person's running timer: for which goal, and since when."""

    owner: UserId
    goal_id: GoalId
    goal_number: int
    started_at: datetime
    zone: str

    def seconds(self, now: datetime) -> int:
        """Return the whole seconds that it has counted: at least one, at most an entry's."""
        return min(max((now - self.started_at) // _SECOND, 1), MAX_SECONDS)


@frozen(kw_only=True)
class TimeEntry:
    """Time as it is about to be logged: in seconds, perhaps with its start."""

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
        Return what was asked to be logged: a duration, or a span.

        The total is what was logged unless it is given.

        Raises:
            Invalid: It is neither or both, or does not fit.
        """
        if started_at is None and ended_at is None:
            if logged is None:
                raise Invalid.field("logged_hours", "logged_hours is required")
            seconds = whole_seconds(logged, "logged_hours")
        else:
            seconds = _span_seconds(logged, started_at, ended_at, now)
        if total is None and not 0 < seconds <= MAX_SECONDS:
            said = "logged_hours must be more than 00:00:00 and at most 9999:59:59"
            raise Invalid.field("logged_hours", said)
        planned = seconds if total is None else whole_seconds(total, "total_hours")
        check_time(seconds, planned)
        return cls(logged=seconds, total=planned, started_at=started_at)

    def entry(
        self, owner: UserId, goal: GoalId, goal_number: int, number: int, note: str, zone: str,
        now: datetime,
    ) -> ProgressEntry:  # fmt: skip
        """Return the entry of it, made now in a zone."""
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
    """Return the whole seconds of a span that lies in the past."""
    if started_at is None or ended_at is None:
        missing = "started_at" if started_at is None else "ended_at"
        raise Invalid.field(missing, f"{missing} is required: a span has a start and an end")
    if logged is not None:
        raise Invalid.field("logged_hours", "logged_hours must be left out where a span is given")
    if started_at < EPOCH:
        raise Invalid.field("started_at", "started_at must not lie before 1970")
    if ended_at <= started_at:
        raise Invalid.field("ended_at", "ended_at must lie after started_at")
    if ended_at > now:
        raise Invalid.field("ended_at", "ended_at must not lie in the future")
    if (seconds := (ended_at - started_at) // _SECOND) > MAX_SECONDS:
        raise Invalid.field("ended_at", "ended_at must lie less than 10,000 hours after the start")
    return max(seconds, 1)


def whole_seconds(duration: timedelta, field: str) -> int:
    """
    Return a duration in seconds.

    Raises:
        Invalid: It has a fraction of a second.
    """
    seconds, rest = divmod(duration, _SECOND)
    if rest:
        raise Invalid.field(field, f"{field} must be whole seconds")
    return seconds


def check_time(logged: int, total: int) -> None:
    """
    Refuse times that no entry may have.

    Raises:
        Invalid: The total is nothing or too long, or less than what was logged.
    """
    said: dict[str, list[str]] = {}
    for field, seconds in (("logged_hours", logged), ("total_hours", total)):
        if seconds > MAX_SECONDS:
            said[field] = [f"{field} must be at most 9999:59:59"]
        elif seconds < 0:
            said[field] = [f"{field} must not be negative"]
    if not said and total == 0:
        said["total_hours"] = ["total_hours must be more than 00:00:00"]
    elif not said and logged > total:
        said["logged_hours"] = ["logged_hours must be at most total_hours"]
    if said:
        raise Invalid(field_errors=said)
