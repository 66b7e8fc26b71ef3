"""Goals, progress and timers on a memory store."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from attrs import define, evolve

from tests.contract.factories import NOON, ManualClock
from tests.services.engine import EngineFixture
from workbell.adapters.serialization.serializer import JsonSerializer
from workbell.domain.errors import Invalid, NotAllowed, NotFound, StaleVersion
from workbell.domain.goals.goal import Category, Goal, GoalClosed, GoalState
from workbell.domain.goals.progress_entry import ProgressEntry
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.identity.user import KeyScope
from workbell.ports.goals.repository import EntryFilter, GoalFilter
from workbell.services.goals.commands import GoalService, GoalView, NewGoal
from workbell.services.goals.progress import CHUNK, NewProgressEntry, ProgressService
from workbell.services.goals.timers import NoTimer, TimerService, TimerStop

HOUR = timedelta(hours=1)


@define
class GoalFixture:
    """One user's goal services and a manual clock."""

    engine: EngineFixture
    clock: ManualClock
    goals: GoalService
    progress: ProgressService
    timers: TimerService
    actor: Actor

    def advance(self, **time: float) -> datetime:
        self.clock.at += timedelta(**time)
        return self.clock.at

    def goal(self, name: str = "Swim", **fields: Any) -> Goal:
        values: dict[str, Any] = {"category": Category.PRIMARY, **fields}
        return self.goals.create(self.actor, NewGoal(goal_name=name, **values)).goal

    def log(self, goal: int = 1, note: str = "a length", **fields: Any) -> ProgressEntry:
        values: dict[str, Any] = fields
        if "started_at" not in fields:
            values = {"logged_hours": HOUR, **fields}
        return self.progress.log(self.actor, goal, NewProgressEntry(progress=note, **values))

    def view(self, goal: int = 1) -> GoalView:
        return self.goals.get(self.actor, goal)

    def entries(self) -> list[ProgressEntry]:
        page = self.progress.find(self.actor, EntryFilter(), ["created_at"], 0, 100)
        return list(page.entries)

    def trail(self) -> list[tuple[str, str]]:
        with self.engine.store.view() as tx:
            return [(e.model_name, e.action) for e in tx.audit.latest(limit=100)][::-1]

    def revision(self) -> int:
        with self.engine.store.view() as tx:
            return tx.ledgers.get(self.actor.user_id).revision

    def days(self) -> dict[date, int]:
        with self.engine.store.view() as tx:
            return dict(tx.entries.days(self.actor.user_id))


@pytest.fixture
def env(engine: EngineFixture, alice: Actor) -> GoalFixture:
    store, clock, serializer = engine.store, engine.clock, JsonSerializer("is not a known field")
    return GoalFixture(
        engine,
        clock,
        GoalService(store=store, clock=clock, serializer=serializer),
        ProgressService(store=store, clock=clock, serializer=serializer),
        TimerService(store=store, clock=clock),
        alice,
    )


@pytest.fixture
def goal(env: GoalFixture) -> Goal:
    return env.goal()


def test_numbers_count_per_user_and_are_never_reused(env: GoalFixture, root: Actor) -> None:
    assert [env.goal().number for _ in range(3)] == [1, 2, 3]
    env.goals.delete(env.actor, 3)
    assert env.goal().number == 4
    other = evolve(env, actor=root)
    assert other.goal().number == 1
    assert [env.log(2).number, env.log(2).number, env.log(4).number] == [1, 2, 1]
    env.progress.delete(env.actor, 2, 2)
    assert env.log(2).number == 3


def test_goals_are_private_even_from_superusers(env: GoalFixture, goal: Goal, root: Actor) -> None:
    env.log()
    number = goal.number
    for refused in (
        lambda: env.goals.get(root, number),
        lambda: env.goals.edit(root, number, {}),
        lambda: env.goals.archive(root, number),
        lambda: env.goals.delete(root, number),
        lambda: env.progress.log(root, number, NewProgressEntry(progress="x", logged_hours=HOUR)),
        lambda: env.progress.get(root, number, 1),
        lambda: env.progress.edit(root, number, 1, {}),
        lambda: env.progress.delete(root, number, 1),
        lambda: env.timers.start(root, number),
        lambda: env.timers.stop(root, number, TimerStop()),
    ):
        with pytest.raises(NotFound):
            refused()
    assert env.goals.find(root, GoalFilter(), ["number"], 0, 9) == ([], 0)
    assert list(env.progress.export(root)) == []


def test_a_read_only_key_may_not_write(env: GoalFixture, goal: Goal) -> None:
    reader = evolve(env.actor, key_scopes=frozenset({KeyScope.READ}))
    assert env.goals.get(reader, goal.number).goal == goal
    with pytest.raises(NotAllowed):
        env.goals.create(reader, NewGoal(goal_name="x", category=Category.MINOR))


