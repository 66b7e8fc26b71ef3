"""Alerts: an owner is notified once when overdue and once on recovery."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from attrs import define

from tests.services.engine import EngineFixture
from workbell.adapters.memory.store import MemoryStore
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.identity.user import UserId
from workbell.domain.schedules.schedule import Schedule
from workbell.services.schedules import overdue_alerts
from workbell.services.schedules.overdue_alerts import OverdueAlerts
from workbell.services.schedules.requests import NewSchedule

pytestmark = pytest.mark.unit

HOURLY = "0 * * * *"


def expected(engine: EngineFixture, actor: Actor, **fields: Any) -> Schedule:
    """Return an hourly schedule that must succeed within ten minutes."""
    return engine.schedule(actor, HOURLY, name="Books", alert_after_seconds=600, **fields)


def subjects(engine: EngineFixture) -> list[str]:
    """Return the subjects of the enqueued emails."""
    return [message["subject"] for message in engine.messages()]


def test_the_owner_is_notified_once_and_again_on_recovery(
    engine: EngineFixture, alice: Actor
) -> None:
    schedule = expected(engine, alice)
    engine.advance(hours=1, minutes=9)
    assert engine.overdue_alerts.evaluate_due().emails == 0
    overdue = engine.advance(minutes=2)
    assert engine.overdue_alerts.evaluate_due().emails == 1
    assert engine.reload(schedule).overdue_since == overdue
    for _ in range(3):
        assert engine.overdue_alerts.evaluate_due().emails == 0
        engine.advance(minutes=2)
    assert subjects(engine) == ["Schedule Books overdue"]
    assert engine.messages()[0]["body"].endswith("since 2030-01-01 13:00 UTC, and has not.")
    assert engine.messages()[0]["email"] == "alice@example.com"

    engine.run_and_succeed(schedule)
    engine.advance(minutes=1)
    assert engine.overdue_alerts.evaluate_due().emails == 1
    assert subjects(engine)[1:] == ["Schedule Books recovered"]
    stands = engine.reload(schedule)
    assert stands.overdue_since is None
    assert stands.next_at is not None
    engine.advance(minutes=30)
    assert engine.overdue_alerts.evaluate_due().emails == 0


def test_a_success_in_time_moves_the_alert_to_the_next_tick(
    engine: EngineFixture, alice: Actor
) -> None:
    schedule = expected(engine, alice)
    for _ in range(3):
        engine.tick(hours=1)
        (claim,) = engine.claim()
        engine.settle(claim)
        before = engine.reload(schedule).alert_at
        engine.advance(minutes=10)
        assert engine.overdue_alerts.evaluate_due().emails == 0
        assert before is not None
        assert engine.reload(schedule).alert_at == before + timedelta(hours=1)
        engine.advance(minutes=-10)
    assert subjects(engine) == []


def test_a_paused_or_ended_schedule_has_no_alert(engine: EngineFixture, alice: Actor) -> None:
    schedule = expected(engine, alice)
    engine.schedules.toggle(alice, schedule.id)
    assert engine.reload(schedule).alert_at is None
    engine.schedules.toggle(alice, schedule.id)
    assert engine.reload(schedule).alert_at is not None
    engine.schedules.delete(alice, schedule.id)
    last = expected(engine, alice, max_runs=1)
    engine.tick(hours=1)
    assert not engine.reload(last).is_active
    (claim,) = engine.claim()
    engine.settle(claim)
    engine.advance(minutes=11)
    assert engine.overdue_alerts.evaluate_due().emails == 0
    assert engine.reload(last).alert_at is None
    engine.advance(days=9)
    assert engine.overdue_alerts.evaluate_due().emails == 0
    assert subjects(engine) == []


def test_the_last_run_of_a_schedule_has_an_alert(engine: EngineFixture, alice: Actor) -> None:
    expected(engine, alice, max_runs=1)
    engine.tick(hours=1)
    engine.advance(minutes=11)
    assert engine.overdue_alerts.evaluate_due().emails == 1


def test_an_edit_changes_the_alert_only_if_it_concerns_it(
    engine: EngineFixture, alice: Actor
) -> None:
    schedule = expected(engine, alice)
    engine.advance(hours=2)
    assert engine.overdue_alerts.evaluate_due().emails == 1
    engine.schedules.edit(alice, schedule.id, {"name": "Ledger"})
    assert engine.reload(schedule).overdue_since is not None
    engine.schedules.edit(alice, schedule.id, {"alert_after_seconds": 60})
    stands = engine.reload(schedule)
    assert stands.overdue_since is None
    assert stands.next_at is not None
    assert stands.alert_at == stands.next_at + timedelta(minutes=1)
    engine.schedules.edit(alice, schedule.id, {"alert_after_seconds": None})
    assert engine.reload(schedule).alert_at is None


def test_an_owner_without_an_address_gets_no_email(engine: EngineFixture) -> None:
    new = NewSchedule(task_definition="echo", cron_expression=HOURLY, alert_after_seconds=60)
    schedule = engine.schedules.create(SYSTEM, new, owner=UserId(77)).schedule
    engine.advance(hours=2)
    assert engine.overdue_alerts.evaluate_due().emails == 1
    assert engine.reload(schedule).overdue_since is not None
    assert subjects(engine) == []
    assert engine.jobs.stats(SYSTEM).schedules_overdue == 1


@define
class Overtaken:
    """A store in which another process commits just before a transaction."""

    store: MemoryStore
    during_update: Callable[[], object]

    def view(self) -> AbstractContextManager[Any]:
        return self.store.view()

    def begin(self, *, single_statement: bool = False) -> AbstractContextManager[Any]:
        self.during_update()
        return self.store.begin()


def test_of_two_concurrent_evaluations_one_sends_the_email(
    engine: EngineFixture, alice: Actor
) -> None:
    expected(engine, alice)
    engine.advance(hours=2)
    slow = OverdueAlerts(
        store=Overtaken(engine.store, engine.overdue_alerts.evaluate_due), clock=engine.clock
    )
    assert slow.evaluate_due().emails == 0
    assert subjects(engine) == ["Schedule Books overdue"]


def test_alerts_are_evaluated_in_batches(
    engine: EngineFixture, alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overdue_alerts, "BATCH", 2)
    for _ in range(3):
        expected(engine, alice)
    engine.advance(hours=1, minutes=11)
    first = engine.overdue_alerts.evaluate_due()
    assert (first.emails, first.has_more) == (2, True)
    second = engine.overdue_alerts.evaluate_due()
    assert (second.emails, second.has_more) == (1, False)
