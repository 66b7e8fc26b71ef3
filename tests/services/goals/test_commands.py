"""Goals, progress and timers of people, on a store in memory."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from attrs import define, evolve

from tests.contract.factories import NOON, ManualClock
from tests.services.desk import Desk
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
class Scene:
    """One person's goals, and a clock by hand."""

    desk: Desk
    clock: ManualClock
    goals: GoalService
    progress: ProgressService
    timers: TimerService
    who: Actor

    def pass_(self, **time: float) -> datetime:
        self.clock.at += timedelta(**time)
        return self.clock.at

    def goal(self, name: str = "Swim", **fields: Any) -> Goal:
        asked: dict[str, Any] = {"category": Category.PRIMARY, **fields}
        return self.goals.create(self.who, NewGoal(goal_name=name, **asked)).goal

    def log(self, goal: int = 1, note: str = "a length", **fields: Any) -> ProgressEntry:
        asked: dict[str, Any] = fields
        if "started_at" not in fields:
            asked = {"logged_hours": HOUR, **fields}
        return self.progress.log(self.who, goal, NewProgressEntry(progress=note, **asked))

    def see(self, goal: int = 1) -> GoalView:
        return self.goals.get(self.who, goal)

    def entries(self) -> list[ProgressEntry]:
        found, _ = self.progress.find(self.who, EntryFilter(), ["created_at"], 0, 100)
        return list(found)

    def trail(self) -> list[tuple[str, str]]:
        with self.desk.store.view() as tx:
            return [(e.model_name, e.action) for e in tx.audit.latest(limit=100)][::-1]

    def revision(self) -> int:
        with self.desk.store.view() as tx:
            return tx.ledgers.get(self.who.user_id).revision

    def days(self) -> dict[date, int]:
        with self.desk.store.view() as tx:
            return dict(tx.entries.days(self.who.user_id))


@pytest.fixture
def scene(desk: Desk, alice: Actor) -> Scene:
    store, clock, serializer = desk.store, desk.clock, JsonSerializer("is not a known field")
    return Scene(
        desk,
        clock,
        GoalService(store=store, clock=clock, serializer=serializer),
        ProgressService(store=store, clock=clock, serializer=serializer),
        TimerService(store=store, clock=clock),
        alice,
    )


@pytest.fixture
def goal(scene: Scene) -> Goal:
    return scene.goal()


def test_numbers_count_per_person_and_are_never_given_twice(scene: Scene, root: Actor) -> None:
    assert [scene.goal().number for _ in range(3)] == [1, 2, 3]
    scene.goals.delete(scene.who, 3)
    assert scene.goal().number == 4
    other = evolve(scene, who=root)
    assert other.goal().number == 1
    assert [scene.log(2).number, scene.log(2).number, scene.log(4).number] == [1, 2, 1]
    scene.progress.delete(scene.who, 2, 2)
    assert scene.log(2).number == 3


def test_goals_are_ones_own_whoever_asks(scene: Scene, goal: Goal, root: Actor) -> None:
    scene.log()
    number = goal.number
    for refused in (
        lambda: scene.goals.get(root, number),
        lambda: scene.goals.edit(root, number, {}),
        lambda: scene.goals.archive(root, number),
        lambda: scene.goals.delete(root, number),
        lambda: scene.progress.log(root, number, NewProgressEntry(progress="x", logged_hours=HOUR)),
        lambda: scene.progress.get(root, number, 1),
        lambda: scene.progress.edit(root, number, 1, {}),
        lambda: scene.progress.delete(root, number, 1),
        lambda: scene.timers.start(root, number),
        lambda: scene.timers.stop(root, number, TimerStop()),
    ):
        with pytest.raises(NotFound):
            refused()
    assert scene.goals.find(root, GoalFilter(), ["number"], 0, 9) == ([], 0)
    assert list(scene.progress.export(root)) == []


def test_a_key_for_reading_only_reads(scene: Scene, goal: Goal) -> None:
    reader = evolve(scene.who, key_scopes=frozenset({KeyScope.READ}))
    assert scene.goals.get(reader, goal.number).goal == goal
    with pytest.raises(NotAllowed):
        scene.goals.create(reader, NewGoal(goal_name="x", category=Category.MINOR))


def test_a_goal_is_changed_field_by_field(scene: Scene, goal: Goal) -> None:
    scene.pass_(minutes=1)
    given = {"deadline": "2030-01-01", "is_complete": True}
    view = scene.goals.edit(scene.who, 1, given, version=1)
    assert (view.goal.deadline, view.goal.is_complete) == (date(2030, 1, 1), True)
    assert (view.goal.name, view.goal.version, view.goal.updated_at) == (
        goal.name,
        2,
        scene.clock.at,
    )
    with pytest.raises(Invalid, match="category"):
        scene.goals.edit(scene.who, 1, {"category": "Huge"})
    assert scene.trail()[-1] == ("goal", "UPDATE")


