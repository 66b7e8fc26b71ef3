"""Ticker: exactly one row per tick."""

from datetime import datetime, timedelta

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.factories import NOON, after
from tests.services.engine import EngineFixture, make_engine
from workbell.domain.identity.actor import Actor
from workbell.domain.jobs.attempt import Outcome
from workbell.domain.jobs.job import Job, JobState
from workbell.domain.jobs.task import TaskId, Tasks
from workbell.domain.schedules.schedule import MisfirePolicy, OverlapPolicy, Schedule, ScheduleId
from workbell.domain.schedules.ticks import plan
from workbell.services.schedules.ticker import BATCH, _recompute

pytestmark = pytest.mark.unit

ECHO = TaskId(1)
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
ALL = MisfirePolicy.ALL


def reasons(engine: EngineFixture, schedule: Schedule) -> list[str | None]:
    return [job.reason for job in engine.list_jobs(schedule)]


# one row per tick


def test_a_tick_becomes_a_job(engine: EngineFixture, alice: Actor) -> None:
    schedule = engine.schedule(alice, parameters={"a": 1}, name="mine")
    assert engine.ticker.next_due() == after(60)
    assert engine.tick(59) == 0
    assert engine.tick(1) == 1
    (job,) = engine.list_jobs(schedule)
    assert (job.state, job.tick, job.due_at) == (READY, after(60), after(60))
    assert (job.owner, job.name, job.parameters) == (alice.user_id, "mine", {"a": 1})
    stored = engine.reload(schedule)
    assert (stored.cursor, stored.next_at, stored.runs) == (after(60), after(120), 1)
    assert engine.ticker.tick() == 0


def test_two_concurrent_tickers_insert_one_row(engine: EngineFixture, alice: Actor) -> None:
    """The slower one finds another cursor or version and writes nothing."""
    schedule = engine.schedule(alice)
    now = engine.advance(60)
    plans = [(schedule, plan(schedule, now))]
    engine.tick()
    with engine.store.begin() as tx:
        engine.ticker._advance(tx, plans, now)
    assert len(engine.list_jobs(schedule)) == 1


def test_schedules_advanced_by_another_process_are_not_planned(
    engine: EngineFixture, alice: Actor
) -> None:
    schedule = engine.schedule(alice)
    engine.tick(60)
    engine.ticker._plan_and_advance([schedule.id], engine.clock.now(), {})
    assert len(engine.list_jobs(schedule)) == 1


def test_a_tick_of_a_task_that_this_process_lacks_is_recorded(
    engine: EngineFixture, alice: Actor
) -> None:
    schedule = engine.schedule(alice)
    engine.advance(60)
    assert evolve(engine.ticker, tasks=Tasks()).tick() == 1
    assert [job.state for job in engine.list_jobs(schedule)] == [READY]


def test_a_plan_made_before_an_edit_does_not_count(engine: EngineFixture, alice: Actor) -> None:
    schedule = engine.schedule(alice)
    now = engine.advance(60)
    plans = [(schedule, plan(schedule, now))]
    engine.schedules.edit(alice, schedule.id, {"parameters": {"new": 1}})
    with engine.store.begin() as tx:
        engine.ticker._advance(tx, plans, now)
    assert engine.list_jobs(schedule) == []
    engine.tick()
    assert [job.parameters for job in engine.list_jobs(schedule)] == [{"new": 1}]


def test_jitter_delays_the_job_and_not_the_tick(engine: EngineFixture, alice: Actor) -> None:
    schedule = engine.schedule(alice, "0 * * * *", jitter_seconds=60)
    for share in (0.0, 0.5, 1.0):
        engine.randomness.share = share
        engine.tick(hours=1)
    rows = engine.list_jobs(schedule)
    late = [(job.due_at - job.tick).total_seconds() for job in rows if job.tick]
    assert late == [0, 30, 60]


