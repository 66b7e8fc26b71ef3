"""Schedules: limits, edits without lost ticks, and effects of pausing."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tests.contract.factories import NOON, after
from tests.services.engine import EngineFixture, make_engine
from workbell.domain.cron.rule import CronRule
from workbell.domain.errors import Invalid, LimitReached, NotFound, StaleVersion
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.identity.user import Role, Tier, UserId
from workbell.domain.jobs.attempt import Outcome
from workbell.domain.jobs.job import JobOrigin, JobState, MissedTicks
from workbell.domain.jobs.task import Task
from workbell.domain.schedules.schedule import OverlapPolicy, ScheduleId
from workbell.ports.schedules.views import ScheduleFilter, SchedulePage
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


# creating and reading


def test_a_new_schedule_is_due_at_its_first_tick(engine: EngineFixture, alice: Actor) -> None:
    schedule = engine.schedule(alice, "30 * * * *", parameters={"a": 1}, name="mine")
    assert (schedule.owner, schedule.task, schedule.name) == (alice.user_id, "echo", "mine")
    assert (schedule.next_at, schedule.cursor, schedule.version) == (after(1800), None, 1)
    assert engine.actions() == ["CREATE schedule"]


def test_a_schedule_may_be_created_paused(engine: EngineFixture, alice: Actor) -> None:
    assert not engine.schedule(alice, is_active=False).is_active


def test_a_schedule_uses_its_owners_time_zone_by_default(
    engine: EngineFixture,
) -> None:
    berta = engine.add_user("berta", time_zone="Europe/Berlin", tier=Tier.PREMIUM)
    own = engine.schedule(berta, "0 0 * * *")
    assert (own.cron.zone, own.next_at, own.weight) == ("Europe/Berlin", NOON + 11 * HOUR, 4.0)
    assert engine.schedule(berta, "0 0 * * *", time_zone="UTC").next_at == NOON + 12 * HOUR


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"cron_expression": "61 * * * *"}, "cron_expression"),
        ({"time_zone": "Mars/Base"}, "time_zone"),
        ({"task_definition": "fax"}, "task_definition"),
        ({"task_definition": "email"}, "parameters.to"),
        ({"starts_at": NOON, "ends_at": NOON}, "ends_at"),
        ({"ends_at": NOON - DAY}, "is_active"),
        ({"queue": "nowhere"}, "queue"),
        ({"priority": 1}, "priority"),
    ],
)
def test_a_wrong_field_is_named(
    engine: EngineFixture, alice: Actor, fields: dict[str, Any], path: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        engine.schedule(alice, **{"cron": "* * * * *"} | _renamed(fields))
    assert list(refusal.value.field_errors) == [path]
    assert engine.schedules.find(alice, ScheduleFilter(), (), 0, 20) == SchedulePage([], 0)


def _renamed(fields: dict[str, Any]) -> dict[str, Any]:
    return {"cron" if name == "cron_expression" else name: fields[name] for name in fields}


def test_a_task_missing_from_the_code_cannot_be_scheduled(
    engine: EngineFixture, alice: Actor
) -> None:
    ignorant = evolve(engine.schedules, tasks=type(engine.tasks)())
    with pytest.raises(Invalid, match="The code has no task 'echo'"):
        ignorant.create(alice, NewSchedule(task_definition="echo", cron_expression="* * * * *"))


def test_superusers_may_raise_the_priority(
    engine: EngineFixture, root: Actor, alice: Actor
) -> None:
    schedule = engine.schedule(root, priority=7, queue="slow")
    assert (schedule.priority, schedule.queue) == (7, "slow")
    assert engine.schedule(alice, priority=-7).priority == -7


def test_users_see_their_own_and_superusers_all(
    engine: EngineFixture, alice: Actor, root: Actor
) -> None:
    bob = engine.add_user("bob")
    his, hers = engine.schedule(bob), engine.schedule(alice)
    found = engine.schedules.find(alice, ScheduleFilter(), ("-created_at",), 0, 20)
    assert ([each.id for each in found.schedules], found.total) == ([hers.id], 1)
    assert engine.schedules.find(root, ScheduleFilter(), ("id",), 1, 1).total == 2
    assert engine.schedules.get(root, his.id).owner_username == "bob"
    for command in (
        engine.schedules.get,
        engine.schedules.delete,
        engine.schedules.toggle,
        engine.schedules.run_now,
    ):
        with pytest.raises(NotFound):
            command(alice, his.id)


# the limit of active schedules


def five(engine: EngineFixture, actor: Actor) -> list[ScheduleId]:
    return [engine.schedule(actor).id for _ in range(5)]


def test_a_sixth_active_schedule_is_refused(engine: EngineFixture, alice: Actor) -> None:
    five(engine, alice)
    with pytest.raises(LimitReached, match="5 of 5") as refusal:
        engine.schedule(alice)
    assert (refusal.value.used, refusal.value.limit) == (5, 5)


def test_a_sixth_paused_schedule_is_allowed_and_cannot_be_activated(
    engine: EngineFixture, alice: Actor
) -> None:
    """Neither by an edit nor by toggling it."""
    one, *_ = five(engine, alice)
    sixth = engine.schedule(alice, is_active=False).id
    with pytest.raises(LimitReached):
        engine.schedules.edit(alice, sixth, {"is_active": True})
    with pytest.raises(LimitReached):
        engine.schedules.toggle(alice, sixth)
    engine.schedules.toggle(alice, one)
    assert engine.schedules.toggle(alice, sixth).schedule.is_active


def test_an_active_schedule_may_be_edited_at_the_limit(engine: EngineFixture, alice: Actor) -> None:
    one, *_ = five(engine, alice)
    shown = engine.schedules.edit(alice, one, {"name": "new", "is_active": True})
    assert shown.schedule.name == "new"


def test_a_deleted_schedule_does_not_count(engine: EngineFixture, alice: Actor) -> None:
    one, *_ = five(engine, alice)
    engine.schedules.delete(alice, one)
    assert engine.schedule(alice).is_active


@pytest.mark.parametrize("fields", [{"is_super_user": True}])
def test_superusers_have_no_limit_and_keep_their_schedules_when_demoted(
    engine: EngineFixture, fields: dict[str, Any]
) -> None:
    """A demoted superuser's active schedules continue; new ones are refused."""
    boss = engine.add_user("boss", **fields)
    many = [engine.schedule(boss) for _ in range(7)]
    fallen = engine.change(boss, is_super_user=False, role=Role.MEMBER)
    with pytest.raises(LimitReached, match="5 of 5"):
        engine.schedule(fallen)
    assert engine.schedules.edit(fallen, many[0].id, {"name": "n"}).schedule.is_active
    engine.schedules.toggle(fallen, many[0].id)
    with pytest.raises(LimitReached, match="5 of 5"):
        engine.schedules.toggle(fallen, many[0].id)


