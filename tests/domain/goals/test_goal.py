"""Goals and progress: percentages, states, durations, periods and timers."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from workbell.domain.errors import Invalid
from workbell.domain.goals.goal import (
    Category,
    Goal,
    GoalClosed,
    GoalId,
    GoalLedger,
    GoalState,
    percentage,
)
from workbell.domain.goals.progress_entry import (
    MAX_SECONDS,
    ProgressEntry,
    TimeEntry,
    Timer,
    check_time,
    whole_seconds,
)
from workbell.domain.identity.user import UserId

pytestmark = pytest.mark.unit

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
HOUR = 3600
ANN = UserId(1)
ACTIVE, PAUSED, ARCHIVED = GoalState.ACTIVE, GoalState.PAUSED, GoalState.ARCHIVED
TOO_LONG = MAX_SECONDS + 1


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def a_goal(**fields: Any) -> Goal:
    values: dict[str, Any] = {
        "owner": ANN,
        "number": 1,
        "name": "Swim",
        "category": Category.MINOR,
        "active_at": NOON,
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Goal(**values | fields)


def an_entry(time: TimeEntry, zone: str = "UTC", now: datetime = NOON) -> ProgressEntry:
    return time.entry(ANN, GoalId(3), 1, 2, "a length", zone, now)


def test_a_ledger_numbers_goals_and_counts_changes() -> None:
    ledger = GoalLedger(owner=ANN).numbered().changed().numbered()
    assert (ledger.last_goal, ledger.revision) == (2, 3)


@pytest.mark.parametrize(
    ("logged", "total", "text"),
    [(0, 0, "0.00"), (9000, 18000, "50.00"), (1, 3, "33.33"), (2, 3, "66.67"), (7, 7, "100.00")],
)
def test_the_percentage_has_two_decimals(logged: int, total: int, text: str) -> None:
    assert percentage(logged, total) == Decimal(text)
    assert a_goal(logged_seconds=logged, total_seconds=total).completion_percentage == Decimal(text)


def test_an_incomplete_goal_is_overdue_after_its_deadline() -> None:
    goal = a_goal(deadline=date(2026, 3, 29))
    assert not goal.is_overdue(date(2026, 3, 29))
    assert goal.is_overdue(date(2026, 3, 30))
    assert not evolve(goal, is_complete=True).is_overdue(date(2026, 3, 30))
    assert not a_goal().is_overdue(date(2026, 3, 30))


@pytest.mark.parametrize("before", list(GoalState))
@pytest.mark.parametrize("after", list(GoalState))
def test_a_goal_changes_its_state(before: GoalState, after: GoalState) -> None:
    goal = a_goal(state=before)
    if (before, after) == (ARCHIVED, PAUSED):
        with pytest.raises(GoalClosed, match="archived"):
            goal.in_state(after, NOON)
    elif before is after:
        assert goal.in_state(after, NOON) is goal
    else:
        assert goal.in_state(after, NOON) == evolve(goal, state=after, version=2)


def test_inactive_goals_reject_timers_and_archived_ones_progress() -> None:
    a_goal().check_timer()
    a_goal(state=PAUSED).check_progress()
    for refused in (
        a_goal(state=PAUSED).check_timer,
        a_goal(state=ARCHIVED).check_timer,
        a_goal(state=ARCHIVED).check_progress,
    ):
        with pytest.raises(GoalClosed, match="resume it first"):
            refused()


def test_a_goal_has_the_sums_of_its_entries() -> None:
    later = NOON + hours(1)
    goal = a_goal().with_entry(9000, 18000, later).with_entry(60, 60, later)
    assert (goal.last_entry, goal.logged_seconds, goal.total_seconds) == (2, 9060, 18060)
    assert (goal.active_at, goal.version) == (later, 1)
    assert goal.with_time(-9060, -18060).completion_percentage == 0


def log(
    logged: timedelta | None = None,
    total: timedelta | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> TimeEntry:
    return TimeEntry.of(logged, total, start, end, NOON)


def test_the_total_defaults_to_the_logged_time() -> None:
    assert log(hours(2.5), hours(5)) == TimeEntry(logged=9000, total=18000)
    assert log(hours(2.5)) == TimeEntry(logged=9000, total=9000)
    assert log(hours(0), hours(30)) == TimeEntry(logged=0, total=30 * HOUR)


def test_a_period_is_logged_with_its_length() -> None:
    start = NOON - hours(3)
    span = log(start=start, end=start + timedelta(hours=1, seconds=0.9))
    assert span == TimeEntry(logged=HOUR, total=HOUR, started_at=start)
    blink = log(start=NOON - timedelta(milliseconds=5), end=NOON)
    assert blink.logged == 1


LONG_AGO = NOON - timedelta(seconds=TOO_LONG)
YEAR_ONE, EPOCH = (datetime(year, 1, 1, tzinfo=UTC) for year in (1, 1970))


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ((), "logged_hours"),
        ((hours(-1),), "logged_hours"),
        ((hours(0),), "logged_hours"),
        ((hours(0), hours(0)), "total_hours"),
        ((hours(2), hours(1)), "logged_hours"),
        ((hours(1), hours(-1)), "total_hours"),
        ((timedelta(seconds=1.5),), "logged_hours"),
        ((hours(1), timedelta(hours=1, microseconds=1)), "total_hours"),
        ((timedelta(seconds=TOO_LONG),), "logged_hours"),
        ((hours(1), timedelta(seconds=TOO_LONG)), "total_hours"),
        ((None, None, NOON), "ended_at"),
        ((None, None, None, NOON), "started_at"),
        ((hours(1), None, NOON - hours(1), NOON), "logged_hours"),
        ((None, None, YEAR_ONE, YEAR_ONE + hours(1)), "started_at"),
        ((None, None, EPOCH - hours(1), EPOCH), "started_at"),
        ((None, None, NOON, NOON), "ended_at"),
        ((None, None, NOON, NOON - hours(1)), "ended_at"),
        ((None, None, NOON, NOON + hours(1)), "ended_at"),
        ((None, None, LONG_AGO, NOON), "ended_at"),
    ],
)
def test_invalid_times_are_rejected_by_field(given: Any, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        log(*given)
    assert list(refused.value.field_errors) == [field]


@given(st.integers(-10, MAX_SECONDS + 10), st.integers(-10, MAX_SECONDS + 10))
def test_only_valid_times_are_accepted(logged: int, total: int) -> None:
    fits = 0 <= logged <= total <= MAX_SECONDS and total > 0
    try:
        check_time(logged, total)
    except Invalid:
        assert not fits
    else:
        assert fits


def test_durations_are_whole_seconds() -> None:
    assert whole_seconds(hours(9999), "x") == 9999 * HOUR
    with pytest.raises(Invalid, match="x must be whole seconds"):
        whole_seconds(timedelta(milliseconds=1), "x")


def test_an_entry_belongs_to_the_local_day_of_its_creation() -> None:
    late = datetime(2026, 3, 29, 20, tzinfo=UTC)
    entry = an_entry(log(hours(2), hours(4)), "Asia/Kolkata", late)
    assert (entry.local_day, entry.goal_id, entry.number) == (date(2026, 3, 30), 3, 2)
    assert entry.seconds_by_day() == ((date(2026, 3, 30), 2 * HOUR),)
    assert (entry.is_complete, entry.percentage_complete) == (False, Decimal(50))
    assert entry.ended_at is None
    assert an_entry(log(hours(0), hours(4))).seconds_by_day() == ()


def test_a_period_is_split_at_midnight() -> None:
    start = datetime(2026, 3, 28, 21, 30, tzinfo=UTC)
    entry = an_entry(log(start=start, end=start + hours(3)), "Europe/Berlin")
    assert entry.seconds_by_day() == ((date(2026, 3, 28), 5400), (date(2026, 3, 29), 5400))
    assert entry.ended_at == start + hours(3)
    assert entry.is_complete
    shorter = entry.edited("less", HOUR, 3 * HOUR, NOON)
    assert shorter.ended_at == start + hours(1)
    assert shorter.seconds_by_day() == ((date(2026, 3, 28), HOUR),)
    assert shorter.note == "less"
    assert not shorter.is_complete


def test_a_period_cannot_be_extended_into_the_future() -> None:
    entry = an_entry(log(start=NOON - hours(2), end=NOON - hours(1)))
    assert entry.edited("", 2 * HOUR, 2 * HOUR, NOON).ended_at == NOON
    with pytest.raises(Invalid, match="in the future"):
        entry.edited("", 2 * HOUR + 1, 3 * HOUR, NOON)
    with pytest.raises(Invalid, match="at most total_hours"):
        entry.edited("", 2 * HOUR, HOUR, NOON)


def test_a_timer_counts_whole_seconds_within_bounds() -> None:
    timer = Timer(owner=ANN, goal_id=GoalId(3), goal_number=1, started_at=NOON, zone="UTC")
    for passed, counted in (
        (timedelta(seconds=-5), 1),
        (timedelta(seconds=0.4), 1),
        (timedelta(seconds=90.9), 90),
        (timedelta(days=900), MAX_SECONDS),
    ):
        assert timer.seconds(NOON + passed) == counted
