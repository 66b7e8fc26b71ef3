"""Outcomes of runs: failures in a row pause a schedule, and its owner is notified."""

import pytest

from tests.services.desk import Desk
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.jobs.attempt import Claim, Outcome, Settlement, TaskResult, reap, settle
from workbell.domain.jobs.job import JobState
from workbell.domain.schedules.schedule import OverlapPolicy
from workbell.services.schedules.requests import NewSchedule

pytestmark = pytest.mark.unit

CANCELLED, FAILED, SKIPPED = JobState.CANCELLED, JobState.FAILED, JobState.SKIPPED


def test_five_failed_runs_in_a_row_pause_the_schedule_and_tell_its_owner_once(
    desk: Desk, alice: Actor
) -> None:
    schedule = desk.schedule(alice, name="mine\r\nBcc: eve@example.com")
    desk.fails(schedule, 4)
    assert desk.now_stands(schedule).is_active
    waiting = desk.scheduling.run_now(alice, schedule.id)
    (running,) = desk.claim()
    desk.scheduling.run_now(alice, schedule.id)
    desk.wait(60)
    desk.end(running, Outcome.FAILED, permanent=True)
    paused = desk.now_stands(schedule)
    assert (paused.is_active, paused.fail_streak, paused.version) == (False, 5, 2)
    assert paused.paused_reason == "5 runs in a row have failed"
    assert desk.see(waiting).state is FAILED
    assert desk.states(schedule)[-2:] == [CANCELLED, SKIPPED]
    (message,) = desk.messages()
    assert message["email"] == "alice@example.com"
    assert message["subject"] == "Schedule mine Bcc: eve@example.com paused"
    assert message["body"].endswith("has been paused: 5 runs in a row have failed.")
    desk.fails(schedule)
    assert len(desk.messages()) == 1


def test_the_next_success_after_a_resume_says_recovered(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice)
    desk.fails(schedule, 5)
    desk.scheduling.toggle(alice, schedule.id)
    desk.fails(schedule, 1)
    assert desk.now_stands(schedule).is_active
    desk.succeeds(schedule)
    assert desk.now_stands(schedule).fail_streak == 0
    desk.succeeds(schedule)
    subjects = [message["subject"] for message in desk.messages()]
    name = f"Schedule #{schedule.id} (echo)"
    assert subjects == [f"{name} paused", f"{name} recovered"]


def test_a_success_in_between_breaks_the_row_in_silence(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice)
    desk.fails(schedule, 4)
    desk.succeeds(schedule)
    desk.fails(schedule, 4)
    assert desk.now_stands(schedule).is_active
    assert desk.messages() == []


def test_a_success_without_failures_does_not_touch_the_schedule(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice)
    desk.succeeds(schedule)
    assert desk.now_stands(schedule) == schedule


def test_an_attempt_that_will_be_retried_is_no_failed_run(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice)
    desk.scheduling.run_now(alice, schedule.id)
    desk.end(desk.claim()[0], Outcome.FAILED)
    assert desk.now_stands(schedule).fail_streak == 0


def test_an_outcome_that_was_refused_does_not_count(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice)
    desk.scheduling.run_now(alice, schedule.id)
    (claim,) = desk.claim()
    desk.execution.release([claim])
    assert not desk.end(claim, Outcome.FAILED, permanent=True)
    assert desk.now_stands(schedule).fail_streak == 0


def test_many_outcomes_of_one_schedule_count_one_by_one(desk: Desk, alice: Actor) -> None:
    """Those of one batch, too; a lost run is a failed one when it is not tried again."""
    schedule = desk.schedule(alice, overlap_policy=OverlapPolicy.ALLOW_ALL, max_attempts=1)
    for _ in range(7):
        desk.scheduling.run_now(alice, schedule.id)
    claims = desk.claim()
    desk.wait(31)
    settlements = [reap(claim, desk.clock.at) for claim in claims]
    assert len(desk.execution.settle(settlements)) == 7
    assert desk.now_stands(schedule).fail_streak == 7
    assert len(desk.messages()) == 1


def test_failures_and_a_success_of_one_batch_end_the_row(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice, overlap_policy=OverlapPolicy.ALLOW_ALL, max_attempts=1)
    for _ in range(3):
        desk.scheduling.run_now(alice, schedule.id)
    claims = desk.claim()
    endings = [(claims[0], "failed"), (claims[1], "succeeded"), (claims[2], "failed")]
    desk.execution.settle(
        [_settlement(desk, claim, Outcome(outcome)) for claim, outcome in endings]
    )
    assert desk.now_stands(schedule).fail_streak == 1


def _settlement(desk: Desk, claim: Claim, outcome: Outcome) -> Settlement:
    return settle(claim, TaskResult(outcome=outcome), desk.clock.at, 0.5)


def test_a_success_before_a_failure_of_one_batch_is_no_recovery(desk: Desk, alice: Actor) -> None:
    """And what will be retried, or was cancelled, changes no count at all."""
    schedule = desk.schedule(alice, overlap_policy=OverlapPolicy.ALLOW_ALL)
    for _ in range(4):
        desk.scheduling.run_now(alice, schedule.id)
    good, bad, cancelled, retried = desk.claim()
    failed = settle(bad, TaskResult(outcome=Outcome.FAILED, permanent=True), desk.clock.at, 0.5)
    others = [
        _settlement(desk, good, Outcome.SUCCEEDED),
        failed,
        _settlement(desk, cancelled, Outcome.CANCELLED),
        _settlement(desk, retried, Outcome.FAILED),
    ]
    assert len(desk.execution.settle(others)) == 4
    assert desk.now_stands(schedule).fail_streak == 1
    assert desk.messages() == []


def test_nobody_counts_for_a_deleted_schedule(desk: Desk, alice: Actor) -> None:
    """Its last runs still end as they end."""
    schedule = desk.schedule(alice, overlap_policy=OverlapPolicy.ALLOW_ALL)
    desk.fails(schedule, 5)
    for _ in range(2):
        desk.scheduling.run_now(alice, schedule.id)
    good, bad = (claim for claim in desk.claim() if claim.schedule_id == schedule.id)
    desk.scheduling.delete(alice, schedule.id)
    assert desk.end(good)
    assert desk.end(bad, Outcome.FAILED, permanent=True)
    assert len(desk.messages()) == 1


def test_schedules_without_a_known_owner_are_paused_in_silence(desk: Desk) -> None:
    new = NewSchedule(task_definition="echo", cron_expression="* * * * *")
    schedule = desk.scheduling.create(SYSTEM, new).schedule
    desk.fails(schedule, 5)
    assert not desk.now_stands(schedule).is_active
    assert desk.messages() == []
