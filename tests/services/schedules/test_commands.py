"""Schedules: the limit on every path, edits that lose no tick, and what pausing takes back."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tests.contract.factories import NOON, after
from tests.services.desk import Desk, a_desk
from workbell.domain.cron.rule import CronRule
from workbell.domain.errors import Invalid, LimitReached, NotFound, StaleVersion
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.identity.user import Role, Tier, UserId
from workbell.domain.jobs.attempt import Outcome
from workbell.domain.jobs.job import JobOrigin, JobState, MissedTicks
from workbell.domain.jobs.task import Task
from workbell.domain.schedules.schedule import OverlapPolicy, ScheduleId
from workbell.ports.schedules.views import ScheduleFilter
from workbell.services.schedules.requests import NewSchedule
from workbell.services.schedules.runs import cancel_runs

pytestmark = pytest.mark.unit

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CANCELLED, HELD, READY, RUNNING, SKIPPED = (
    JobState.CANCELLED,
    JobState.HELD,
    JobState.READY,
    JobState.RUNNING,
    JobState.SKIPPED,
)


# creating and looking


def test_a_new_schedule_aims_at_its_first_tick(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice, "30 * * * *", parameters={"a": 1}, name="mine")
    assert (schedule.owner, schedule.task, schedule.name) == (alice.user_id, "echo", "mine")
    assert (schedule.next_at, schedule.cursor, schedule.version) == (after(1800), None, 1)
    assert desk.actions() == ["CREATE schedule"]


def test_a_schedule_may_be_made_paused(desk: Desk, alice: Actor) -> None:
    assert not desk.schedule(alice, is_active=False).is_active


def test_a_schedule_is_read_by_its_owners_clock_unless_said_otherwise(desk: Desk) -> None:
    berta = desk.person("berta", time_zone="Europe/Berlin", tier=Tier.PREMIUM)
    own = desk.schedule(berta, "0 0 * * *")
    assert (own.cron.zone, own.next_at, own.weight) == ("Europe/Berlin", NOON + 11 * HOUR, 4.0)
    assert desk.schedule(berta, "0 0 * * *", time_zone="UTC").next_at == NOON + 12 * HOUR


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"cron_expression": "61 * * * *"}, "cron_expression"),
        ({"time_zone": "Mars/Base"}, "time_zone"),
        ({"task_definition": "fax"}, "task_definition"),
        ({"task_definition": "letter"}, "parameters.to"),
        ({"starts_at": NOON, "ends_at": NOON}, "ends_at"),
        ({"ends_at": NOON - DAY}, "is_active"),
        ({"queue": "nowhere"}, "queue"),
        ({"priority": 1}, "priority"),
    ],
)
def test_a_wrong_field_is_named(
    desk: Desk, alice: Actor, fields: dict[str, Any], path: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        desk.schedule(alice, **{"cron": "* * * * *"} | _renamed(fields))
    assert list(refusal.value.field_errors) == [path]
    assert desk.scheduling.find(alice, ScheduleFilter(), (), 0, 20) == ([], 0)


def _renamed(fields: dict[str, Any]) -> dict[str, Any]:
    return {"cron" if name == "cron_expression" else name: fields[name] for name in fields}


def test_a_task_that_no_code_here_knows_cannot_be_scheduled(desk: Desk, alice: Actor) -> None:
    ignorant = evolve(desk.scheduling, tasks=type(desk.tasks)())
    with pytest.raises(Invalid, match="No code here knows 'echo'"):
        ignorant.create(alice, NewSchedule(task_definition="echo", cron_expression="* * * * *"))


def test_superusers_may_raise_the_priority(desk: Desk, root: Actor, alice: Actor) -> None:
    schedule = desk.schedule(root, priority=7, queue="slow")
    assert (schedule.priority, schedule.queue) == (7, "slow")
    assert desk.schedule(alice, priority=-7).priority == -7


def test_everyone_sees_their_own_and_superusers_all(desk: Desk, alice: Actor, root: Actor) -> None:
    bob = desk.person("bob")
    his, hers = desk.schedule(bob), desk.schedule(alice)
    found, total = desk.scheduling.find(alice, ScheduleFilter(), ("-created_at",), 0, 20)
    assert ([each.id for each in found], total) == ([hers.id], 1)
    assert desk.scheduling.find(root, ScheduleFilter(), ("id",), 1, 1)[1] == 2
    assert desk.scheduling.get(root, his.id).owner_username == "bob"
    for command in (
        desk.scheduling.get,
        desk.scheduling.delete,
        desk.scheduling.toggle,
        desk.scheduling.run_now,
    ):
        with pytest.raises(NotFound):
            command(alice, his.id)


# the limit of active schedules


def five(desk: Desk, actor: Actor) -> list[ScheduleId]:
    return [desk.schedule(actor).id for _ in range(5)]


def test_a_sixth_active_schedule_is_refused(desk: Desk, alice: Actor) -> None:
    five(desk, alice)
    with pytest.raises(LimitReached, match="5 of 5") as refusal:
        desk.schedule(alice)
    assert (refusal.value.used, refusal.value.limit) == (5, 5)


def test_a_sixth_paused_one_is_not_and_cannot_be_activated(desk: Desk, alice: Actor) -> None:
    """Neither by an edit nor by the switch."""
    one, *_ = five(desk, alice)
    sixth = desk.schedule(alice, is_active=False).id
    with pytest.raises(LimitReached):
        desk.scheduling.edit(alice, sixth, {"is_active": True})
    with pytest.raises(LimitReached):
        desk.scheduling.toggle(alice, sixth)
    desk.scheduling.toggle(alice, one)
    assert desk.scheduling.toggle(alice, sixth).schedule.is_active


def test_what_is_active_may_be_edited_at_the_limit(desk: Desk, alice: Actor) -> None:
    one, *_ = five(desk, alice)
    shown = desk.scheduling.edit(alice, one, {"name": "new", "is_active": True})
    assert shown.schedule.name == "new"


def test_deleting_makes_room(desk: Desk, alice: Actor) -> None:
    one, *_ = five(desk, alice)
    desk.scheduling.delete(alice, one)
    assert desk.schedule(alice).is_active


@pytest.mark.parametrize("fields", [{"is_super_user": True}])
def test_superusers_have_no_limit_and_keep_theirs_when_they_fall(
    desk: Desk, fields: dict[str, Any]
) -> None:
    """Demotion keeps what is active and blocks what is new."""
    boss = desk.person("boss", **fields)
    many = [desk.schedule(boss) for _ in range(7)]
    fallen = desk.change(boss, is_super_user=False, role=Role.MEMBER)
    with pytest.raises(LimitReached, match="5 of 5"):
        desk.schedule(fallen)
    assert desk.scheduling.edit(fallen, many[0].id, {"name": "n"}).schedule.is_active
    desk.scheduling.toggle(fallen, many[0].id)
    with pytest.raises(LimitReached, match="5 of 5"):
        desk.scheduling.toggle(fallen, many[0].id)


def test_a_superuser_cannot_lift_anothers_limit(desk: Desk, alice: Actor, root: Actor) -> None:
    """The limit is the owner's, whoever asks."""
    five(desk, alice)
    new = NewSchedule(task_definition="echo", cron_expression="* * * * *")
    with pytest.raises(LimitReached):
        desk.scheduling.create(root, new, owner=alice.user_id)