def test_a_stale_change_is_told_what_has_changed_since(scene: Scene, goal: Goal) -> None:
    scene.goals.edit(scene.who, 1, {"goal_name": "Dive"})
    with pytest.raises(StaleVersion) as refused:
        scene.goals.edit(scene.who, 1, {"goal_name": "Fly"}, version=goal.version)
    assert (refused.value.version, refused.value.changed) == (2, ("goal_name",))
    with pytest.raises(StaleVersion):
        scene.goals.delete(scene.who, 1, version=goal.version)
    scene.log()
    assert scene.see().goal.version == 2


def test_a_goal_is_overdue_by_its_owners_calendar(scene: Scene) -> None:
    scene.goal(deadline=date(2030, 1, 1))
    scene.clock.at = datetime.fromisoformat("2030-01-01T20:00:00Z")
    assert not scene.see().is_overdue
    scene.who = evolve(scene.who, time_zone="Asia/Kolkata")
    assert scene.see().is_overdue


def test_progress_adds_up_and_is_corrected(scene: Scene, goal: Goal) -> None:
    entry = scene.log(logged_hours=2.5 * HOUR, total_hours=5 * HOUR)
    assert (entry.logged_seconds, entry.total_seconds) == (9000, 18000)
    assert scene.see().goal.completion_percentage == 50
    later = scene.pass_(days=3)
    edited = scene.progress.edit(scene.who, 1, 1, {"logged_hours": "05:00:00"})
    assert edited.is_complete
    assert edited.note == "a length"
    assert edited.updated_at == later
    assert scene.see().goal.completion_percentage == 100
    assert scene.days() == {NOON.date(): 18000}
    for wrong in ({"logged_hours": "05:00:01"}, {"logged_hours": "-01:00:00"}, {"zone": "UTC"}):
        with pytest.raises(Invalid) as refused:
            scene.progress.edit(scene.who, 1, 1, wrong)
        assert list(refused.value.field_errors) == list(wrong)
    scene.progress.delete(scene.who, 1, 1)
    assert scene.see().goal.completion_percentage == 0
    assert scene.days() == {}
    with pytest.raises(NotFound):
        scene.progress.get(scene.who, 1, 1)
    assert [action for model, action in scene.trail() if model == "progress"] == [
        "CREATE",
        "UPDATE",
        "DELETE",
    ]


def test_the_zone_of_the_day_is_the_persons_or_the_one_given(scene: Scene, goal: Goal) -> None:
    scene.pass_(hours=8)
    assert scene.log().local_day == date(2030, 1, 1)
    assert scene.log(time_zone="Asia/Kolkata").local_day == date(2030, 1, 2)
    scene.who = evolve(scene.who, time_zone="Asia/Kolkata")
    assert (scene.log().local_day, scene.entries()[0].zone) == (date(2030, 1, 2), "UTC")
    with pytest.raises(Invalid, match="time_zone"):
        scene.log(time_zone="Mars/Base")


def test_spans_of_one_person_do_not_overlap(scene: Scene, goal: Goal) -> None:
    scene.goal()
    start = NOON - 5 * HOUR
    scene.log(1, started_at=start, ended_at=start + HOUR)
    scene.log(2, started_at=start + HOUR, ended_at=start + 2 * HOUR)
    for wrong in (-0.5, 0, 0.5, 1.5):
        begun = start + wrong * HOUR
        with pytest.raises(Invalid, match=r"started_at overlaps entry 1 of goal [12]"):
            scene.log(1, started_at=begun, ended_at=begun + HOUR)
    scene.log(1)
    progress = scene.progress
    with pytest.raises(Invalid, match="logged_hours overlaps"):
        progress.edit(scene.who, 1, 1, {"logged_hours": "01:00:01", "total_hours": "02:00:00"})
    progress.edit(scene.who, 1, 1, {"logged_hours": "00:30:00"})
    progress.edit(scene.who, 2, 1, {"logged_hours": "03:00:00", "total_hours": "03:00:00"})
    assert scene.entries()[1].ended_at == start + 4 * HOUR


def test_a_span_does_not_overlap_the_running_timer(scene: Scene, goal: Goal) -> None:
    scene.timers.start(scene.who, 1)
    begun = scene.pass_(hours=1) - HOUR / 2
    with pytest.raises(Invalid, match="running timer"):
        scene.log(started_at=begun, ended_at=scene.clock.at)
    scene.log(started_at=NOON - HOUR, ended_at=NOON)


