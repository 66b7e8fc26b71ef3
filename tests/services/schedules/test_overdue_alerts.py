"""Expectations: an owner is told once that a schedule is overdue, and once that it recovered."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from attrs import define

from tests.services.desk import Desk
from workbell.adapters.memory.store import MemoryStore
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.identity.user import UserId
from workbell.domain.schedules.schedule import Schedule
from workbell.services.schedules.overdue_alerts import OverdueAlerts
from workbell.services.schedules.requests import NewSchedule

pytestmark = pytest.mark.unit

HOURLY = "0 * * * *"


def expected(desk: Desk, actor: Actor, **fields: Any) -> Schedule:
    """Return a schedule of every hour that is to succeed within ten minutes."""
    return desk.schedule(actor, HOURLY, name="Books", alert_after_seconds=600, **fields)


def subjects(desk: Desk) -> list[str]:
    """Return the subjects of the mails that wait."""
    return [message["subject"] for message in desk.messages()]


def test_the_owner_is_told_once_and_again_when_it_recovers(desk: Desk, alice: Actor) -> None:
    schedule = expected(desk, alice)
    desk.wait(hours=1, minutes=9)
    assert desk.expectations.evaluate_due() == 0
    overdue = desk.wait(minutes=2)
    assert desk.expectations.evaluate_due() == 1
    assert desk.now_stands(schedule).overdue_since == overdue
    for _ in range(3):
        assert desk.expectations.evaluate_due() == 0
        desk.wait(minutes=2)
    assert subjects(desk) == ["Schedule Books overdue"]
    assert desk.messages()[0]["body"].endswith("since 2030-01-01 13:00 UTC, and has not.")
    assert desk.messages()[0]["email"] == "alice@example.com"

    desk.succeeds(schedule)
    desk.wait(minutes=1)
    assert desk.expectations.evaluate_due() == 1
    assert subjects(desk)[1:] == ["Schedule Books recovered"]
    stands = desk.now_stands(schedule)
    assert stands.overdue_since is None
    assert stands.next_at is not None
    desk.wait(minutes=30)
    assert desk.expectations.evaluate_due() == 0


def test_a_success_in_time_moves_the_expectation_to_the_next_tick(desk: Desk, alice: Actor) -> None:
    schedule = expected(desk, alice)
    for _ in range(3):
        desk.tick(hours=1)
        (claim,) = desk.claim()
        desk.end(claim)
        before = desk.now_stands(schedule).alert_at
        desk.wait(minutes=10)
        assert desk.expectations.evaluate_due() == 0
        assert before is not None
        assert desk.now_stands(schedule).alert_at == before + timedelta(hours=1)
        desk.wait(minutes=-10)
    assert subjects(desk) == []


def test_nothing_is_expected_of_what_is_paused_or_over(desk: Desk, alice: Actor) -> None:
    schedule = expected(desk, alice)
    desk.scheduling.toggle(alice, schedule.id)
    assert desk.now_stands(schedule).alert_at is None
    desk.scheduling.toggle(alice, schedule.id)
    assert desk.now_stands(schedule).alert_at is not None
    desk.scheduling.delete(alice, schedule.id)
    last = expected(desk, alice, max_runs=1)
    desk.tick(hours=1)
    assert not desk.now_stands(last).is_active
    (claim,) = desk.claim()
    desk.end(claim)
    desk.wait(minutes=11)
    assert desk.expectations.evaluate_due() == 0
    assert desk.now_stands(last).alert_at is None
    desk.wait(days=9)
    assert desk.expectations.evaluate_due() == 0
    assert subjects(desk) == []


def test_the_last_run_of_a_schedule_is_expected_too(desk: Desk, alice: Actor) -> None:
    expected(desk, alice, max_runs=1)
    desk.tick(hours=1)
    desk.wait(minutes=11)
    assert desk.expectations.evaluate_due() == 1


def test_an_edit_changes_what_is_expected_only_where_it_says_so(desk: Desk, alice: Actor) -> None:
    schedule = expected(desk, alice)
    desk.wait(hours=2)
    assert desk.expectations.evaluate_due() == 1
    desk.scheduling.edit(alice, schedule.id, {"name": "Ledger"})
    assert desk.now_stands(schedule).overdue_since is not None
    desk.scheduling.edit(alice, schedule.id, {"alert_after_seconds": 60})
    stands = desk.now_stands(schedule)
    assert stands.overdue_since is None
    assert stands.next_at is not None
    assert stands.alert_at == stands.next_at + timedelta(minutes=1)
    desk.scheduling.edit(alice, schedule.id, {"alert_after_seconds": None})
    assert desk.now_stands(schedule).alert_at is None


def test_an_owner_without_an_address_is_judged_in_silence(desk: Desk) -> None:
    new = NewSchedule(task_definition="echo", cron_expression=HOURLY, alert_after_seconds=60)
    schedule = desk.scheduling.create(SYSTEM, new, owner=UserId(77)).schedule
    desk.wait(hours=2)
    assert desk.expectations.evaluate_due() == 1
    assert desk.now_stands(schedule).overdue_since is not None
    assert subjects(desk) == []
    assert desk.jobs.stats(SYSTEM).schedules_overdue == 1


@define
class Overtaken:
    """A store in which somebody else is quicker, between the look and the transaction."""

    store: MemoryStore
    meanwhile: Callable[[], object]

    def view(self) -> AbstractContextManager[Any]:
        return self.store.view()

    def begin(self, *, single_statement: bool = False) -> AbstractContextManager[Any]:
        self.meanwhile()
        return self.store.begin()


def test_of_two_who_look_at_once_one_tells(desk: Desk, alice: Actor) -> None:
    expected(desk, alice)
    desk.wait(hours=2)
    slow = OverdueAlerts(
        store=Overtaken(desk.store, desk.expectations.evaluate_due), clock=desk.clock
    )
    assert slow.evaluate_due() == 0
    assert subjects(desk) == ["Schedule Books overdue"]