def test_a_superuser_cannot_lift_anothers_limit(
    engine: EngineFixture, alice: Actor, root: Actor
) -> None:
    """The limit is that of the owner, not of the actor."""
    five(engine, alice)
    new = NewSchedule(task_definition="echo", cron_expression="* * * * *")
    with pytest.raises(LimitReached):
        engine.schedules.create(root, new, owner=alice.user_id)


def test_the_system_has_no_limit(engine: EngineFixture, alice: Actor) -> None:
    """Nor have owners that are not users; there are no audit entries."""
    new = NewSchedule(task_definition="echo", cron_expression="* * * * *")
    for owner in (0, alice.user_id, 777):
        for _ in range(6):
            assert engine.schedules.create(SYSTEM, new, owner=UserId(owner)).schedule.is_active
    assert engine.actions() == []


def test_the_system_edits_and_deletes_without_audit_entries(
    engine: EngineFixture, alice: Actor
) -> None:
    schedule = engine.schedule(alice)
    assert engine.schedules.edit(SYSTEM, schedule.id, {"name": "new"}).schedule.name == "new"
    engine.schedules.delete(SYSTEM, schedule.id)
    assert engine.actions() == ["CREATE schedule"]


def test_superusers_administer_schedules_without_an_owner(
    engine: EngineFixture, root: Actor
) -> None:
    new = NewSchedule(task_definition="echo", cron_expression="* * * * *")
    for owner in (0, 777):
        schedule = engine.schedules.create(SYSTEM, new, owner=UserId(owner)).schedule
        assert not engine.schedules.toggle(root, schedule.id).schedule.is_active
        assert engine.schedules.toggle(root, schedule.id).schedule.is_active
        engine.schedules.delete(root, schedule.id)


