"""Ticking: one row per tick, whatever else runs, and never two."""

from datetime import datetime, timedelta

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.factories import NOON, after
from tests.services.desk import Desk, a_desk
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


def reasons(desk: Desk, schedule: Schedule) -> list[str | None]:
    return [job.reason for job in desk.rows(schedule)]


# one row per tick


def test_a_tick_becomes_a_job(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice, parameters={"a": 1}, name="mine")
    assert desk.ticking.next_due() == after(60)
    assert desk.tick(59) == 0
    assert desk.tick(1) == 1
    (job,) = desk.rows(schedule)
    assert (job.state, job.tick, job.due_at) == (READY, after(60), after(60))
    assert (job.owner, job.name, job.parameters) == (alice.user_id, "mine", {"a": 1})
    kept = desk.now_stands(schedule)
    assert (kept.cursor, kept.next_at, kept.runs) == (after(60), after(120), 1)
    assert desk.ticking.tick() == 0


def test_two_schedulers_make_one_row(desk: Desk, alice: Actor) -> None:
    """The slower one finds cursor or version moved, and leaves everything."""
    schedule = desk.schedule(alice)
    now = desk.wait(60)
    plans = [(schedule, plan(schedule, now))]
    desk.tick()
    with desk.store.begin() as tx:
        desk.ticking._advance(tx, plans, now)
    assert len(desk.rows(schedule)) == 1


def test_what_others_took_meanwhile_is_planned_no_more(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice)
    desk.tick(60)
    desk.ticking._plan([schedule.id], desk.clock.now(), ())
    assert len(desk.rows(schedule)) == 1


def test_a_tick_of_a_task_that_this_process_lacks_is_recorded(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice)
    desk.wait(60)
    assert evolve(desk.ticking, tasks=Tasks()).tick() == 1
    assert [job.state for job in desk.rows(schedule)] == [READY]


def test_a_plan_made_before_an_edit_does_not_count(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice)
    now = desk.wait(60)
    plans = [(schedule, plan(schedule, now))]
    desk.scheduling.edit(alice, schedule.id, {"parameters": {"new": 1}})
    with desk.store.begin() as tx:
        desk.ticking._advance(tx, plans, now)
    assert desk.rows(schedule) == []
    desk.tick()
    assert [job.parameters for job in desk.rows(schedule)] == [{"new": 1}]


def test_jitter_puts_the_work_off_and_not_the_tick(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice, "0 * * * *", jitter_seconds=60)
    for share in (0.0, 0.5, 1.0):
        desk.chance.share = share
        desk.tick(hours=1)
    rows = desk.rows(schedule)
    late = [(job.due_at - job.tick).total_seconds() for job in rows if job.tick]
    assert late == [0, 30, 60]


def test_a_transaction_takes_so_many_rows_only(desk: Desk) -> None:
    """A long absence of many schedules is made up for in portions."""
    root = desk.person("root", is_super_user=True)
    many = BATCH // 60 + 3
    for _ in range(many):
        desk.schedule(root, misfire_policy=ALL, overlap_policy=OverlapPolicy.ALLOW_ALL)
    assert desk.tick(hours=1) == many
    assert len(desk.rows()) == many * 60


def test_late_ticks_go_by_the_policy(desk: Desk, alice: Actor) -> None:
    latest = desk.schedule(alice)
    skip = desk.schedule(alice, "0 * * * *", misfire_policy=MisfirePolicy.SKIP)
    every = desk.schedule(alice, misfire_policy=ALL, overlap_policy=OverlapPolicy.ALLOW_ALL)
    desk.tick(minutes=65)
    (one,) = desk.rows(latest)
    assert one.missed is not None and one.missed.count == 65
    (gap,) = desk.rows(skip)
    assert (gap.state, gap.reason, gap.ended_at) == (SKIPPED, "misfire", desk.clock.at)
    assert len(desk.rows(every)) == 65


def test_ticks_of_an_inactive_task_are_skipped(desk: Desk, alice: Actor, root: Actor) -> None:
    schedule = desk.schedule(alice)
    desk.definitions.set_active(root, ECHO, active=False)
    desk.tick(180)
    (row,) = desk.rows(schedule)
    assert (row.state, row.reason) == (SKIPPED, "task_inactive")
    assert row.missed is not None and row.missed.count == 3
    desk.definitions.set_active(root, ECHO, active=True)
    desk.tick(60)
    assert desk.states(schedule) == [SKIPPED, READY]