def test_the_rows_of_a_transaction_are_limited(engine: EngineFixture) -> None:
    """A backlog of many schedules is processed in batches."""
    root = engine.add_user("root", is_super_user=True)
    many = BATCH // 60 + 3
    for _ in range(many):
        engine.schedule(root, misfire_policy=ALL, overlap_policy=OverlapPolicy.ALLOW_ALL)
    assert engine.tick(hours=1) == many
    assert len(engine.list_jobs()) == many * 60


def test_late_ticks_follow_the_misfire_policy(engine: EngineFixture, alice: Actor) -> None:
    latest = engine.schedule(alice)
    skip = engine.schedule(alice, "0 * * * *", misfire_policy=MisfirePolicy.SKIP)
    every = engine.schedule(alice, misfire_policy=ALL, overlap_policy=OverlapPolicy.ALLOW_ALL)
    engine.tick(minutes=65)
    (one,) = engine.list_jobs(latest)
    assert one.missed is not None and one.missed.count == 65
    (gap,) = engine.list_jobs(skip)
    assert (gap.state, gap.reason, gap.ended_at) == (SKIPPED, "misfire", engine.clock.at)
    assert len(engine.list_jobs(every)) == 65


def test_ticks_of_an_inactive_task_are_skipped(
    engine: EngineFixture, alice: Actor, root: Actor
) -> None:
    schedule = engine.schedule(alice)
    engine.definitions.set_active(root, ECHO, active=False)
    engine.tick(180)
    (row,) = engine.list_jobs(schedule)
    assert (row.state, row.reason) == (SKIPPED, "task_inactive")
    assert row.missed is not None and row.missed.count == 3
    engine.definitions.set_active(root, ECHO, active=True)
    engine.tick(60)
    assert engine.states(schedule) == [SKIPPED, READY]


# start, end, count


def test_a_schedule_starts_ends_and_stops_after_its_runs(
    engine: EngineFixture, alice: Actor
) -> None:
    window = engine.schedule(alice, starts_at=after(120), ends_at=after(180))
    counted = engine.schedule(alice, max_runs=1)
    for _ in range(5):
        engine.tick(60)
        for claim in engine.claim():
            engine.settle(claim)
    assert [job.tick for job in engine.list_jobs(window)] == [after(120), after(180)]
    assert [job.tick for job in engine.list_jobs(counted)] == [after(60)]
    for schedule in (window, counted):
        ended = engine.reload(schedule)
        assert (ended.is_active, ended.paused_reason) == (False, "ended")


def test_a_tick_skipped_for_overlap_does_not_count_as_a_run(
    engine: EngineFixture, alice: Actor
) -> None:
    """Ticks beyond `max_runs` are planned in its place."""
    schedule = engine.schedule(alice, max_runs=2)
    engine.tick(60)
    (claim,) = engine.claim()
    for _ in range(3):
        engine.tick(60)
    assert reasons(engine, schedule) == [None, "overlap", "overlap", "overlap"]
    assert engine.reload(schedule).runs == 1
    engine.settle(claim)
    engine.tick(60)
    assert engine.states(schedule)[-1] is READY
    assert not engine.reload(schedule).is_active


def test_a_superseded_tick_does_not_count_as_a_run(engine: EngineFixture, alice: Actor) -> None:
    schedule = engine.schedule(alice, max_runs=3, overlap_policy=OverlapPolicy.BUFFER_ONE)
    engine.tick(60)
    engine.claim()
    for _ in range(3):
        engine.tick(60)
    assert engine.states(schedule) == [RUNNING, SKIPPED, SKIPPED, HELD]
    assert engine.reload(schedule).runs == 2


# overlap


def test_skip_skips_overlapping_ticks(engine: EngineFixture, alice: Actor) -> None:
    """A run that waits for its retry is unfinished."""
    schedule = engine.schedule(alice, "* * * * *")
    engine.tick(60)
    (claim,) = engine.claim()
    engine.tick(60)
    engine.settle(claim, Outcome.FAILED, retry_after=600)
    engine.tick(60)
    assert engine.states(schedule) == [SCHEDULED, SKIPPED, SKIPPED]
    assert reasons(engine, schedule)[1:] == ["overlap", "overlap"]