def test_the_limit_holds_for_concurrent_requests(engine: EngineFixture, alice: Actor) -> None:
    """Of 24 concurrent requests, 5 create a schedule and 19 are refused."""

    def create(_: int) -> bool:
        try:
            return engine.schedule(alice).is_active
        except LimitReached:
            return False

    with ThreadPoolExecutor(24) as threads:
        assert sum(threads.map(create, range(24))) == 5
    with engine.store.view() as tx:
        assert tx.schedules.count_active(alice.user_id, limit=9) == 5


# editing


def test_an_edit_changes_only_the_given_fields(engine: EngineFixture, alice: Actor) -> None:
    schedule = engine.schedule(alice, parameters={"a": 1}, jitter_seconds=9, max_attempts=2)
    engine.advance(1)
    shown = engine.schedules.edit(alice, schedule.id, {"name": "new", "parameters": {"b": 2}})
    expected = evolve(
        schedule, name="new", parameters={"b": 2}, version=2, updated_at=engine.clock.at
    )
    assert shown.schedule == expected
    with engine.store.view() as tx:
        (entry, *_) = tx.audit.latest()
    assert entry.changes == {
        "name": ["", "new"],
        "parameters": [{"a": 1}, {"b": 2}],
        "version": [1, 2],
    }


def test_a_new_rule_neither_repeats_nor_backfills_a_tick(
    engine: EngineFixture, alice: Actor
) -> None:
    schedule = engine.schedule(alice, "0 * * * *")
    engine.tick(hours=1)
    edited = engine.schedules.edit(alice, schedule.id, {"cron_expression": "*/15 * * * *"})
    assert edited.schedule.next_at == NOON + HOUR + 15 * timedelta(minutes=1)
    assert engine.ticker.tick() == 0
    back = engine.schedules.edit(alice, schedule.id, {"cron_expression": "0 * * * *"})
    assert back.schedule.next_at == NOON + 2 * HOUR


def test_due_ticks_of_the_old_rule_are_recorded_as_skipped(
    engine: EngineFixture, alice: Actor
) -> None:
    """If the scheduler was down when the rule was changed."""
    schedule = engine.schedule(alice, "* * * * *")
    engine.advance(150)
    edited = engine.schedules.edit(alice, schedule.id, {"cron_expression": "0 * * * *"}).schedule
    (row,) = engine.list_jobs(schedule)
    assert (row.state, row.reason) == (SKIPPED, "edited")
    assert row.missed == MissedTicks(after(60), after(120), 2)
    assert (edited.cursor, edited.next_at) == (after(120), NOON + HOUR)


def test_an_edit_of_other_fields_leaves_due_ticks_to_run(
    engine: EngineFixture, alice: Actor
) -> None:
    schedule = engine.schedule(alice, "* * * * *")
    engine.advance(61)
    engine.schedules.edit(alice, schedule.id, {"parameters": {"new": True}})
    engine.tick()
    (row,) = engine.list_jobs(schedule)
    assert (row.state, row.tick, row.parameters) == (READY, after(60), {"new": True})