# start, end, count


def test_a_schedule_starts_ends_and_stops_after_its_runs(desk: Desk, alice: Actor) -> None:
    window = desk.schedule(alice, starts_at=after(120), ends_at=after(180))
    counted = desk.schedule(alice, max_runs=1)
    for _ in range(5):
        desk.tick(60)
        for claim in desk.claim():
            desk.end(claim)
    assert [job.tick for job in desk.rows(window)] == [after(120), after(180)]
    assert [job.tick for job in desk.rows(counted)] == [after(60)]
    for schedule in (window, counted):
        ended = desk.now_stands(schedule)
        assert (ended.is_active, ended.paused_reason) == (False, "ended")


def test_a_tick_skipped_for_overlap_is_no_run(desk: Desk, alice: Actor) -> None:
    """Those that the run count had cut off get their turn."""
    schedule = desk.schedule(alice, max_runs=2, misfire_policy=ALL)
    desk.tick(60)
    (claim,) = desk.claim()
    desk.wait(180)
    while desk.ticking.tick():
        pass
    assert reasons(desk, schedule) == [None, "overlap", "overlap", "overlap"]
    assert desk.now_stands(schedule).runs == 1
    desk.end(claim)
    desk.tick(60)
    assert desk.states(schedule)[-1] is READY
    assert not desk.now_stands(schedule).is_active


def test_a_superseded_tick_is_no_run(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice, max_runs=3, overlap_policy=OverlapPolicy.BUFFER_ONE)
    desk.tick(60)
    desk.claim()
    for _ in range(3):
        desk.tick(60)
    assert desk.states(schedule) == [RUNNING, SKIPPED, SKIPPED, HELD]
    assert desk.now_stands(schedule).runs == 2


# overlap


def test_skip_leaves_out_what_would_overlap(desk: Desk, alice: Actor) -> None:
    """A run that waits for its retry is not over."""
    schedule = desk.schedule(alice, "* * * * *")
    desk.tick(60)
    (claim,) = desk.claim()
    desk.tick(60)
    desk.end(claim, Outcome.FAILED, retry_after=600)
    desk.tick(60)
    assert desk.states(schedule) == [SCHEDULED, SKIPPED, SKIPPED]
    assert reasons(desk, schedule)[1:] == ["overlap", "overlap"]


def test_allow_all_runs_side_by_side(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice, overlap_policy=OverlapPolicy.ALLOW_ALL, misfire_policy=ALL)
    desk.tick(180)
    assert len(desk.claim()) == 3
    assert desk.states(schedule) == [RUNNING] * 3


def test_buffer_one_keeps_the_newest(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice, overlap_policy=OverlapPolicy.BUFFER_ONE)
    desk.tick(60)
    (claim,) = desk.claim()
    desk.tick(60)
    desk.tick(60)
    assert desk.states(schedule) == [RUNNING, SKIPPED, HELD]
    assert reasons(desk, schedule) == [None, "superseded", None]
    desk.end(claim)
    assert desk.states(schedule) == [SUCCEEDED, SKIPPED, READY]


def test_buffer_one_of_many_ticks_in_one_pass(desk: Desk, alice: Actor) -> None:
    """The first runs, the last waits; after a run already under way only the last does."""
    schedule = desk.schedule(alice, overlap_policy=OverlapPolicy.BUFFER_ONE, misfire_policy=ALL)
    desk.tick(240)
    assert desk.states(schedule) == [READY, SKIPPED, SKIPPED, HELD]
    desk.claim()
    desk.tick(180)
    assert desk.states(schedule)[3:] == [SKIPPED, SKIPPED, SKIPPED, HELD]
    assert reasons(desk, schedule).count("superseded") == 5


def test_buffer_one_with_jitter_buffers_one(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice, overlap_policy=OverlapPolicy.BUFFER_ONE, jitter_seconds=600)
    for _ in range(3):
        desk.tick(60)
    assert desk.states(schedule) == [SCHEDULED, SCHEDULED, SKIPPED]
    assert reasons(desk, schedule)[-1] == "overlap"