def test_all_missed_ticks_run_one_after_another(engine: EngineFixture, alice: Actor) -> None:
    """With `skip`, too: they wait for earlier runs, as they do for one that runs already."""
    schedule = engine.schedule(alice, misfire_policy=ALL)
    engine.tick(360)
    assert engine.states(schedule) == [READY, *[HELD] * 5]
    ran = []
    for _ in range(6):
        (claim,) = engine.claim()
        ran.append(claim.tick)
        if len(ran) == 3:
            engine.tick(180)
            engine.tick(60)
        engine.settle(claim)
    assert ran == [after(60 * n) for n in range(1, 7)]
    assert engine.states(schedule)[6:] == [READY, HELD, HELD, SKIPPED]


def test_allow_all_runs_side_by_side(engine: EngineFixture, alice: Actor) -> None:
    schedule = engine.schedule(alice, overlap_policy=OverlapPolicy.ALLOW_ALL, misfire_policy=ALL)
    engine.tick(180)
    assert len(engine.claim()) == 3
    assert engine.states(schedule) == [RUNNING] * 3


def test_buffer_one_buffers_the_newest(engine: EngineFixture, alice: Actor) -> None:
    schedule = engine.schedule(alice, overlap_policy=OverlapPolicy.BUFFER_ONE)
    engine.tick(60)
    (claim,) = engine.claim()
    engine.tick(60)
    engine.tick(60)
    assert engine.states(schedule) == [RUNNING, SKIPPED, HELD]
    assert reasons(engine, schedule) == [None, "superseded", None]
    engine.settle(claim)
    assert engine.states(schedule) == [SUCCEEDED, SKIPPED, READY]


def test_buffer_one_of_many_ticks_in_one_pass(engine: EngineFixture, alice: Actor) -> None:
    """The first runs, the last waits; with an unfinished run only the last."""
    schedule = engine.schedule(alice, overlap_policy=OverlapPolicy.BUFFER_ONE, misfire_policy=ALL)
    engine.tick(240)
    assert engine.states(schedule) == [READY, SKIPPED, SKIPPED, HELD]
    engine.claim()
    engine.tick(180)
    assert engine.states(schedule)[3:] == [SKIPPED, SKIPPED, SKIPPED, HELD]
    assert reasons(engine, schedule).count("superseded") == 5


def test_buffer_one_with_jitter_buffers_one(engine: EngineFixture, alice: Actor) -> None:
    schedule = engine.schedule(alice, overlap_policy=OverlapPolicy.BUFFER_ONE, jitter_seconds=60)
    for _ in range(3):
        engine.tick(60)
    assert engine.states(schedule) == [SCHEDULED, SCHEDULED, SKIPPED]
    assert reasons(engine, schedule)[-1] == "overlap"


def test_cancel_other_stops_the_older_run(engine: EngineFixture, alice: Actor) -> None:
    """The newer one is held until the older has ended."""
    schedule = engine.schedule(alice, overlap_policy=OverlapPolicy.CANCEL_OTHER)
    engine.tick(60)
    (claim,) = engine.claim()
    engine.tick(60)
    old, new = engine.list_jobs(schedule)
    assert (old.state, old.cancel_requested, new.state) == (RUNNING, True, HELD)
    engine.settle(claim, Outcome.CANCELLED)
    assert engine.states(schedule) == [CANCELLED, READY]
    engine.tick(60)
    _, waiting, newest = engine.list_jobs(schedule)
    assert (waiting.state, waiting.reason) == (CANCELLED, "a newer run takes its place")
    assert newest.state is READY


