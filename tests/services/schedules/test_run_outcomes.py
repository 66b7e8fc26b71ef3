"""Outcomes of runs: repeated failures pause a schedule and notify."""

import pytest

from tests.services.engine import EngineFixture
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.jobs.attempt import Claim, Outcome, Settlement, TaskResult, reap, settle
from workbell.domain.jobs.job import JobState
from workbell.domain.schedules.schedule import OverlapPolicy
from workbell.services.schedules.requests import NewSchedule

pytestmark = pytest.mark.unit

CANCELLED, FAILED, SKIPPED = JobState.CANCELLED, JobState.FAILED, JobState.SKIPPED


def test_five_failed_runs_in_a_row_pause_the_schedule_and_notify_once(
    engine: EngineFixture, alice: Actor
) -> None:
    schedule = engine.schedule(alice, name="mine\r\nBcc: eve@example.com")
    engine.run_and_fail(schedule, 4)
    assert engine.reload(schedule).is_active
    waiting = engine.schedules.run_now(alice, schedule.id)
    (running,) = engine.claim()
    engine.schedules.run_now(alice, schedule.id)
    engine.advance(60)
    engine.settle(running, Outcome.FAILED, permanent=True)
    paused = engine.reload(schedule)
    assert (paused.is_active, paused.fail_streak, paused.version) == (False, 5, 2)
    assert paused.paused_reason == "5 runs in a row have failed"
    assert engine.reload_job(waiting).state is FAILED
    assert engine.states(schedule)[-2:] == [CANCELLED, SKIPPED]
    (message,) = engine.messages()
    assert message["email"] == "alice@example.com"
    assert message["subject"] == "Schedule mine Bcc: eve@example.com paused"
    assert message["body"].endswith("has been paused: 5 runs in a row have failed.")
    engine.run_and_fail(schedule)
    assert len(engine.messages()) == 1


def test_the_first_success_after_a_resume_notifies_of_recovery(
    engine: EngineFixture, alice: Actor
) -> None:
    schedule = engine.schedule(alice)
    engine.run_and_fail(schedule, 5)
    engine.schedules.toggle(alice, schedule.id)
    engine.run_and_fail(schedule, 1)
    assert engine.reload(schedule).is_active
    engine.run_and_succeed(schedule)
    assert engine.reload(schedule).fail_streak == 0
    engine.run_and_succeed(schedule)
    subjects = [message["subject"] for message in engine.messages()]
    name = f"Schedule #{schedule.id} (echo)"
    assert subjects == [f"{name} paused", f"{name} recovered"]


def test_a_success_in_between_resets_the_count_without_an_email(
    engine: EngineFixture, alice: Actor
) -> None:
    schedule = engine.schedule(alice)
    engine.run_and_fail(schedule, 4)
    engine.run_and_succeed(schedule)
    engine.run_and_fail(schedule, 4)
    assert engine.reload(schedule).is_active
    assert engine.messages() == []


def test_a_success_without_failures_does_not_write_the_schedule(
    engine: EngineFixture, alice: Actor
) -> None:
    schedule = engine.schedule(alice)
    engine.run_and_succeed(schedule)
    assert engine.reload(schedule) == schedule


def test_an_attempt_that_will_be_retried_is_no_failed_run(
    engine: EngineFixture, alice: Actor
) -> None:
    schedule = engine.schedule(alice)
    engine.schedules.run_now(alice, schedule.id)
    engine.settle(engine.claim()[0], Outcome.FAILED)
    assert engine.reload(schedule).fail_streak == 0


def test_an_outcome_that_was_refused_does_not_count(engine: EngineFixture, alice: Actor) -> None:
    schedule = engine.schedule(alice)
    engine.schedules.run_now(alice, schedule.id)
    (claim,) = engine.claim()
    engine.execution.release([claim])
    assert not engine.settle(claim, Outcome.FAILED, permanent=True)
    assert engine.reload(schedule).fail_streak == 0


def test_many_outcomes_of_one_schedule_count_one_by_one(
    engine: EngineFixture, alice: Actor
) -> None:
    """Also within a batch; a lost run counts as failed if it is not retried."""
    schedule = engine.schedule(alice, overlap_policy=OverlapPolicy.ALLOW_ALL, max_attempts=1)
    for _ in range(7):
        engine.schedules.run_now(alice, schedule.id)
    claims = engine.claim()
    engine.advance(31)
    settlements = [reap(claim, engine.clock.at) for claim in claims]
    assert len(engine.execution.settle(settlements)) == 7
    assert engine.reload(schedule).fail_streak == 7
    assert len(engine.messages()) == 1


def test_failures_and_a_success_of_one_batch_reset_the_count(
    engine: EngineFixture, alice: Actor
) -> None:
    schedule = engine.schedule(alice, overlap_policy=OverlapPolicy.ALLOW_ALL, max_attempts=1)
    for _ in range(3):
        engine.schedules.run_now(alice, schedule.id)
    claims = engine.claim()
    endings = [(claims[0], "failed"), (claims[1], "succeeded"), (claims[2], "failed")]
    engine.execution.settle(
        [_settlement(engine, claim, Outcome(outcome)) for claim, outcome in endings]
    )
    assert engine.reload(schedule).fail_streak == 1


def _settlement(engine: EngineFixture, claim: Claim, outcome: Outcome) -> Settlement:
    return settle(claim, TaskResult(outcome=outcome), engine.clock.at, 0.5)


def test_a_success_before_a_failure_of_one_batch_is_no_recovery(
    engine: EngineFixture, alice: Actor
) -> None:
    """Retries and cancelled runs do not change the count."""
    schedule = engine.schedule(alice, overlap_policy=OverlapPolicy.ALLOW_ALL)
    for _ in range(4):
        engine.schedules.run_now(alice, schedule.id)
    good, bad, cancelled, retried = engine.claim()
    failed = settle(bad, TaskResult(outcome=Outcome.FAILED, permanent=True), engine.clock.at, 0.5)
    others = [
        _settlement(engine, good, Outcome.SUCCEEDED),
        failed,
        _settlement(engine, cancelled, Outcome.CANCELLED),
        _settlement(engine, retried, Outcome.FAILED),
    ]
    assert len(engine.execution.settle(others)) == 4
    assert engine.reload(schedule).fail_streak == 1
    assert engine.messages() == []


def test_outcomes_of_a_deleted_schedule_are_not_counted(
    engine: EngineFixture, alice: Actor
) -> None:
    """Its last runs still end normally."""
    schedule = engine.schedule(alice, overlap_policy=OverlapPolicy.ALLOW_ALL)
    engine.run_and_fail(schedule, 5)
    for _ in range(2):
        engine.schedules.run_now(alice, schedule.id)
    good, bad = (claim for claim in engine.claim() if claim.schedule_id == schedule.id)
    engine.schedules.delete(alice, schedule.id)
    assert engine.settle(good)
    assert engine.settle(bad, Outcome.FAILED, permanent=True)
    assert len(engine.messages()) == 1


def test_schedules_without_a_known_owner_are_paused_without_an_email(engine: EngineFixture) -> None:
    new = NewSchedule(task_definition="echo", cron_expression="* * * * *")
    schedule = engine.schedules.create(SYSTEM, new).schedule
    engine.run_and_fail(schedule, 5)
    assert not engine.reload(schedule).is_active
    assert engine.messages() == []