def test_a_goal_is_changed_field_by_field(env: GoalFixture, goal: Goal) -> None:
    env.advance(minutes=1)
    given = {"deadline": "2030-01-01", "is_complete": True}
    view = env.goals.edit(env.actor, 1, given, version=1)
    assert (view.goal.deadline, view.goal.is_complete) == (date(2030, 1, 1), True)
    assert (view.goal.name, view.goal.version, view.goal.updated_at) == (
        goal.name,
        2,
        env.clock.at,
    )
    with pytest.raises(Invalid, match="category"):
        env.goals.edit(env.actor, 1, {"category": "Huge"})
    assert env.trail()[-1] == ("goal", "UPDATE")


def test_a_stale_edit_gets_the_fields_changed_since(env: GoalFixture, goal: Goal) -> None:
    env.goals.edit(env.actor, 1, {"goal_name": "Dive"})
    with pytest.raises(StaleVersion) as refused:
        env.goals.edit(env.actor, 1, {"goal_name": "Fly"}, version=goal.version)
    assert (refused.value.version, refused.value.changed) == (2, ("goal_name",))
    with pytest.raises(StaleVersion):
        env.goals.delete(env.actor, 1, version=goal.version)
    env.log()
    assert env.view().goal.version == 2


def test_a_goal_is_overdue_in_its_owners_time_zone(env: GoalFixture) -> None:
    env.goal(deadline=date(2030, 1, 1))
    env.clock.at = datetime.fromisoformat("2030-01-01T20:00:00Z")
    assert not env.view().is_overdue
    env.actor = evolve(env.actor, time_zone="Asia/Kolkata")
    assert env.view().is_overdue


def test_edits_and_deletions_of_entries_update_the_totals(env: GoalFixture, goal: Goal) -> None:
    entry = env.log(logged_hours=2.5 * HOUR, total_hours=5 * HOUR)
    assert (entry.logged_seconds, entry.total_seconds) == (9000, 18000)
    assert env.view().goal.completion_percentage == 50
    later = env.advance(days=3)
    edited = env.progress.edit(env.actor, 1, 1, {"logged_hours": "05:00:00"})
    assert edited.is_complete
    assert edited.note == "a length"
    assert edited.updated_at == later
    assert env.view().goal.completion_percentage == 100
    assert env.days() == {NOON.date(): 18000}
    for wrong in ({"logged_hours": "05:00:01"}, {"logged_hours": "-01:00:00"}, {"zone": "UTC"}):
        with pytest.raises(Invalid) as refused:
            env.progress.edit(env.actor, 1, 1, wrong)
        assert list(refused.value.field_errors) == list(wrong)
    env.progress.delete(env.actor, 1, 1)
    assert env.view().goal.completion_percentage == 0
    assert env.days() == {}
    with pytest.raises(NotFound):
        env.progress.get(env.actor, 1, 1)
    assert [action for model, action in env.trail() if model == "progress"] == [
        "CREATE",
        "UPDATE",
        "DELETE",
    ]


def test_the_local_day_uses_the_users_zone_by_default(env: GoalFixture, goal: Goal) -> None:
    env.advance(hours=8)
    assert env.log().local_day == date(2030, 1, 1)
    assert env.log(time_zone="Asia/Kolkata").local_day == date(2030, 1, 2)
    env.actor = evolve(env.actor, time_zone="Asia/Kolkata")
    assert (env.log().local_day, env.entries()[0].zone) == (date(2030, 1, 2), "UTC")
    with pytest.raises(Invalid, match="time_zone"):
        env.log(time_zone="Mars/Base")


def test_spans_of_one_user_do_not_overlap(env: GoalFixture, goal: Goal) -> None:
    env.goal()
    start = NOON - 5 * HOUR
    env.log(1, started_at=start, ended_at=start + HOUR)
    env.log(2, started_at=start + HOUR, ended_at=start + 2 * HOUR)
    for wrong in (-0.5, 0, 0.5, 1.5):
        started = start + wrong * HOUR
        with pytest.raises(Invalid, match=r"started_at overlaps entry 1 of goal [12]"):
            env.log(1, started_at=started, ended_at=started + HOUR)
    env.log(1)
    progress = env.progress
    with pytest.raises(Invalid, match="logged_hours overlaps"):
        progress.edit(env.actor, 1, 1, {"logged_hours": "01:00:01", "total_hours": "02:00:00"})
    progress.edit(env.actor, 1, 1, {"logged_hours": "00:30:00"})
    progress.edit(env.actor, 2, 1, {"logged_hours": "03:00:00", "total_hours": "03:00:00"})
    assert env.entries()[1].ended_at == start + 4 * HOUR


def test_a_span_does_not_overlap_the_running_timer(env: GoalFixture, goal: Goal) -> None:
    env.timers.start(env.actor, 1)
    started = env.advance(hours=1) - HOUR / 2
    with pytest.raises(Invalid, match="running timer"):
        env.log(started_at=started, ended_at=env.clock.at)
    env.log(started_at=NOON - HOUR, ended_at=NOON)