def test_cancel_other_of_many_ticks_in_one_pass(engine: EngineFixture, alice: Actor) -> None:
    schedule = engine.schedule(alice, overlap_policy=OverlapPolicy.CANCEL_OTHER, misfire_policy=ALL)
    engine.tick(60)
    engine.claim()
    engine.tick(180)
    assert engine.states(schedule) == [RUNNING, SKIPPED, SKIPPED, HELD]
    assert engine.list_jobs(schedule)[0].cancel_requested


# totals


def accounted(rows: list[Job], schedule: Schedule) -> list[datetime]:
    ticks: list[datetime] = []
    for row in rows:
        if row.missed is None:
            assert row.tick is not None
            ticks.append(row.tick)
        else:
            first = row.missed.first - timedelta.resolution
            within = list(schedule.cron.ticks(first, row.missed.last))
            assert len(within) == row.missed.count
            ticks += within
    return sorted(ticks)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_the_rows_of_every_history_add_up(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """For ticks, edits, pauses, failures and run limits: one row per tick."""
    engine = make_engine(tmp_path_factory.mktemp("files"))
    root = engine.add_user("root", is_super_user=True)
    schedule = engine.schedule(
        root,
        data.draw(st.sampled_from(["* * * * *", "*/7 * * * *", "10 * * * *"])),
        misfire_policy=data.draw(st.sampled_from(MisfirePolicy)),
        overlap_policy=data.draw(st.sampled_from(OverlapPolicy)),
        jitter_seconds=data.draw(st.sampled_from([0, 60])),
        max_runs=data.draw(st.sampled_from([None, None, 7])),
    )
    begin = NOON
    for _ in range(data.draw(st.integers(1, 12))):
        engine.advance(data.draw(st.sampled_from([20, 61, 200, 4000, 100_000])))
        match data.draw(st.sampled_from(["tick", "tick", "tick", "work", "edit", "off"])):
            case "tick":
                engine.ticker.tick()
            case "work":
                engine.execution.sweep(reaping=False)
                for claim in engine.claim():
                    engine.settle(claim, data.draw(st.sampled_from([*Outcome][:2])))
            case "edit":
                engine.schedules.edit(root, schedule.id, {"name": "x"})
            case "off" if engine.reload(schedule).is_active:
                engine.schedules.toggle(root, schedule.id)
                break
            case _:
                pass
    ended = engine.reload(schedule)
    until = ended.cursor or begin
    assert accounted(engine.list_jobs(schedule), schedule) == list(
        schedule.cron.ticks(begin, until)
    )
    assert ended.next_at in {None, schedule.cron.next_after(until)}
    created = [job for job in engine.list_jobs(schedule) if job.state is not SKIPPED]
    assert len(created) == ended.runs <= (schedule.max_runs or ended.runs)


# time zone data


def test_new_time_zone_data_moves_ticks_that_are_not_due(
    engine: EngineFixture, alice: Actor
) -> None:
    """Once per version; due ticks and correct ones stay unchanged."""
    wrong, right, due = (engine.schedule(alice, "0 * * * *") for _ in range(3))
    engine.replace(evolve(wrong, next_at=after(1800)))
    engine.replace(evolve(due, next_at=NOON))
    assert engine.ticker.recompute_after_tzdata_change("2030a") == 1
    moved = engine.reload(wrong)
    assert (moved.next_at, moved.version) == (after(3600), 2)
    assert engine.reload(right) == right
    assert engine.reload(due).next_at == NOON
    engine.replace(evolve(moved, next_at=after(1800)))
    assert engine.ticker.recompute_after_tzdata_change("2030a") == 0
    assert engine.ticker.recompute_after_tzdata_change("2030b") == 1


def test_schedules_changed_since_are_left_unchanged(engine: EngineFixture, alice: Actor) -> None:
    schedule = engine.schedule(alice, "0 * * * *")
    with engine.store.begin() as tx:
        assert not _recompute(tx, schedule.id, NOON)
        assert not _recompute(tx, ScheduleId(99), NOON)