def test_the_system_has_no_limit(desk: Desk, alice: Actor) -> None:
    """Nor have owners that only the library's user knows, and it leaves no audit entries."""
    new = NewSchedule(task_definition="echo", cron_expression="* * * * *")
    for owner in (0, alice.user_id, 777):
        for _ in range(6):
            assert desk.scheduling.create(SYSTEM, new, owner=UserId(owner)).schedule.is_active
    assert desk.actions() == []


def test_the_system_edits_and_deletes_without_a_trace(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice)
    assert desk.scheduling.edit(SYSTEM, schedule.id, {"name": "new"}).schedule.name == "new"
    desk.scheduling.delete(SYSTEM, schedule.id)
    assert desk.actions() == ["CREATE schedule"]


def test_superusers_look_after_schedules_that_belong_to_nobody(desk: Desk, root: Actor) -> None:
    new = NewSchedule(task_definition="echo", cron_expression="* * * * *")
    for owner in (0, 777):
        schedule = desk.scheduling.create(SYSTEM, new, owner=UserId(owner)).schedule
        assert not desk.scheduling.toggle(root, schedule.id).schedule.is_active
        assert desk.scheduling.toggle(root, schedule.id).schedule.is_active
        desk.scheduling.delete(root, schedule.id)


def test_the_limit_cannot_be_raced(desk: Desk, alice: Actor) -> None:
    """24 at once: 5 are created, 19 refused."""

    def create(_: int) -> bool:
        try:
            return desk.schedule(alice).is_active
        except LimitReached:
            return False

    with ThreadPoolExecutor(24) as threads:
        assert sum(threads.map(create, range(24))) == 5
    with desk.store.view() as tx:
        assert tx.schedules.count_active(alice.user_id, limit=9) == 5