def test_an_edit_may_end_a_schedule(engine: EngineFixture, alice: Actor) -> None:
    schedule = engine.schedule(alice, "0 * * * *")
    edited = engine.schedules.edit(alice, schedule.id, {"ends_at": "2030-01-01T12:30:00Z"}).schedule
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
    engine: EngineFixture, alice: Actor, given: dict[str, Any], path: str
) -> None:
    schedule = engine.schedule(alice)
    with pytest.raises(Invalid) as refusal:
        engine.schedules.edit(alice, schedule.id, given)
    assert list(refusal.value.field_errors) == [path]
    assert engine.reload(schedule) == schedule


def test_an_edit_of_a_stale_version_is_refused(engine: EngineFixture, alice: Actor) -> None:
    schedule = engine.schedule(alice)
    engine.schedules.edit(alice, schedule.id, {"name": "a"}, version=1)
    with pytest.raises(StaleVersion, match="version 2") as refusal:
        engine.schedules.edit(alice, schedule.id, {"name": "b"}, version=1)
    assert refusal.value.changed == ("name",)
    with pytest.raises(StaleVersion):
        engine.schedules.delete(alice, schedule.id, version=1)
    assert engine.reload(schedule).name == "a"
    engine.schedules.delete(alice, schedule.id, version=2)


def test_a_concurrent_edit_is_not_overwritten(tmp_path: Path) -> None:
    """Even without a version: the edit was computed from another version."""
    schedule_id = ScheduleId(1)

    def meddle(actor: Actor, value: Any) -> None:
        if value == {"meddle": True}:
            engine.schedules.edit(actor, schedule_id, {"name": "hers", "parameters": {}})

    engine = make_engine(tmp_path, Task(key="picky", body=lambda *_: None, check=meddle))
    alice = engine.add_user()
    schedule = engine.schedule(alice, task_definition="picky")
    with pytest.raises(StaleVersion):
        engine.schedules.edit(alice, schedule_id, {"queue": "slow", "parameters": {"meddle": True}})
    with pytest.raises(StaleVersion):
        engine.schedules.edit(alice, schedule_id, {"parameters": {"meddle": True}}, version=3)
    stored = engine.reload(schedule)
    assert (stored.name, stored.queue, stored.version) == ("hers", None, 3)


# pausing, resuming, deleting


def with_a_run_of_each_kind(engine: EngineFixture, actor: Actor) -> Any:
    """Return a schedule with a running, retrying and held run, and a due tick."""
    schedule = engine.schedule(actor, overlap_policy=OverlapPolicy.BUFFER_ONE)
    engine.tick(60)
    (running,) = engine.claim()
    engine.tick(60)
    engine.advance(60)
    assert engine.states(schedule) == [RUNNING, HELD]
    return schedule, running


def test_pausing_cancels_waiting_runs_and_records_due_ticks(
    engine: EngineFixture, alice: Actor
) -> None:
    """A running job continues, and its outcome is accepted."""
    schedule, running = with_a_run_of_each_kind(engine, alice)
    paused = engine.schedules.toggle(alice, schedule.id).schedule
    _, held, skipped = engine.list_jobs(schedule)
    assert (held.state, held.reason) == (CANCELLED, "schedule paused")
    assert (skipped.state, skipped.reason, skipped.tick) == (SKIPPED, "paused", after(180))
    assert (paused.is_active, paused.cursor) == (False, after(180))
    assert engine.settle(running)
    resumed = engine.schedules.toggle(alice, schedule.id).schedule
    assert resumed.next_at == after(240)


def test_resuming_never_backfills(engine: EngineFixture, alice: Actor) -> None:
    schedule = engine.schedule(alice)
    engine.schedules.toggle(alice, schedule.id)
    engine.advance(days=3)
    resumed = engine.schedules.toggle(alice, schedule.id).schedule
    assert resumed.next_at == NOON + 3 * DAY + timedelta(minutes=1)
    assert engine.ticker.tick() == 0
    assert engine.list_jobs(schedule) == []