def test_a_timer_becomes_an_entry(env: GoalFixture, goal: Goal) -> None:
    started = env.timers.start(env.actor, 1)
    assert (started.timer.started_at, started.stopped) == (NOON, None)
    assert env.view().timer_started_at == NOON
    env.advance(minutes=30)
    assert env.timers.start(env.actor, 1).timer == started.timer
    assert env.goals.edit(env.actor, 1, {}).timer_started_at == NOON
    env.advance(hours=13)
    entry = env.timers.stop(env.actor, 1, TimerStop(progress="the night"))
    assert (entry.note, entry.logged_seconds, entry.total_seconds) == ("the night", 48600, 48600)
    assert env.days() == {date(2030, 1, 1): 12 * 3600, date(2030, 1, 2): 5400}
    assert env.view().timer_started_at is None
    with pytest.raises(NoTimer):
        env.timers.stop(env.actor, 1, TimerStop())


def test_starting_a_timer_stops_the_one_that_runs(env: GoalFixture, goal: Goal) -> None:
    env.goal("Read")
    env.timers.start(env.actor, 1)
    env.advance(hours=1)
    started = env.timers.start(env.actor, 2)
    assert started.stopped is not None
    assert (started.stopped.goal_number, started.stopped.logged_seconds) == (1, 3600)
    with pytest.raises(NoTimer):
        env.timers.stop(env.actor, 1, TimerStop())
    assert env.view(1).timer_started_at is None
    assert env.view(2).timer_started_at == env.clock.at


def test_a_stopped_timer_may_have_a_higher_planned_total(env: GoalFixture, goal: Goal) -> None:
    env.timers.start(env.actor, 1)
    env.advance(hours=2)
    for wrong in (HOUR, timedelta(hours=10_000), timedelta(hours=3, microseconds=5)):
        with pytest.raises(Invalid, match="total_hours"):
            env.timers.stop(env.actor, 1, TimerStop(total_hours=wrong))
    entry = env.timers.stop(env.actor, 1, TimerStop(total_hours=4 * HOUR))
    assert entry.percentage_complete == 50


def test_pausing_and_archiving_stop_the_timer(env: GoalFixture, goal: Goal) -> None:
    goals, timers = env.goals, env.timers
    timers.start(env.actor, 1)
    env.advance(hours=1)
    paused = goals.pause(env.actor, 1)
    assert (paused.goal.state, paused.goal.logged_seconds) == (GoalState.PAUSED, 3600)
    assert paused.timer_started_at is None
    with pytest.raises(GoalClosed):
        timers.start(env.actor, 1)
    env.log()
    assert goals.archive(env.actor, 1).goal.state is GoalState.ARCHIVED
    for refused in (lambda: goals.pause(env.actor, 1), env.log):
        with pytest.raises(GoalClosed):
            refused()
    resumed = goals.resume(env.actor, 1)
    assert (resumed.goal.state, resumed.goal.version) == (GoalState.ACTIVE, 4)
    assert goals.resume(env.actor, 1) == resumed
    assert [action for model, action in env.trail() if model == "goal"] == [
        "CREATE",
        "START_TIMER",
        "PAUSE",
        "ARCHIVE",
        "RESUME",
    ]


def test_the_timer_of_another_goal_continues(env: GoalFixture, goal: Goal) -> None:
    env.goal("Read")
    env.timers.start(env.actor, 2)
    env.goals.pause(env.actor, 1)
    env.goals.delete(env.actor, 1)
    assert env.view(2).timer_started_at == NOON
    env.goals.delete(env.actor, 2)
    env.timers.start(env.actor, env.goal().number)
    assert env.entries() == []


def test_every_change_raises_the_revision(env: GoalFixture, goal: Goal) -> None:
    goals, progress, timers = env.goals, env.progress, env.timers
    for change in (
        lambda: goals.edit(env.actor, 1, {"is_complete": True}),
        env.log,
        lambda: progress.edit(env.actor, 1, 1, {"progress": "x"}),
        lambda: progress.delete(env.actor, 1, 1),
        lambda: timers.start(env.actor, 1),
        lambda: timers.stop(env.actor, 1, TimerStop()),
        lambda: goals.pause(env.actor, 1),
        lambda: goals.delete(env.actor, 1),
        env.goal,
    ):
        before = env.revision()
        change()
        assert env.revision() == before + 1


def test_an_export_has_every_entry_in_order(env: GoalFixture, goal: Goal) -> None:
    for _ in range(CHUNK + 3):
        env.log(logged_hours=timedelta(seconds=1))
    rows = list(env.progress.export(env.actor))
    assert [row.entry.number for row in rows] == list(range(1, CHUNK + 4))
    assert {row.goal_name for row in rows} == {goal.name}


def test_the_systems_changes_are_not_audited(env: GoalFixture) -> None:
    system = evolve(env, actor=SYSTEM)
    system.goal()
    system.log()
    assert env.trail() == []
