"""Ticks: each is accounted for exactly once after an outage of any length."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.factories import NOON, a_job, a_schedule, after
from workbell.domain.cron.rule import CronRule
from workbell.domain.jobs.job import JobId, JobState, MissedTicks
from workbell.domain.schedules.schedule import MisfirePolicy, OverlapPolicy, Schedule
from workbell.domain.schedules.ticks import (
    CATCH_UP_LIMIT,
    OverlapDecision,
    PlannedTick,
    SkipReason,
    TickPlan,
    decide_overlap,
    plan,
    skip_due_ticks,
    superseded,
)

pytestmark = pytest.mark.unit

MINUTELY = a_schedule(cron=CronRule("* * * * *"))
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def minutely(**fields: Any) -> Schedule:
    return evolve(MINUTELY, **fields)


def runs(planned: TickPlan) -> list[datetime]:
    return [row.tick for row in planned.rows if row.skipped is None]


def skipped_rows(planned: TickPlan) -> list[PlannedTick]:
    return [row for row in planned.rows if row.skipped is not None]


# punctual ticks


def test_a_punctual_tick_is_one_run() -> None:
    planned = plan(MINUTELY, after(1))
    assert planned.rows == [PlannedTick(tick=NOON)]
    assert (planned.cursor, planned.next_at, planned.runs) == (NOON, after(60), 1)


def test_a_tick_up_to_one_minute_late_is_punctual() -> None:
    """It runs under every misfire policy."""
    for policy in MisfirePolicy:
        planned = plan(minutely(misfire_policy=policy), after(60))
        assert planned.rows == [PlannedTick(tick=NOON), PlannedTick(tick=after(60))]


def test_a_tick_announced_by_old_time_zone_data_is_accounted_for() -> None:
    """Newer data moved the tick after the schedule had announced it."""
    schedule = a_schedule(next_at=after(1800))
    assert plan(schedule, after(1801)).rows == [PlannedTick(tick=after(1800))]
    (row,) = plan(schedule, NOON + 5 * HOUR).rows
    assert row.missed == MissedTicks(after(1800), NOON + 5 * HOUR, 6)


# late ticks


def test_latest_runs_once_for_all_missed_ticks() -> None:
    planned = plan(MINUTELY, after(600))
    missed = MissedTicks(NOON, after(600), 11)
    assert planned.rows == [PlannedTick(tick=after(600), missed=missed)]
    assert (planned.cursor, planned.next_at, planned.runs) == (after(600), after(660), 1)


def test_skip_runs_punctual_ticks_only() -> None:
    planned = plan(minutely(misfire_policy=MisfirePolicy.SKIP), after(600))
    assert runs(planned) == [after(540), after(600)]
    (gap,) = skipped_rows(planned)
    assert (gap.tick, gap.skipped) == (NOON, SkipReason.MISFIRE)
    assert gap.missed == MissedTicks(NOON, after(480), 9)


def test_skip_can_leave_no_tick_to_run() -> None:
    hourly = a_schedule(misfire_policy=MisfirePolicy.SKIP)
    planned = plan(hourly, NOON + 2 * HOUR + 5 * MINUTE)
    (gap,) = planned.rows
    assert gap.missed == MissedTicks(NOON, NOON + 2 * HOUR, 3)
    assert (planned.runs, planned.next_at) == (0, NOON + 3 * HOUR)


def test_all_runs_every_tick_of_a_short_outage() -> None:
    planned = plan(minutely(misfire_policy=MisfirePolicy.ALL), after(600))
    assert runs(planned) == [after(60 * n) for n in range(11)]
    assert not skipped_rows(planned)


def test_all_runs_at_most_100_ticks() -> None:
    planned = plan(minutely(misfire_policy=MisfirePolicy.ALL), NOON + 2 * HOUR)
    assert len(runs(planned)) == CATCH_UP_LIMIT == 100
    (gap,) = skipped_rows(planned)
    assert gap.missed == MissedTicks(NOON, after(20 * 60), 21)
    assert runs(planned)[0] == after(21 * 60)


def test_all_runs_the_ticks_of_the_last_24_hours() -> None:
    """A tick exactly 24 hours ago still runs."""
    planned = plan(a_schedule(misfire_policy=MisfirePolicy.ALL), NOON + 2 * DAY)
    assert runs(planned) == [NOON + DAY + n * HOUR for n in range(25)]
    (gap,) = skipped_rows(planned)
    assert gap.missed == MissedTicks(NOON, NOON + 23 * HOUR, 24)


def test_an_inactive_task_gets_one_skipped_row_for_the_range() -> None:
    for policy in MisfirePolicy:
        planned = plan(minutely(misfire_policy=policy), after(600), skip=SkipReason.TASK_INACTIVE)
        (gap,) = planned.rows
        assert (gap.skipped, gap.missed) == (
            SkipReason.TASK_INACTIVE,
            MissedTicks(NOON, after(600), 11),
        )
        assert planned.runs == 0


# end and max_runs


def test_the_end_is_the_last_tick() -> None:
    planned = plan(minutely(ends_at=after(90)), after(600))
    (row,) = planned.rows
    assert row.missed == MissedTicks(NOON, after(60), 2)
    assert planned.next_at is None


def test_max_runs_ends_the_schedule() -> None:
    schedule = minutely(misfire_policy=MisfirePolicy.ALL, max_runs=5, runs=2)
    planned = plan(schedule, after(600))
    assert runs(planned) == [NOON, after(60), after(120)]
    assert (planned.runs, planned.next_at, planned.cursor) == (5, None, after(120))


def test_skipped_ticks_do_not_count_as_runs() -> None:
    schedule = a_schedule(misfire_policy=MisfirePolicy.SKIP, max_runs=1)
    planned = plan(schedule, NOON + 5 * MINUTE)
    assert (planned.runs, planned.next_at) == (0, NOON + HOUR)


def test_a_schedule_past_max_runs_creates_no_rows() -> None:
    planned = plan(minutely(max_runs=2, runs=2), NOON)
    assert (list(planned.rows), planned.next_at, planned.runs) == ([], None, 2)


# skipped ticks


def test_skipped_due_ticks_become_one_row() -> None:
    row = skip_due_ticks(MINUTELY, after(150), SkipReason.PAUSED)
    assert row is not None
    assert row == PlannedTick(
        tick=NOON, skipped=SkipReason.PAUSED, missed=MissedTicks(NOON, after(120), 3)
    )
    assert row.last == after(120)


def test_no_row_is_written_if_no_tick_is_due() -> None:
    assert skip_due_ticks(MINUTELY, after(-1), SkipReason.PAUSED) is None
    assert skip_due_ticks(minutely(next_at=None), NOON, SkipReason.PAUSED) is None


# accounting for every tick

LINES = st.sampled_from(
    ["* * * * *", "*/7 * * * *", "5 * * * *", "30 2 * * *", "0 0 * * 1", "15,45 9-17 * * 1-5",
     "0 3 29 2 *", "@hourly", "*/30 1-3 * 3,10 *"]
)  # fmt: skip
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
ABSENCES = st.lists(
    st.one_of(
        st.integers(1, 90),
        st.integers(60, 4 * 3600),
        st.integers(3600, 40 * 86400),
    ),
    min_size=1,
    max_size=8,
)


def accounted_ticks(rows: Sequence[PlannedTick], schedule: Schedule) -> list[datetime]:
    """Return every tick that the rows account for, in order."""
    ticks = []
    for row in rows:
        if row.missed is None:
            ticks.append(row.tick)
            continue
        within = list(schedule.cron.ticks(row.missed.first - timedelta.resolution, row.missed.last))
        assert len(within) == row.missed.count
        assert row.tick in {row.missed.first, row.missed.last}
        ticks += within
    return ticks


@settings(deadline=None, max_examples=200)
@given(
    line=LINES,
    zone=ZONES,
    policy=st.sampled_from(MisfirePolicy),
    absences=ABSENCES,
    inactive=st.sets(st.integers(0, 7)),
    start=st.datetimes(datetime(2029, 12, 1), datetime(2030, 12, 1)),  # noqa: DTZ001
)
def test_every_tick_of_any_history_is_accounted_for_once(
    line: str,
    zone: str,
    policy: MisfirePolicy,
    absences: list[int],
    inactive: set[int],
    start: datetime,
) -> None:
    """By its own row, or within one missed or skipped range."""
    begin = now = start.replace(tzinfo=NOON.tzinfo)
    schedule = a_schedule(cron=CronRule(line, zone), misfire_policy=policy, next_at=None)
    schedule = schedule.resume(now)
    result: list[datetime] = []
    for n, seconds in enumerate(absences):
        now += timedelta(seconds=seconds)
        if schedule.next_at is None or schedule.next_at > now:
            continue
        planned = plan(schedule, now, skip=SkipReason.TASK_INACTIVE if n in inactive else None)
        assert len(planned.rows) <= CATCH_UP_LIMIT + 1
        result += accounted_ticks(planned.rows, schedule)
        schedule = evolve(
            schedule, cursor=planned.cursor, next_at=planned.next_at, runs=planned.runs
        )
    assert result == list(schedule.cron.ticks(begin, now))
    assert schedule.next_at == schedule.cron.next_after(now)


# overlap policies

RUNNING = a_job(id=JobId(1), state=JobState.RUNNING, tick=NOON, attempt=1)
HELD = a_job(id=JobId(2), state=JobState.HELD, tick=after(60))
LATER = a_job(id=JobId(3), state=JobState.SCHEDULED, tick=after(60), due_at=after(90))
RETRYING = a_job(id=JobId(4), state=JobState.SCHEDULED, tick=NOON, attempt=1)
MANUAL = a_job(id=JobId(5), state=JobState.HELD, for_tick=NOON)
PLANNED = a_job(state=JobState.SCHEDULED, tick=NOON)


@pytest.mark.parametrize("policy", OverlapPolicy)
def test_a_tick_without_unfinished_runs_is_run(policy: OverlapPolicy) -> None:
    assert decide_overlap(policy, [], []) is OverlapDecision.RUN


@pytest.mark.parametrize(
    ("policy", "decision"),
    [
        (OverlapPolicy.ALLOW_ALL, OverlapDecision.RUN),
        (OverlapPolicy.SKIP, OverlapDecision.SKIP),
        (OverlapPolicy.CANCEL_OTHER, OverlapDecision.CANCEL),
        (OverlapPolicy.BUFFER_ONE, OverlapDecision.REPLACE),
    ],
)
def test_the_overlap_policy_decides_about_unfinished_runs(
    policy: OverlapPolicy, decision: OverlapDecision
) -> None:
    """Runs waiting for a retry and runs of the same pass are unfinished, too."""
    assert decide_overlap(policy, [RUNNING], []) is decision
    assert decide_overlap(policy, [RETRYING], []) is decision
    assert decide_overlap(policy, [], [PLANNED]) is decision


def test_a_buffered_tick_delayed_by_jitter_is_not_replaced() -> None:
    """It is not HELD yet, so the newer tick is skipped."""
    assert decide_overlap(OverlapPolicy.BUFFER_ONE, [RUNNING, LATER], []) is OverlapDecision.SKIP
    assert decide_overlap(OverlapPolicy.BUFFER_ONE, [LATER], []) is OverlapDecision.REPLACE
    assert decide_overlap(OverlapPolicy.BUFFER_ONE, [RUNNING, HELD], []) is OverlapDecision.REPLACE


def test_only_a_held_tick_is_replaced() -> None:
    """Running, retrying and manual jobs are not replaced."""
    assert superseded([RUNNING, HELD, LATER, RETRYING, MANUAL]) == [HELD]