def test_pausing_alone_is_always_possible(engine: EngineFixture, alice: Actor, root: Actor) -> None:
    """Even if its task, queue or priority is no longer allowed."""
    schedule = engine.schedule(alice)
    engine.schedules.edit(root, schedule.id, {"priority": 9, "queue": "slow"})
    elsewhere = evolve(engine.schedules, tasks=type(engine.tasks)(), queues=("default",))
    assert not elsewhere.toggle(alice, schedule.id).schedule.is_active
    with pytest.raises(Invalid, match="The code has no task"):
        elsewhere.toggle(alice, schedule.id)
    assert engine.schedules.toggle(alice, schedule.id).schedule.priority == 9


def test_an_edit_may_pause_too(engine: EngineFixture, alice: Actor) -> None:
    schedule, _ = with_a_run_of_each_kind(engine, alice)
    changes = {"is_active": False, "cron_expression": "@daily"}
    paused = engine.schedules.edit(alice, schedule.id, changes).schedule
    assert (paused.cron.line, paused.is_active) == ("@daily", False)
    assert (paused.version, engine.states(schedule)) == (2, [RUNNING, CANCELLED, SKIPPED])
    again = engine.schedules.edit(alice, schedule.id, {"is_active": False}).schedule
    assert (again.version, again.is_active) == (3, False)


def test_deleting_hides_a_schedule_and_keeps_its_history(
    engine: EngineFixture, alice: Actor
) -> None:
    schedule, running = with_a_run_of_each_kind(engine, alice)
    engine.schedules.delete(alice, schedule.id)
    with pytest.raises(NotFound):
        engine.schedules.get(alice, schedule.id)
    assert [job.reason for job in engine.list_jobs(schedule)] == [
        None,
        "schedule deleted",
        "deleted",
    ]
    assert engine.tick(days=1) == 0
    assert engine.settle(running, Outcome.FAILED, permanent=True)
    assert engine.actions() == ["CREATE schedule", "DELETE schedule"]


def test_a_run_that_ended_and_was_hidden_since_is_not_cancelled(
    engine: EngineFixture, alice: Actor
) -> None:
    """The runs are read without a lock before they are cancelled."""
    hidden, done, running = (engine.enqueue(alice) for _ in range(3))
    for claim in engine.claim():
        if claim.id != running.id:
            engine.settle(claim)
    engine.jobs.remove(alice, hidden.id)
    with engine.store.begin() as tx:
        cancel_runs(tx, [hidden, done, running], engine.clock.at, "late")
    assert engine.reload_job(done).state is JobState.SUCCEEDED
    assert not engine.reload_job(running).cancel_requested


# manual runs


def test_run_now_enqueues_an_extra_run(engine: EngineFixture, alice: Actor) -> None:
    """Under the schedule's concurrency key; it does not count as a tick."""
    schedule = engine.schedule(alice, parameters={"a": 1}, name="mine")
    job = engine.schedules.run_now(alice, schedule.id)
    assert (job.state, job.origin, job.parameters) == (READY, JobOrigin.RUN_NOW, {"a": 1})
    assert (job.tick, job.for_tick, job.concurrency_key) == (None, NOON, schedule.concurrency_key)
    assert engine.schedules.run_now(alice, schedule.id).state is HELD
    assert engine.reload(schedule).runs == 0
    assert engine.actions()[1:] == ["RUN_NOW schedule"] * 2


def test_a_backfill_runs_a_past_range_again(engine: EngineFixture, alice: Actor) -> None:
    """Both ends included; the rows of the ticks stay unchanged."""
    schedule = engine.schedule(alice, "0 * * * *")
    plan = engine.schedules.backfill(alice, schedule.id, NOON - 2 * HOUR, NOON)
    assert (plan.count, plan.first, plan.last) == (3, NOON - 2 * HOUR, NOON)
    assert [job.for_tick for job in plan.jobs] == [NOON - n * HOUR for n in (2, 1, 0)]
    assert {(job.tick, job.origin, job.due_at) for job in plan.jobs} == {
        (None, JobOrigin.BACKFILL, NOON)
    }
    assert engine.states(schedule) == [READY, HELD, HELD]


