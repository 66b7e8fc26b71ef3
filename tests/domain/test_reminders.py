"""Reminders: after seven idle days, then 14, then 28, then silence."""

from datetime import UTC, date, time, timedelta

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from workbell.domain.errors import Invalid
from workbell.domain.identity import UserId
from workbell.domain.reminders import (
    Candidate,
    IdleGoal,
    Preferences,
    Reminded,
    check_reminder_time,
    daily_at,
    every_step,
    mail_key,
    message,
    next_reminder,
)

pytestmark = pytest.mark.unit

SINCE = date(2026, 11, 1)
GOAL = IdleGoal(id=1, name="Rust", since=SINCE)


def days_of_reminders(goal: IdleGoal, looked_on: list[date], inactive: int = 7) -> list[int]:
    """Return on which days after its last entry a goal is reminded of."""
    told: list[int] = []
    for today in looked_on:
        if goal.is_due(today, inactive):
            goal = evolve(goal, reminded=goal.told(today))
            told.append((today - SINCE).days)
    return told


def test_three_reminders_come_after_7_14_and_28_days_and_then_none() -> None:
    every_day = [SINCE + timedelta(days=n) for n in range(500)]
    assert days_of_reminders(GOAL, every_day) == [7, 21, 49]
    assert days_of_reminders(GOAL, every_day, inactive=3) == [3, 17, 45]


@given(st.sets(st.integers(0, 400)))
def test_a_run_that_was_missed_is_made_up_for_and_nothing_comes_twice(days: set[int]) -> None:
    told = days_of_reminders(GOAL, [SINCE + timedelta(days=n) for n in sorted(days)])
    assert len(told) <= 3
    assert bool(told) == any(day >= 7 for day in days)
    assert all(b - a >= pause for a, b, pause in zip(told, told[1:], (14, 28), strict=False))


def test_an_entry_begins_it_all_anew() -> None:
    silent = evolve(GOAL, reminded=Reminded(SINCE, 3, date(2026, 12, 20)))
    assert next_reminder(silent.since, silent.reminded) is None
    logged = evolve(silent, since=date(2026, 12, 24))
    assert next_reminder(logged.since, logged.reminded) == date(2026, 12, 31)
    assert logged.told(date(2026, 12, 31)) == Reminded(date(2026, 12, 24), 1, date(2026, 12, 31))


def test_a_day_that_lies_back_by_a_deleted_entry_does_not_begin_it_anew() -> None:
    goal = IdleGoal(id=1, name="", since=SINCE, reminded=Reminded(date(2026, 11, 9), 1, SINCE))
    assert goal.told(date(2026, 12, 1)).count == 2


def test_the_goals_that_were_left_alone_longest_come_first() -> None:
    goals = [evolve(GOAL, id=n, since=SINCE + timedelta(days=d)) for n, d in ((1, 2), (2, 0), (3, 9))]
    person = Candidate(owner=UserId(7), today=date(2026, 11, 10), goals=goals)
    assert [goal.id for goal in person.due(7)] == [2, 1]


@pytest.mark.parametrize("at", [time(7, 10), time(7, 15, 1), time(7, 15, 0, 1), time(7, 0, tzinfo=UTC)])
def test_own_times_lie_on_quarter_hours(at: time) -> None:
    with pytest.raises(Invalid, match="reminder_time"):
        check_reminder_time(at)


def test_quarter_hours_and_no_time_are_taken() -> None:
    check_reminder_time(time(23, 45))
    check_reminder_time(None)


def test_the_rules_fire_at_the_time_of_the_zone_and_at_every_own_time() -> None:
    daily = daily_at(time(0, 0), "Asia/Kolkata")
    assert (daily.line, daily.zone) == ("0 0 * * *", "Asia/Kolkata")
    assert (every_step().line, every_step().zone) == ("*/15 * * * *", "UTC")


def test_a_mail_names_the_goals_on_lines_of_their_own() -> None:
    subject, text = message(["Learn\n Rust", "Piano"], 7)
    assert subject == "2 of your goals are waiting"
    assert "  - Learn Rust\n  - Piano\n" in text
    assert message(["x" * 200], 7)[0] == f"Your goal {'x' * 79}… is waiting"
    assert message(["Rust"], 7)[0] == "Your goal Rust is waiting"


def test_unsubscribing_ends_reminders_and_keeps_the_rest() -> None:
    wanted = Preferences(reminder_time=time(7, 30))
    assert wanted.unsubscribed() == Preferences(reminders=False, reminder_time=time(7, 30))


def test_a_mail_has_one_key_a_day() -> None:
    assert mail_key(UserId(7), SINCE) == "reminder:7:2026-11-01"