# editing


def test_an_edit_changes_what_is_given_and_nothing_else(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice, parameters={"a": 1}, jitter_seconds=9, max_attempts=2)
    desk.wait(1)
    shown = desk.scheduling.edit(alice, schedule.id, {"name": "new", "parameters": {"b": 2}})
    expected = evolve(
        schedule, name="new", parameters={"b": 2}, version=2, updated_at=desk.clock.at
    )
    assert shown.schedule == expected
    with desk.store.view() as tx:
        (entry, *_) = tx.audit.latest()
    assert entry.changes == {
        "name": ["", "new"],
        "parameters": [{"a": 1}, {"b": 2}],
        "version": [1, 2],
    }


def test_a_new_rule_neither_repeats_nor_back_fires_a_tick(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice, "0 * * * *")
    desk.tick(hours=1)
    edited = desk.scheduling.edit(alice, schedule.id, {"cron_expression": "*/15 * * * *"})
    assert edited.schedule.next_at == NOON + HOUR + 15 * timedelta(minutes=1)
    assert desk.ticking.tick() == 0
    back = desk.scheduling.edit(alice, schedule.id, {"cron_expression": "0 * * * *"})
    assert back.schedule.next_at == NOON + 2 * HOUR


def test_due_ticks_of_the_old_rule_are_accounted_for(desk: Desk, alice: Actor) -> None:
    """The scheduler was down when the rule was changed: they are skipped, not forgotten."""
    schedule = desk.schedule(alice, "* * * * *")
    desk.wait(150)
    edited = desk.scheduling.edit(alice, schedule.id, {"cron_expression": "0 * * * *"}).schedule
    (row,) = desk.rows(schedule)
    assert (row.state, row.reason) == (SKIPPED, "edited")
    assert row.missed == MissedTicks(after(60), after(120), 2)
    assert (edited.cursor, edited.next_at) == (after(120), NOON + HOUR)


def test_an_edit_of_something_else_leaves_due_ticks_to_run(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice, "* * * * *")
    desk.wait(61)
    desk.scheduling.edit(alice, schedule.id, {"parameters": {"new": True}})
    desk.tick()
    (row,) = desk.rows(schedule)
    assert (row.state, row.tick, row.parameters) == (READY, after(60), {"new": True})


def test_an_edit_may_end_a_schedule(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice, "0 * * * *")
    edited = desk.scheduling.edit(alice, schedule.id, {"ends_at": "2030-01-01T12:30:00Z"}).schedule
    assert (edited.is_active, edited.paused_reason) == (False, "ended")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"colour": "red"}, "colour"),
        ({"cron_expression": "x"}, "cron_expression"),
        ({"starts_at": "2031-01-01T00:00:00Z", "ends_at": "2030-06-01T00:00:00Z"}, "ends_at"),
        ({"priority": 5}, "priority"),
        ({"queue": "nowhere"}, "queue"),
    ],
)
def test_a_wrong_edit_changes_nothing(
    desk: Desk, alice: Actor, given: dict[str, Any], path: str
) -> None:
    schedule = desk.schedule(alice)
    with pytest.raises(Invalid) as refusal:
        desk.scheduling.edit(alice, schedule.id, given)
    assert list(refusal.value.field_errors) == [path]
    assert desk.now_stands(schedule) == schedule


def test_who_has_not_seen_the_latest_version_is_refused(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice)
    desk.scheduling.edit(alice, schedule.id, {"name": "a"}, version=1)
    with pytest.raises(StaleVersion, match="version 2") as refusal:
        desk.scheduling.edit(alice, schedule.id, {"name": "b"}, version=1)
    assert refusal.value.changed == ("name",)
    with pytest.raises(StaleVersion):
        desk.scheduling.delete(alice, schedule.id, version=1)
    assert desk.now_stands(schedule).name == "a"
    desk.scheduling.delete(alice, schedule.id, version=2)


