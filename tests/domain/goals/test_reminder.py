"""Reminders: after seven idle days, then after 14 and 28 more, then none."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from workbell.domain.goals.reminder import (
    IdleGoal,
    ReminderHistory,
    ReminderPreferences,
    ReminderRecipient,
    compose_reminder,
    idle_cutoff,
    next_reminder,
)
from workbell.domain.identity.user import UserId

pytestmark = pytest.mark.unit

SINCE = date(2026, 11, 1)
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
GOAL = IdleGoal(id=1, name="Rust", active_at=NOON)
ANN = ReminderRecipient(
    owner=UserId(7), zone="UTC", preferences=ReminderPreferences(), reminded_on=None, goals=[GOAL]
)  # fmt: skip


def days_of_reminders(goal: IdleGoal, checked_on: list[date], inactive: int = 7) -> list[int]:
    """Return the days after the last entry on which a reminder is sent."""
    reminded_after: list[int] = []
    for today in checked_on:
        if goal.is_due(today, "UTC", inactive):
            goal = evolve(goal, reminded=goal.after_reminder(today, "UTC"))
            reminded_after.append((today - SINCE).days)
    return reminded_after


def test_three_reminders_come_after_7_14_and_28_days_and_then_none() -> None:
    every_day = [SINCE + timedelta(days=n) for n in range(500)]
    assert days_of_reminders(GOAL, every_day) == [7, 21, 49]
    assert days_of_reminders(GOAL, every_day, inactive=3) == [3, 17, 45]


@given(st.sets(st.integers(0, 400)))
def test_a_missed_run_is_caught_up_without_duplicates(days: set[int]) -> None:
    reminded_after = days_of_reminders(GOAL, [SINCE + timedelta(days=n) for n in sorted(days)])
    assert len(reminded_after) <= 3
    assert bool(reminded_after) == any(day >= 7 for day in days)
    pauses = [b - a for a, b in pairwise(reminded_after)]
    assert all(pause >= minimum for pause, minimum in zip(pauses, (14, 28), strict=False))


def test_an_entry_restarts_the_reminders() -> None:
    silent = ReminderHistory(SINCE, 3, date(2026, 12, 20))
    assert next_reminder(SINCE, silent) is None
    assert next_reminder(date(2026, 12, 24), silent) == date(2026, 12, 31)
    logged = IdleGoal(id=1, name="", active_at=NOON + timedelta(days=53), reminded=silent)
    day = date(2026, 12, 31)
    assert logged.after_reminder(day, "UTC") == ReminderHistory(date(2026, 12, 24), 1, day)


def test_deleting_an_entry_does_not_restart_the_reminders() -> None:
    goal = evolve(GOAL, reminded=ReminderHistory(date(2026, 11, 9), 1, date(2026, 11, 16)))
    assert goal.after_reminder(date(2026, 12, 1), "UTC").count == 2


def test_idle_days_are_counted_in_the_users_time_zone() -> None:
    just_before_midnight = datetime(2026, 11, 8, 18, 29, tzinfo=UTC)
    in_kolkata = evolve(ANN, zone="Asia/Kolkata")
    assert not in_kolkata.due(just_before_midnight - timedelta(days=1), 7)
    assert in_kolkata.due(just_before_midnight, 7) == [GOAL]
    late = evolve(GOAL, active_at=datetime(2026, 11, 1, 18, 30, tzinfo=UTC))
    assert not evolve(in_kolkata, goals=[late]).due(just_before_midnight, 7)


def test_the_longest_idle_goals_come_first() -> None:
    goals = [
        evolve(GOAL, id=n, active_at=NOON + timedelta(days=d)) for n, d in ((1, 2), (2, 0), (3, 9))
    ]
    due = evolve(ANN, goals=goals).due(NOON + timedelta(days=9), 7)
    assert [goal.id for goal in due] == [2, 1]


@pytest.mark.parametrize(
    "person",
    [
        evolve(ANN, reminded_on=date(2026, 11, 9)),
        evolve(ANN, reminded_on=date(2026, 11, 10)),
        evolve(ANN, preferences=ReminderPreferences(reminders=False)),
        evolve(
            ANN,
            preferences=ReminderPreferences(reminder_time=time(9), zone="Asia/Tokyo", next_at=NOON),
        ),
        evolve(ANN, goals=[]),
    ],
)
def test_users_reminded_today_opted_out_or_in_another_zone_get_none(
    person: ReminderRecipient,
) -> None:
    assert ANN.due(NOON + timedelta(days=8), 7)
    assert not person.due(NOON + timedelta(days=8), 7)


def test_an_own_reminder_time_is_in_the_users_time_zone() -> None:
    wanted = ReminderPreferences(reminder_time=time(7, 30)).with_next_run(NOON, "Asia/Kolkata")
    assert wanted.next_at == datetime(2026, 11, 2, 2, tzinfo=UTC)
    assert wanted.zone == "Asia/Kolkata"
    assert evolve(wanted, reminders=False).with_next_run(NOON, "UTC").next_at is None
    assert evolve(wanted, reminder_time=None).with_next_run(NOON, "UTC") == ReminderPreferences()


def test_the_idle_cutoff_includes_every_due_goal() -> None:
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"):
        recipient = evolve(ANN, zone=zone)
        times = [NOON + timedelta(hours=hours) for hours in range(24 * 12)]
        due = [now for now in times if recipient.due(now, 7)]
        assert due
        assert all(idle_cutoff(now, 7) > GOAL.active_at for now in due)
    assert idle_cutoff(NOON, 1) == NOON


def test_an_email_lists_each_goal_on_its_own_line() -> None:
    subject, text = compose_reminder(["Learn\n Rust", "Piano"], 2, 7)
    assert subject == "2 of your goals are waiting"
    assert "on 2 goals:\n\n  - Learn Rust\n  - Piano\n\nLog some" in text
    assert compose_reminder(["x" * 200], 1, 7)[0] == f"Your goal {'x' * 79}… is waiting"
    assert compose_reminder(["Rust"], 1, 7)[0] == "Your goal Rust is waiting"


def test_an_email_is_limited_in_length_and_names_are_optional() -> None:
    assert "  - g19\n  - and 5 more\n" in compose_reminder([f"g{n}" for n in range(25)], 25, 7)[1]
    subject, text = compose_reminder([], 1, 7)
    assert subject == "Your goal is waiting"
    assert "on a goal.\n\nLog some" in text
