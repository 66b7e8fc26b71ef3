"""Schedules: activation, next ticks, alerts and the jobs they create."""

from datetime import timedelta

import pytest
from attrs import evolve

from tests.contract.factories import NOON, a_schedule, after
from workbell.domain.cron.rule import CronRule
from workbell.domain.errors import Invalid, LimitReached
from workbell.domain.jobs.job import ClaimMode, JobOrigin, MissedTicks
from workbell.domain.jobs.task import OnLost, Task
from workbell.domain.schedules.schedule import (
    OverlapPolicy,
    ScheduleId,
    check_active_limit,
    check_times,
)

pytestmark = pytest.mark.unit

HOUR = timedelta(hours=1)
PAUSED = a_schedule(next_at=None)


def test_a_schedule_is_active_while_it_has_a_next_tick() -> None:
    assert a_schedule().is_active
    assert not PAUSED.is_active
    assert not a_schedule().pause("enough").is_active
    assert a_schedule().pause("enough").paused_reason == "enough"


def test_resuming_sets_a_tick_after_now() -> None:
    """Ticks missed during the pause do not run later."""
    resumed = evolve(PAUSED, paused_reason="enough").resume(after(60))
    assert (resumed.next_at, resumed.paused_reason) == (NOON + HOUR, None)


def test_resuming_never_repeats_a_tick() -> None:
    """Not even if the clock was set back by up to a minute."""
    assert evolve(PAUSED, cursor=NOON).resume(after(-60)).next_at == NOON + HOUR


def test_resuming_ignores_a_cursor_from_a_clock_that_was_ahead() -> None:
    """The store refuses a second run of a tick, so none is repeated."""
    resumed = evolve(PAUSED, cursor=NOON).resume(after(-61))
    assert (resumed.next_at, resumed.cursor) == (NOON, after(-61))


def test_nothing_runs_before_the_start() -> None:
    """The start is inclusive."""
    assert evolve(PAUSED, starts_at=NOON + 5 * HOUR).resume(NOON).next_at == NOON + 5 * HOUR
    odd = evolve(PAUSED, starts_at=NOON + timedelta(seconds=30))
    assert odd.resume(NOON).next_at == NOON + HOUR


def test_nothing_runs_after_the_end() -> None:
    """The end is inclusive."""
    assert evolve(PAUSED, ends_at=NOON + HOUR).resume(NOON).next_at == NOON + HOUR
    with pytest.raises(Invalid, match="no runs left"):
        evolve(PAUSED, ends_at=NOON + HOUR).resume(NOON + HOUR)


def test_nothing_runs_beyond_max_runs() -> None:
    assert evolve(PAUSED, max_runs=3, runs=2).resume(NOON).is_active
    with pytest.raises(Invalid, match="no runs left"):
        evolve(PAUSED, max_runs=3, runs=3).resume(NOON)


def test_an_edit_recomputes_the_next_tick_and_increments_the_version() -> None:
    rule = CronRule("30 * * * *")
    edited = a_schedule(cron=rule, cursor=NOON - HOUR, version=4).edited(NOON)
    assert (edited.next_at, edited.version, edited.updated_at) == (after(1800), 5, NOON)


def test_an_edit_never_repeats_a_tick() -> None:
    assert a_schedule(cursor=NOON).edited(after(-60)).next_at == NOON + HOUR


def test_an_edit_without_a_remaining_tick_ends_the_schedule() -> None:
    ended = a_schedule(ends_at=NOON).edited(NOON)
    assert (ended.is_active, ended.paused_reason) == (False, "ended")


def test_an_edit_of_a_paused_schedule_does_not_resume_it() -> None:
    edited = evolve(PAUSED, paused_reason="enough").edited(NOON)
    assert (edited.is_active, edited.paused_reason) == (False, "enough")


def test_schedules_with_equal_rule_start_end_and_count_have_the_same_ticks() -> None:
    one = a_schedule()
    assert one.has_same_ticks(evolve(one, name="x", priority=-1, version=9))
    for changed in (
        evolve(one, cron=CronRule("1 * * * *")),
        evolve(one, starts_at=NOON),
        evolve(one, ends_at=NOON),
        evolve(one, max_runs=1),
    ):
        assert not one.has_same_ticks(changed)


def test_runs_share_a_concurrency_key_unless_overlap_is_allowed() -> None:
    assert a_schedule(id=ScheduleId(7)).concurrency_key == "schedule:7"
    assert a_schedule(overlap_policy=OverlapPolicy.ALLOW_ALL).concurrency_key is None