def test_an_edit_in_between_is_not_overwritten(tmp_path: Path) -> None:
    """Not even by who does not care for versions: their change was worked out on another form."""
    schedule_id = ScheduleId(1)

    def meddle(actor: Actor, value: Any) -> None:
        if value == {"meddle": True}:
            desk.scheduling.edit(actor, schedule_id, {"name": "hers", "parameters": {}})

    desk = a_desk(tmp_path, Task(key="picky", body=lambda *_: None, check=meddle))
    alice = desk.person()
    schedule = desk.schedule(alice, task_definition="picky")
    with pytest.raises(StaleVersion):
        desk.scheduling.edit(alice, schedule_id, {"queue": "slow", "parameters": {"meddle": True}})
    with pytest.raises(StaleVersion):
        desk.scheduling.edit(alice, schedule_id, {"parameters": {"meddle": True}}, version=3)
    kept = desk.now_stands(schedule)
    assert (kept.name, kept.queue, kept.version) == ("hers", None, 3)


# pausing, resuming, deleting


def with_a_run_of_each_kind(desk: Desk, actor: Actor) -> Any:
    """Return a schedule with a running run, a retry, a held one and a tick that is due."""
    schedule = desk.schedule(actor, overlap_policy=OverlapPolicy.BUFFER_ONE)
    desk.tick(60)
    (running,) = desk.claim()
    desk.tick(60)
    desk.wait(60)
    assert desk.states(schedule) == [RUNNING, HELD]
    return schedule, running


def test_pausing_cancels_what_waits_and_accounts_for_what_is_due(desk: Desk, alice: Actor) -> None:
    """What runs goes on, and its outcome counts."""
    schedule, running = with_a_run_of_each_kind(desk, alice)
    paused = desk.scheduling.toggle(alice, schedule.id).schedule
    _, held, skipped = desk.rows(schedule)
    assert (held.state, held.reason) == (CANCELLED, "schedule paused")
    assert (skipped.state, skipped.reason, skipped.tick) == (SKIPPED, "paused", after(180))
    assert (paused.is_active, paused.cursor) == (False, after(180))
    assert desk.end(running)
    resumed = desk.scheduling.toggle(alice, schedule.id).schedule
    assert resumed.next_at == after(240)


def test_resuming_never_back_fires(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice)
    desk.scheduling.toggle(alice, schedule.id)
    desk.wait(days=3)
    resumed = desk.scheduling.toggle(alice, schedule.id).schedule
    assert resumed.next_at == NOON + 3 * DAY + timedelta(minutes=1)
    assert desk.ticking.tick() == 0
    assert desk.rows(schedule) == []


def test_pausing_alone_is_always_possible(desk: Desk, alice: Actor, root: Actor) -> None:
    """Whatever has become of its task, its queue or its priority meanwhile."""
    schedule = desk.schedule(alice)
    desk.scheduling.edit(root, schedule.id, {"priority": 9, "queue": "slow"})
    elsewhere = evolve(desk.scheduling, tasks=type(desk.tasks)(), queues=("default",))
    assert not elsewhere.toggle(alice, schedule.id).schedule.is_active
    with pytest.raises(Invalid, match="No code here knows"):
        elsewhere.toggle(alice, schedule.id)
    assert desk.scheduling.toggle(alice, schedule.id).schedule.priority == 9


def test_an_edit_may_pause_too(desk: Desk, alice: Actor) -> None:
    schedule, _ = with_a_run_of_each_kind(desk, alice)
    changes = {"is_active": False, "cron_expression": "@daily"}
    paused = desk.scheduling.edit(alice, schedule.id, changes).schedule
    assert (paused.cron.line, paused.is_active) == ("@daily", False)
    assert (paused.version, desk.states(schedule)) == (2, [RUNNING, CANCELLED, SKIPPED])
    again = desk.scheduling.edit(alice, schedule.id, {"is_active": False}).schedule
    assert (again.version, again.is_active) == (3, False)


def test_deleting_hides_a_schedule_and_keeps_its_history(desk: Desk, alice: Actor) -> None:
    schedule, running = with_a_run_of_each_kind(desk, alice)
    desk.scheduling.delete(alice, schedule.id)
    with pytest.raises(NotFound):
        desk.scheduling.get(alice, schedule.id)
    assert [job.reason for job in desk.rows(schedule)] == [None, "schedule deleted", "deleted"]
    assert desk.tick(days=1) == 0
    assert desk.end(running, Outcome.FAILED, permanent=True)
    assert desk.actions() == ["CREATE schedule", "DELETE schedule"]