def test_a_timer_becomes_an_entry(scene: Scene, goal: Goal) -> None:
    started = scene.timers.start(scene.who, 1)
    assert (started.timer.started_at, started.stopped) == (NOON, None)
    assert scene.see().timer_started_at == NOON
    scene.pass_(minutes=30)
    assert scene.timers.start(scene.who, 1).timer == started.timer
    assert scene.goals.edit(scene.who, 1, {}).timer_started_at == NOON
    scene.pass_(hours=13)
    entry = scene.timers.stop(scene.who, 1, TimerStop(progress="the night"))
    assert (entry.note, entry.logged_seconds, entry.total_seconds) == ("the night", 48600, 48600)
    assert scene.days() == {date(2030, 1, 1): 12 * 3600, date(2030, 1, 2): 5400}
    assert scene.see().timer_started_at is None
    with pytest.raises(NoTimer):
        scene.timers.stop(scene.who, 1, TimerStop())


def test_starting_a_timer_stops_the_one_that_runs(scene: Scene, goal: Goal) -> None:
    scene.goal("Read")
    scene.timers.start(scene.who, 1)
    scene.pass_(hours=1)
    started = scene.timers.start(scene.who, 2)
    assert started.stopped is not None
    assert (started.stopped.goal_number, started.stopped.logged_seconds) == (1, 3600)
    with pytest.raises(NoTimer):
        scene.timers.stop(scene.who, 1, TimerStop())
    assert scene.see(1).timer_started_at is None
    assert scene.see(2).timer_started_at == scene.clock.at


def test_a_stopped_timer_may_have_had_more_planned(scene: Scene, goal: Goal) -> None:
    scene.timers.start(scene.who, 1)
    scene.pass_(hours=2)
    for wrong in (HOUR, timedelta(hours=10_000), timedelta(hours=3, microseconds=5)):
        with pytest.raises(Invalid, match="total_hours"):
            scene.timers.stop(scene.who, 1, TimerStop(total_hours=wrong))
    entry = scene.timers.stop(scene.who, 1, TimerStop(total_hours=4 * HOUR))
    assert entry.percentage_complete == 50


def test_pausing_and_archiving_stop_the_timer(scene: Scene, goal: Goal) -> None:
    goals, timers = scene.goals, scene.timers
    timers.start(scene.who, 1)
    scene.pass_(hours=1)
    paused = goals.pause(scene.who, 1)
    assert (paused.goal.state, paused.goal.logged_seconds) == (GoalState.PAUSED, 3600)
    assert paused.timer_started_at is None
    with pytest.raises(GoalClosed):
        timers.start(scene.who, 1)
    scene.log()
    assert goals.archive(scene.who, 1).goal.state is GoalState.ARCHIVED
    for refused in (lambda: goals.pause(scene.who, 1), scene.log):
        with pytest.raises(GoalClosed):
            refused()
    resumed = goals.resume(scene.who, 1)
    assert (resumed.goal.state, resumed.goal.version) == (GoalState.ACTIVE, 4)
    assert goals.resume(scene.who, 1) == resumed
    assert [action for model, action in scene.trail() if model == "goal"] == [
        "CREATE",
        "PAUSE",
        "ARCHIVE",
        "RESUME",
    ]


def test_another_goals_timer_runs_on(scene: Scene, goal: Goal) -> None:
    scene.goal("Read")
    scene.timers.start(scene.who, 2)
    scene.goals.pause(scene.who, 1)
    scene.goals.delete(scene.who, 1)
    assert scene.see(2).timer_started_at == NOON
    scene.goals.delete(scene.who, 2)
    scene.timers.start(scene.who, scene.goal().number)
    assert scene.entries() == []


def test_every_change_raises_the_revision(scene: Scene, goal: Goal) -> None:
    goals, progress, timers = scene.goals, scene.progress, scene.timers
    for change in (
        lambda: goals.edit(scene.who, 1, {"is_complete": True}),
        scene.log,
        lambda: progress.edit(scene.who, 1, 1, {"progress": "x"}),
        lambda: progress.delete(scene.who, 1, 1),
        lambda: timers.start(scene.who, 1),
        lambda: timers.stop(scene.who, 1, TimerStop()),
        lambda: goals.pause(scene.who, 1),
        lambda: goals.delete(scene.who, 1),
        scene.goal,
    ):
        before = scene.revision()
        change()
        assert scene.revision() == before + 1


def test_an_export_has_every_entry_in_order(scene: Scene, goal: Goal) -> None:
    for _ in range(CHUNK + 3):
        scene.log(logged_hours=timedelta(seconds=1))
    rows = list(scene.progress.export(scene.who))
    assert [row.entry.number for row in rows] == list(range(1, CHUNK + 4))
    assert {row.goal_name for row in rows} == {goal.name}


def test_what_the_system_does_leaves_no_trail(scene: Scene) -> None:
    system = evolve(scene, who=SYSTEM)
    system.goal()
    system.log()
    assert scene.trail() == []