def test_a_job_has_the_defaults_of_its_task() -> None:
    task = Task(
        key="echo", body=lambda *_: None, queue="slow", max_attempts=9, timeout_seconds=8,
        on_lost=OnLost.FAIL,
    )  # fmt: skip
    job = a_schedule(id=ScheduleId(7)).job(task, NOON, due_at=after(3), tick=NOON)
    assert (job.queue, job.max_attempts, job.timeout_seconds) == ("slow", 9, 8)
    assert (job.mode, job.fail_when_lost, job.concurrency_key) == (
        ClaimMode.EXCLUSIVE,
        True,
        "schedule:7",
    )
    assert (job.tick, job.due_at, job.created_at) == (NOON, after(3), NOON)
    assert (job.schedule_id, job.origin) == (7, JobOrigin.SCHEDULE)


def test_a_job_of_an_unregistered_task_is_created() -> None:
    """The task may be registered in another process."""
    job = a_schedule().job(None, NOON, due_at=NOON)
    assert (job.queue, job.max_attempts, job.timeout_seconds) == ("default", 3, 300)
    assert (job.mode, job.fail_when_lost) == (ClaimMode.ORDINARY, False)


def test_settings_of_the_schedule_override_those_of_the_task() -> None:
    task = Task(key="echo", body=lambda *_: None, queue="slow")
    schedule = a_schedule(queue="fast", max_attempts=1, timeout_seconds=2, priority=-3, weight=4.0)
    missed = MissedTicks(NOON, NOON, 1)
    job = schedule.job(
        task, NOON, due_at=NOON, origin=JobOrigin.BACKFILL, for_tick=NOON, missed=missed
    )
    assert (job.queue, job.max_attempts, job.timeout_seconds) == ("fast", 1, 2)
    assert (job.priority, job.weight, job.origin) == (-3, 4.0, JobOrigin.BACKFILL)
    assert (job.tick, job.for_tick, job.missed) == (None, NOON, missed)


@pytest.mark.parametrize("before", [4, 9])
def test_every_fifth_consecutive_failure_pauses_the_schedule(before: int) -> None:
    assert a_schedule(fail_streak=before).failed().has_failed_too_often
    assert not a_schedule(fail_streak=before - 1).failed().has_failed_too_often
    assert not a_schedule(fail_streak=before + 1).failed().has_failed_too_often


def test_a_paused_schedule_is_not_paused_again() -> None:
    assert not evolve(PAUSED, fail_streak=4).failed().has_failed_too_often
    assert not a_schedule().has_failed_too_often


def test_a_sixth_active_schedule_is_refused_with_used_and_limit() -> None:
    check_active_limit(4, 5)
    with pytest.raises(LimitReached, match="You have 7 of 5 active schedules") as refusal:
        check_active_limit(7, 5)
    assert (refusal.value.used, refusal.value.limit) == (7, 5)


def test_the_end_must_be_after_the_start() -> None:
    check_times(a_schedule(), NOON)
    check_times(a_schedule(starts_at=NOON), NOON)
    check_times(a_schedule(starts_at=NOON, ends_at=NOON + HOUR), NOON)
    with pytest.raises(Invalid, match="ends_at"):
        check_times(a_schedule(starts_at=NOON, ends_at=NOON), NOON)


def test_the_jitter_must_fit_between_two_runs() -> None:
    check_times(a_schedule(cron=CronRule("*/5 * * * *"), jitter_seconds=300), NOON)
    check_times(a_schedule(cron=CronRule("0 9 1 1 *"), jitter_seconds=3600), NOON)
    with pytest.raises(Invalid, match="at most 60, the shortest time") as refused:
        check_times(a_schedule(cron=CronRule("0,1 9 * * *"), jitter_seconds=61), NOON)
    assert list(refused.value.field_errors) == ["jitter_seconds"]


def test_a_next_run_that_only_a_leaped_clock_explains_is_corrected() -> None:
    ahead = a_schedule(cursor=NOON + 99 * HOUR, alert_after_seconds=60)
    ahead = evolve(ahead, next_at=NOON + 100 * HOUR).with_alert()
    corrected = ahead.corrected(NOON)
    assert (corrected.next_at, corrected.cursor) == (NOON + HOUR, NOON)
    assert corrected.alert_at == after(3660)
    assert corrected.corrected(NOON) is corrected
    over = evolve(ahead, next_at=None, paused_reason="ended", ends_at=NOON + HOUR)
    assert over.corrected(NOON).next_at == NOON + HOUR
    assert over.corrected(NOON).is_active
    assert over.corrected(NOON + HOUR).next_at is None
    for reason in (None, "owner inactive"):
        paused = evolve(over, paused_reason=reason)
        assert paused.corrected(NOON) is paused
