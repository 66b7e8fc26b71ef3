"""Jobs and attempts: the state transitions that the domain decides."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.factories import NOON, a_job, after
from workbell.domain.errors import Conflict, Invalid, LimitReached
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.attempt import (
    LOST_RETRY_DELAY,
    MAX_TIMEOUT,
    TIMEOUT_GRACE,
    Claim,
    Outcome,
    TaskResult,
    reap,
    retry_delay,
    settle,
)
from workbell.domain.jobs.job import (
    ENDED,
    UNFINISHED,
    WAITING,
    ClaimMode,
    JobId,
    JobState,
    MissedTicks,
    Progress,
    Status,
    check_waiting_limit,
    fair_tag,
    initial_state,
    make_progress,
    public_status,
    select_claimable,
)

pytestmark = pytest.mark.unit

CANCELLED, FAILED, HELD, READY, RUNNING, SCHEDULED, SKIPPED, SUCCEEDED = (
    JobState.CANCELLED,
    JobState.FAILED,
    JobState.HELD,
    JobState.READY,
    JobState.RUNNING,
    JobState.SCHEDULED,
    JobState.SKIPPED,
    JobState.SUCCEEDED,
)
BATCH, ORDINARY, ALONE = ClaimMode


def a_claim(**fields: Any) -> Claim:
    values: dict[str, Any] = {
        "id": JobId(1),
        "token": 3,
        "task": "echo",
        "owner": UserId(1),
        "parameters": {},
        "queue": "default",
        "mode": ORDINARY,
        "fail_when_lost": False,
        "concurrency_key": "concurrency_key",
        "attempt": 1,
        "max_attempts": 3,
        "timeout_seconds": 60,
        "due_at": NOON,
        "queued_at": NOON,
        "started_at": NOON,
        "schedule_id": 5,
        "tick": NOON,
        "worker": "w",
    }
    return Claim(**values | fields)


# states


def test_every_state_is_waiting_running_or_final() -> None:
    assert {state for state in JobState if state.waiting} == set(WAITING)
    assert {state for state in JobState if state.ended} == set(ENDED)
    assert set(UNFINISHED) | set(ENDED) == set(JobState)
    assert not RUNNING.waiting and not RUNNING.ended


@pytest.mark.parametrize("state", WAITING)
def test_waiting_jobs_are_pending_or_retrying_after_an_attempt(state: JobState) -> None:
    assert public_status(state, 0) is Status.PENDING
    assert public_status(state, 1) is Status.RETRYING


@pytest.mark.parametrize("state", [RUNNING, *ENDED])
@pytest.mark.parametrize("attempt", [0, 1])
def test_other_states_have_a_status_of_the_same_name(state: JobState, attempt: int) -> None:
    assert a_job(state=state, attempt=attempt).status == state.name.lower()


# commands


@pytest.mark.parametrize("state", WAITING)
def test_a_waiting_job_is_cancelled_at_once(state: JobState) -> None:
    job = a_job(state=state).cancel(after(5), "because")
    assert (job.state, job.reason, job.ended_at) == (CANCELLED, "because", after(5))


def test_a_running_job_gets_a_cancellation_request() -> None:
    """Threads cannot be killed safely."""
    job = a_job(state=RUNNING).cancel(NOON)
    assert (job.state, job.cancel_requested, job.ended_at) == (RUNNING, True, None)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (SUCCEEDED, "has already succeeded"),
        (FAILED, "has already failed"),
        (CANCELLED, "has already been cancelled"),
        (SKIPPED, "has already been skipped"),
    ],
)
def test_an_ended_job_cannot_be_cancelled(state: JobState, message: str) -> None:
    with pytest.raises(Conflict, match=message):
        a_job(state=state).cancel(NOON)


def test_a_held_tick_is_superseded_by_a_newer_one() -> None:
    job = a_job(state=HELD).supersede(after(1))
    assert (job.state, job.reason, job.ended_at) == (SKIPPED, "superseded", after(1))


@pytest.mark.parametrize("state", [FAILED, CANCELLED])
def test_a_retry_adds_an_attempt_and_a_new_token(state: JobState) -> None:
    """The new token rejects outcomes of the previous worker."""
    old = a_job(
        state=state, attempt=3, max_attempts=3, token=7, reason="no", result=1,
        cancel_requested=True, hidden=True, ended_at=NOON,
    )  # fmt: skip
    job = old.retry(after(9))
    assert (job.state, job.due_at, job.token, job.max_attempts) == (SCHEDULED, after(9), 8, 4)
    assert (job.reason, job.result, job.ended_at) == (None, None, None)
    assert not job.cancel_requested and not job.hidden
    assert job.attempt == 3


@pytest.mark.parametrize("state", sorted(set(JobState) - {FAILED, CANCELLED}))
def test_jobs_in_other_states_cannot_be_retried(state: JobState) -> None:
    with pytest.raises(Conflict, match="cannot be retried"):
        a_job(state=state).retry(NOON)


def test_a_rerun_creates_a_new_job() -> None:
    """It refers to the tick of the first job, without its idempotency key."""
    old = a_job(
        id=JobId(4), state=SUCCEEDED, schedule_id=5, tick=NOON, idempotency_key="k", concurrency_key="l",
        attempt=2, token=9, result=1, priority=3, ended_at=NOON,
    )  # fmt: skip
    job = old.rerun(after(60))
    assert (job.rerun_of, job.tick, job.for_tick) == (4, None, NOON)
    assert (job.state, job.due_at, job.created_at) == (SCHEDULED, after(60), after(60))
    assert (job.id, job.attempt, job.token, job.idempotency_key) == (0, 0, 0, None)
    assert (job.concurrency_key, job.priority, job.schedule_id) == ("l", 3, 5)
    assert evolve(old, tick=None, for_tick=after(1)).rerun(NOON).for_tick == after(1)


def test_the_fairness_key_defaults_to_the_owner() -> None:
    assert a_job(owner=UserId(7)).fairness_key == "7"
    assert a_job(fair_key="destination:3").fairness_key == "destination:3"


# progress


@pytest.mark.parametrize("value", [0, 7, -3, 0.5, 999_999_999_999_999, Decimal("2.5")])
def test_progress_takes_finite_numbers(value: Any) -> None:
    assert make_progress(value, value, "x") == Progress(value, value, "x")
    assert make_progress(value, None, "").total is None


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), -float("inf"), 1e15, -1e15, 10**15, 10**400, True, "5", None, [1]],
)
def test_progress_that_a_store_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(Invalid) as refused:
        make_progress(value, None, "")
    assert list(refused.value.field_errors) == ["done"]
    if value is not None:
        with pytest.raises(Invalid) as refused:
            make_progress(1, value, "")
        assert list(refused.value.field_errors) == ["total"]


def test_the_note_of_progress_must_be_a_text() -> None:
    with pytest.raises(Invalid) as refused:
        make_progress(1, 2, b"half")
    assert list(refused.value.field_errors) == ["note"]


# outcomes of attempts


@given(st.integers(1, 100), st.floats(0, 1))
def test_the_bound_of_the_retry_delay_doubles(attempt: int, chance: float) -> None:
    """Full jitter: from 0 to min(1 h, 10 s x 2^(n-1))."""
    bound = min(3600.0, 10.0 * 2.0 ** (attempt - 1))
    assert timedelta(0) <= retry_delay(attempt, chance) <= timedelta(seconds=bound)
    assert retry_delay(attempt, 1.0) == timedelta(seconds=bound)
    assert retry_delay(attempt, 0.0) == timedelta(0)


def test_a_success_ends_the_job_with_its_result() -> None:
    done = settle(a_claim(), TaskResult(outcome=Outcome.SUCCEEDED, result={"a": 1}), after(2), 0.5)
    assert (done.state, done.result, done.due_at) == (SUCCEEDED, {"a": 1}, None)
    assert (done.token, done.attempt, done.uncharged) == (3, 1, 0)
    assert done.concurrency_key == "concurrency_key"
    assert (done.started_at, done.ended_at, done.worker) == (NOON, after(2), "w")


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.TIMED_OUT, Outcome.CRASHED])
def test_a_failure_is_retried_while_attempts_are_left(outcome: Outcome) -> None:
    ending = TaskResult(outcome=outcome, error="no")
    again = settle(a_claim(attempt=2), ending, NOON, 0.5)
    assert (again.state, again.due_at, again.error) == (SCHEDULED, after(10), "no")
    last = settle(a_claim(attempt=3), ending, NOON, 0.5)
    assert (last.state, last.due_at, last.uncharged) == (FAILED, None, 0)


def test_a_crash_fails_a_job_that_must_not_run_twice() -> None:
    crash = TaskResult(outcome=Outcome.CRASHED, error="SIGSEGV")
    assert settle(a_claim(fail_when_lost=True), crash, NOON, 0.5).state is FAILED


def test_a_permanent_failure_is_not_retried() -> None:
    ending = TaskResult(outcome=Outcome.FAILED, permanent=True, retry_after=3)
    assert settle(a_claim(), ending, NOON, 0.5).state is FAILED


def test_a_requested_retry_delay_is_used() -> None:
    ending = TaskResult(outcome=Outcome.FAILED, retry_after=90)
    assert settle(a_claim(), ending, NOON, 0.5).due_at == after(90)


@pytest.mark.parametrize("outcome", [Outcome.SNOOZED, Outcome.INTERRUPTED])
@pytest.mark.parametrize("attempt", [1, 3])
def test_snooze_and_interruption_use_up_no_attempt(outcome: Outcome, attempt: int) -> None:
    """The attempt number stays unique; `uncharged` is incremented instead."""
    ending = TaskResult(outcome=outcome, retry_after=7 if outcome is Outcome.SNOOZED else None)
    back = settle(a_claim(attempt=attempt, uncharged=1), ending, NOON, 0.5)
    assert (back.state, back.attempt, back.uncharged) == (SCHEDULED, attempt, 2)
    assert back.due_at == (after(7) if outcome is Outcome.SNOOZED else NOON)


@pytest.mark.parametrize(
    ("seconds", "waited"),
    [
        (-5.0, 1), (0, 1), (1e300, 366 * 86400),
        (float("nan"), 5), (float("inf"), 5), (float("-inf"), 5),
    ],
)  # fmt: skip
def test_the_delay_that_an_error_requests_is_limited(seconds: float, waited: float) -> None:
    """From 1 s to 366 days; the usual delay takes the place of a number that is not finite."""
    ending = TaskResult(outcome=Outcome.FAILED, retry_after=seconds)
    assert settle(a_claim(), ending, NOON, 0.5).due_at == after(waited)


def test_fifty_snoozes_change_neither_the_backoff_nor_the_attempts_left() -> None:
    claim = a_claim()
    for attempt in range(2, 52):
        ending = TaskResult(outcome=Outcome.SNOOZED, retry_after=7)
        snoozed = settle(claim, ending, NOON, 1.0)
        claim = a_claim(attempt=attempt, uncharged=snoozed.uncharged)
    assert (claim.attempt, claim.uncharged, claim.tries) == (51, 50, 1)
    failed = settle(claim, TaskResult(outcome=Outcome.FAILED), NOON, 1.0)
    assert (failed.state, failed.due_at, failed.uncharged) == (SCHEDULED, after(10), 50)
    last = settle(evolve(claim, attempt=53), TaskResult(outcome=Outcome.FAILED), NOON, 1.0)
    assert last.state is FAILED


@pytest.mark.parametrize("seconds", [10**12, 10**30, 2**31 - 1, -5, -(10**12)])
def test_a_deadline_can_be_computed_for_every_time_limit(seconds: int) -> None:
    """One row with an odd limit must not stop the heartbeat of the others."""
    deadline = a_claim(timeout_seconds=seconds).deadline
    assert NOON <= deadline <= NOON + MAX_TIMEOUT
    assert reap(a_claim(timeout_seconds=seconds), after(40)).state is SCHEDULED


def test_a_task_that_stops_on_request_is_cancelled() -> None:
    assert settle(a_claim(), TaskResult(outcome=Outcome.CANCELLED), NOON, 0.5).state is CANCELLED


def test_a_failure_after_a_cancellation_request_is_not_retried() -> None:
    claim = a_claim(cancel_requested=True)
    assert settle(claim, TaskResult(outcome=Outcome.FAILED), NOON, 0.5).state is CANCELLED
    assert settle(claim, TaskResult(outcome=Outcome.SUCCEEDED), NOON, 0.5).state is SUCCEEDED


def test_an_attempt_never_ends_before_it_starts() -> None:
    """Not even if the clock was set back."""
    done = settle(a_claim(), TaskResult(outcome=Outcome.SUCCEEDED), after(-60), 0.5)
    assert done.ended_at == NOON


# expired leases


def test_a_lost_attempt_counts_and_is_retried_after_a_second() -> None:
    lost = reap(a_claim(), after(40))
    assert (lost.outcome, lost.state, lost.due_at) == (
        Outcome.LOST, SCHEDULED, after(40) + LOST_RETRY_DELAY,
    )  # fmt: skip
    assert (lost.error, lost.uncharged, lost.mode) == ("the worker was lost", 0, ORDINARY)
    assert lost.lease_before == after(40)
    assert reap(a_claim(attempt=3), after(40)).state is FAILED


def test_a_lost_attempt_past_its_deadline_timed_out() -> None:
    """During the grace period its own process may still report the timeout."""
    claim = a_claim()
    bound = claim.deadline + TIMEOUT_GRACE
    assert claim.deadline == after(60)
    assert reap(claim, bound).outcome is Outcome.LOST
    late = reap(claim, bound + timedelta.resolution)
    assert (late.outcome, late.error) == (Outcome.TIMED_OUT, "the time limit was exceeded")


def test_a_timed_out_attempt_of_an_at_most_once_task_fails() -> None:
    """Its body may still run, so a retry could repeat the effect."""
    timed_out = TaskResult(outcome=Outcome.TIMED_OUT)
    assert settle(a_claim(), timed_out, after(60), 0.5).state is SCHEDULED
    once = a_claim(fail_when_lost=True, mode=ALONE)
    assert settle(once, timed_out, after(60), 0.5).state is FAILED


def test_a_lost_attempt_of_an_at_most_once_task_fails() -> None:
    assert reap(a_claim(fail_when_lost=True, mode=ALONE), after(40)).state is FAILED


def test_a_lost_attempt_with_a_cancellation_request_is_cancelled() -> None:
    assert reap(a_claim(cancel_requested=True), after(40)).state is CANCELLED


def test_a_job_lost_from_a_batch_gets_an_extra_exclusive_attempt() -> None:
    """Another job of the batch may have crashed the worker."""
    lost = reap(a_claim(mode=BATCH, attempt=3), after(40))
    assert (lost.state, lost.uncharged, lost.mode) == (SCHEDULED, 1, ALONE)
    again = reap(a_claim(mode=ALONE, attempt=4, uncharged=1), after(80))
    assert (again.state, again.uncharged) == (FAILED, 1)


# queueing


@pytest.mark.parametrize(
    ("due", "active", "free", "state"),
    [
        (1, True, True, SCHEDULED),
        (0, True, True, READY),
        (-1, True, True, READY),
        (0, False, True, HELD),
        (0, True, False, HELD),
    ],
)
def test_a_new_job_is_ready_held_or_scheduled(
    due: int, active: bool, free: bool, state: JobState
) -> None:
    job = a_job(due_at=after(due))
    assert initial_state(job, NOON, task_active=active, concurrency_key_free=free) is state


def test_fair_tags_order_a_key_behind_itself_and_not_before_others() -> None:
    assert fair_tag(None, None, 1, 1.0) == 1.0
    assert fair_tag(5.0, None, 1, 1.0) == 6.0
    assert fair_tag(5.0, 9.0, 2, 4.0) == 9.5


@pytest.mark.parametrize("weight", [0.0, -2.0, float("nan")])
def test_a_row_with_an_impossible_weight_is_ordered_like_one_of_weight_1(weight: float) -> None:
    assert fair_tag(5.0, None, 2, weight) == 7.0


@pytest.mark.parametrize(
    ("modes", "free", "taken"),
    [
        ([], 4, 0),
        ([BATCH] * 5, 0, 5),
        ([ORDINARY] * 5, 3, 3),
        ([BATCH, ORDINARY, BATCH, ORDINARY], 1, 3),
        ([ALONE, BATCH], 4, 1),
        ([BATCH, ALONE, BATCH], 4, 1),
        ([ORDINARY, BATCH], 2, 2),
    ],
)
def test_the_claim_modes_limit_a_claim(modes: list[ClaimMode], free: int, taken: int) -> None:
    assert select_claimable(modes, free) == taken


def test_the_waiting_jobs_of_an_owner_are_limited() -> None:
    check_waiting_limit(9, 1, 10)
    with pytest.raises(LimitReached, match="9 of 10") as refusal:
        check_waiting_limit(9, 2, 10)
    assert (refusal.value.used, refusal.value.limit) == (9, 10)


def test_missed_ticks_have_first_last_and_count() -> None:
    assert MissedTicks(NOON, after(60), 2) == MissedTicks(first=NOON, last=after(60), count=2)