def test_what_ended_and_was_hidden_meanwhile_cannot_be_cancelled(desk: Desk, alice: Actor) -> None:
    """Whoever cancels has read the runs without a lock."""
    gone, done, running = (desk.enqueue(alice) for _ in range(3))
    for claim in desk.claim():
        if claim.id != running.id:
            desk.end(claim)
    desk.jobs.remove(alice, gone.id)
    with desk.store.begin() as tx:
        cancel_runs(tx, [gone, done, running], desk.clock.at, "late")
    assert desk.see(done).state is JobState.SUCCEEDED
    assert not desk.see(running).cancel_requested


# by hand


def test_run_now_is_one_run_more(desk: Desk, alice: Actor) -> None:
    """In the schedule's concurrency key, and it counts as no tick."""
    schedule = desk.schedule(alice, parameters={"a": 1}, name="mine")
    job = desk.scheduling.run_now(alice, schedule.id)
    assert (job.state, job.origin, job.parameters) == (READY, JobOrigin.RUN_NOW, {"a": 1})
    assert (job.tick, job.for_tick, job.concurrency_key) == (None, NOON, schedule.concurrency_key)
    assert desk.scheduling.run_now(alice, schedule.id).state is HELD
    assert desk.now_stands(schedule).runs == 0
    assert desk.actions()[1:] == ["RUN_NOW schedule"] * 2


def test_a_backfill_runs_a_past_range_once_more(desk: Desk, alice: Actor) -> None:
    """Both ends included; the ticks' own rows are left alone."""
    schedule = desk.schedule(alice, "0 * * * *")
    plan = desk.scheduling.backfill(alice, schedule.id, NOON - 2 * HOUR, NOON)
    assert (plan.count, plan.first, plan.last) == (3, NOON - 2 * HOUR, NOON)
    assert [job.for_tick for job in plan.jobs] == [NOON - n * HOUR for n in (2, 1, 0)]
    assert {(job.tick, job.origin, job.due_at) for job in plan.jobs} == {
        (None, JobOrigin.BACKFILL, NOON)
    }
    assert desk.states(schedule) == [READY, HELD, HELD]


def test_a_dry_run_makes_nothing(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice, "0 * * * *")
    plan = desk.scheduling.backfill(alice, schedule.id, NOON - DAY, NOON, dry_run=True)
    assert (plan.count, plan.dry_run, list(plan.jobs)) == (25, True, [])
    empty = desk.scheduling.backfill(alice, schedule.id, after(-60), after(-30))
    assert (empty.count, empty.first, empty.last) == (0, None, None)
    assert desk.rows() == []


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (NOON, after(-60), "before the start"),
        (NOON, after(1), "past"),
        (NOON - timedelta(minutes=1000), NOON, "more than 1000 runs"),
    ],
)
def test_a_backfill_has_bounds(desk: Desk, alice: Actor, start: Any, end: Any, said: str) -> None:
    schedule = desk.schedule(alice)
    with pytest.raises(Invalid, match=said):
        desk.scheduling.backfill(alice, schedule.id, start, end)
    most = desk.scheduling.backfill(
        alice, schedule.id, NOON - timedelta(minutes=999), NOON, dry_run=True
    )
    assert most.count == 1000


def test_what_is_asked_by_hand_counts_as_waiting(tmp_path: Path) -> None:
    desk = a_desk(tmp_path, max_waiting=3)
    alice = desk.person()
    schedule = desk.schedule(alice)
    with pytest.raises(LimitReached, match="0 of 3"):
        desk.scheduling.backfill(alice, schedule.id, after(-240), NOON)
    for _ in range(3):
        desk.scheduling.run_now(alice, schedule.id)
    with pytest.raises(LimitReached, match="3 of 3 waiting"):
        desk.scheduling.run_now(alice, schedule.id)


# explaining


def test_the_next_runs_are_explained(desk: Desk, alice: Actor) -> None:
    schedule = desk.schedule(alice, "0 * * * *")
    shown = desk.scheduling.upcoming(alice, schedule.id, 3)
    assert shown == desk.scheduling.explain(CronRule("0 * * * *"), 3)