def test_a_dry_run_enqueues_nothing(engine: EngineFixture, alice: Actor) -> None:
    schedule = engine.schedule(alice, "0 * * * *")
    plan = engine.schedules.backfill(alice, schedule.id, NOON - DAY, NOON, dry_run=True)
    assert (plan.count, plan.dry_run, list(plan.jobs)) == (25, True, [])
    empty = engine.schedules.backfill(alice, schedule.id, after(-60), after(-30))
    assert (empty.count, empty.first, empty.last) == (0, None, None)
    assert engine.list_jobs() == []


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (NOON, after(-60), "before the start"),
        (NOON, after(1), "past"),
        (NOON - timedelta(minutes=1000), NOON, "more than 1000 runs"),
    ],
)
def test_a_backfill_is_limited(
    engine: EngineFixture, alice: Actor, start: Any, end: Any, message: str
) -> None:
    schedule = engine.schedule(alice)
    with pytest.raises(Invalid, match=message):
        engine.schedules.backfill(alice, schedule.id, start, end)
    most = engine.schedules.backfill(
        alice, schedule.id, NOON - timedelta(minutes=999), NOON, dry_run=True
    )
    assert most.count == 1000


def test_manual_runs_count_as_waiting(tmp_path: Path) -> None:
    engine = make_engine(tmp_path, max_waiting=3)
    alice = engine.add_user()
    schedule = engine.schedule(alice)
    with pytest.raises(LimitReached, match="0 of 3"):
        engine.schedules.backfill(alice, schedule.id, after(-240), NOON)
    for _ in range(3):
        engine.schedules.run_now(alice, schedule.id)
    with pytest.raises(LimitReached, match="3 of 3 waiting"):
        engine.schedules.run_now(alice, schedule.id)


@pytest.mark.parametrize("year", [1, 1969])
def test_a_backfill_begins_in_1970_at_the_earliest(
    engine: EngineFixture, alice: Actor, year: int
) -> None:
    schedule = engine.schedule(alice, "@yearly")
    with pytest.raises(Invalid, match="1970-01-01") as refused:
        engine.schedules.backfill(alice, schedule.id, datetime(year, 1, 1, tzinfo=UTC), NOON)
    assert list(refused.value.field_errors) == ["start"]
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - the test passes a naive one
    with pytest.raises(Invalid, match="offset"):
        engine.schedules.backfill(alice, schedule.id, naive, NOON)


def test_a_backfill_of_decades_leaves_no_tick_out(engine: EngineFixture, alice: Actor) -> None:
    schedule, start = engine.schedule(alice, "@yearly"), datetime(1980, 1, 1, tzinfo=UTC)
    plan = engine.schedules.backfill(alice, schedule.id, start, NOON, dry_run=True)
    assert (plan.count, plan.first) == (NOON.year - 1979, start)


def test_a_jitter_larger_than_the_interval_is_refused(engine: EngineFixture, alice: Actor) -> None:
    with pytest.raises(Invalid, match="jitter_seconds"):
        engine.schedule(alice, jitter_seconds=61)
    schedule = engine.schedule(alice, "0 * * * *", jitter_seconds=600)
    with pytest.raises(Invalid, match="jitter_seconds"):
        engine.schedules.edit(alice, schedule.id, {"cron_expression": "* * * * *"})
    shown = engine.schedules.explain(schedule.cron, 1, jitter_seconds=3601)
    assert shown.warnings[0].startswith("jitter_seconds must be at most 3600")


# previews


def test_the_next_runs_are_described(engine: EngineFixture, alice: Actor) -> None:
    schedule = engine.schedule(alice, "0 * * * *")
    shown = engine.schedules.upcoming(alice, schedule.id, 3)
    assert shown == engine.schedules.explain(CronRule("0 * * * *"), 3)