def test_cancel_other_stops_the_older_run(desk: Desk, alice: Actor) -> None:
    """The newer one is held until the older has ended."""
    schedule = desk.schedule(alice, overlap_policy=OverlapPolicy.CANCEL_OTHER)
    desk.tick(60)
    (claim,) = desk.claim()
    desk.tick(60)
    old, new = desk.rows(schedule)
    assert (old.state, old.cancel_requested, new.state) == (RUNNING, True, HELD)
    desk.end(claim, Outcome.CANCELLED)
    assert desk.states(schedule) == [CANCELLED, READY]
    desk.tick(60)
    _, waiting, newest = desk.rows(schedule)
    assert (waiting.state, waiting.reason) == (CANCELLED, "a newer run takes its place")
    assert newest.state is READY


def test_cancel_other_of_many_ticks_in_one_pass(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice, overlap_policy=OverlapPolicy.CANCEL_OTHER, misfire_policy=ALL)
    desk.tick(60)
    desk.claim()
    desk.tick(180)
    assert desk.states(schedule) == [RUNNING, SKIPPED, SKIPPED, HELD]
    assert desk.rows(schedule)[0].cancel_requested


# the sum


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
    """Ticks, edits, pauses, failures and run counts: every tick stands in exactly one row."""
    desk = a_desk(tmp_path_factory.mktemp("files"))
    root = desk.person("root", is_super_user=True)
    schedule = desk.schedule(
        root,
        data.draw(st.sampled_from(["* * * * *", "*/7 * * * *", "10 * * * *"])),
        misfire_policy=data.draw(st.sampled_from(MisfirePolicy)),
        overlap_policy=data.draw(st.sampled_from(OverlapPolicy)),
        jitter_seconds=data.draw(st.sampled_from([0, 300])),
        max_runs=data.draw(st.sampled_from([None, None, 7])),
    )
    begin = NOON
    for _ in range(data.draw(st.integers(1, 12))):
        desk.wait(data.draw(st.sampled_from([20, 61, 200, 4000, 100_000])))
        match data.draw(st.sampled_from(["tick", "tick", "tick", "work", "edit", "off"])):
            case "tick":
                desk.ticking.tick()
            case "work":
                desk.execution.sweep(reaping=False)
                for claim in desk.claim():
                    desk.end(claim, data.draw(st.sampled_from([*Outcome][:2])))
            case "edit":
                desk.scheduling.edit(root, schedule.id, {"name": "x"})
            case "off" if desk.now_stands(schedule).is_active:
                desk.scheduling.toggle(root, schedule.id)
                break
            case _:
                pass
    ended = desk.now_stands(schedule)
    until = ended.cursor or begin
    assert accounted(desk.rows(schedule), schedule) == list(schedule.cron.ticks(begin, until))
    assert ended.next_at in {None, schedule.cron.next_after(until)}
    made = [job for job in desk.rows(schedule) if job.state is not SKIPPED]
    assert len(made) == ended.runs <= (schedule.max_runs or ended.runs)


# time zone data


def test_new_time_zone_data_moves_what_is_not_due(desk: Desk, alice: Actor) -> None:
    """Once per version; what is due keeps its promise, what is right is not touched."""
    wrong, right, due = (desk.schedule(alice, "0 * * * *") for _ in range(3))
    desk.keep(evolve(wrong, next_at=after(1800)))
    desk.keep(evolve(due, next_at=NOON))
    assert desk.ticking.recompute_after_tzdata_change("2030a") == 1
    moved = desk.now_stands(wrong)
    assert (moved.next_at, moved.version) == (after(3600), 2)
    assert desk.now_stands(right) == right
    assert desk.now_stands(due).next_at == NOON
    desk.keep(evolve(moved, next_at=after(1800)))
    assert desk.ticking.recompute_after_tzdata_change("2030a") == 0
    assert desk.ticking.recompute_after_tzdata_change("2030b") == 1


def test_what_moved_on_meanwhile_is_left_alone(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice, "0 * * * *")
    with desk.store.begin() as tx:
        assert not _recompute(tx, schedule.id, NOON)
        assert not _recompute(tx, ScheduleId(99), NOON)
