"""Schedules: kept, shown, listed, due, advanced."""

from typing import Any

import pytest
from attrs import evolve

from tests.contract.made import (
    ALICE,
    BOB,
    NOON,
    AnyStore,
    a_definition,
    a_job,
    a_schedule,
    a_user,
    after,
    claim,
    ended,
    ids,
    keep,
    running,
    write,
)
from workbell.domain.cron import CronRule, DstGap, DstOverlap
from workbell.domain.errors import NotFound
from workbell.domain.identity import EVERYTHING, Scope, UserId
from workbell.domain.jobs import JobState, Outcome, Status
from workbell.domain.scheduling import MisfirePolicy, OverlapPolicy, Schedule, ScheduleId
from workbell.ports.scheduling import Advance, ScheduleFilter, ScheduleView


def plan(store: AnyStore, *schedules: Schedule) -> list[Schedule]:
    """Add schedules in one transaction."""
    with store.begin() as tx:
        return [tx.schedules.add(schedule) for schedule in schedules]


def see(store: AnyStore, schedule: Schedule) -> Schedule:
    with store.view() as tx:
        return tx.schedules.get(EVERYTHING, schedule.id)


def found(store: AnyStore, which: ScheduleFilter | None = None, **ask: Any) -> list[str]:
    with store.view() as tx:
        which = which or ScheduleFilter()
        views = tx.schedules.find(EVERYTHING, which, **ask)
        if not ask:
            assert tx.schedules.count(EVERYTHING, which) == len(views)
        return [view.schedule.name for view in views]


def test_every_field_comes_back_as_it_went_in(store: AnyStore) -> None:
    new = a_schedule(
        name="Nächtlich – 夜",
        cron=CronRule("30 2 * * 1-5", "Europe/Berlin", DstGap.SKIP, DstOverlap.BOTH),
        parameters={"deep": {"ü": [1, 2.5, None, True]}},
        misfire_policy=MisfirePolicy.ALL,
        overlap_policy=OverlapPolicy.CANCEL_OTHER,
        starts_at=after(-9),
        ends_at=after(9.000001),
        max_runs=7,
        jitter_seconds=3,
        queue="mail",
        priority=-2,
        weight=4.0,
        max_attempts=5,
        timeout_seconds=60,
        schema_version=3,
        next_at=after(0.000001),
        cursor=after(-0.000001),
        runs=2,
        version=9,
        fail_streak=4,
        paused_reason="why",
        created_at=after(-5),
        updated_at=after(-4),
    )
    (kept,) = plan(store, new)
    assert kept == evolve(new, id=kept.id)
    assert kept.id > 0
    found = see(store, kept)
    assert found == kept
    assert type(found.overlap_policy) is OverlapPolicy
    assert type(found.misfire_policy) is MisfirePolicy
    assert type(found.cron.dst_gap) is DstGap
    plain = plan(store, a_schedule(next_at=None))[0]
    assert see(store, plain) == plain
    assert not see(store, plain).is_active


def test_schedules_are_found_within_the_scope_only(store: AnyStore) -> None:
    mine, theirs = plan(store, a_schedule(), a_schedule(owner=BOB))
    scope = Scope(owner=ALICE)
    with store.begin() as tx:
        assert tx.schedules.get(scope, mine.id) == mine
        assert tx.schedules.get_for_update(scope, mine.id) == mine
        assert tx.schedules.show(scope, mine.id).schedule == mine
        for number in (theirs.id, ScheduleId(99)):
            for read in (tx.schedules.get, tx.schedules.get_for_update, tx.schedules.show):
                with pytest.raises(NotFound):
                    read(scope, number)
        assert tx.schedules.count(scope, ScheduleFilter()) == 1
        assert tx.schedules.count(EVERYTHING, ScheduleFilter()) == 2
        assert [view.schedule for view in tx.schedules.find(scope, ScheduleFilter())] == [mine]


def test_a_schedule_is_replaced(store: AnyStore) -> None:
    (kept,) = plan(store, a_schedule())
    changed = evolve(
        kept.pause("why"),
        name="new",
        cron=CronRule("5 5 * * *", "Asia/Tokyo"),
        parameters={"a": 1},
        overlap_policy=OverlapPolicy.ALLOW_ALL,
        version=2,
        fail_streak=1,
        cursor=NOON,
        updated_at=after(1),
    )
    with store.begin() as tx:
        tx.schedules.get_for_update(EVERYTHING, kept.id)
        tx.schedules.replace(changed)
    assert see(store, kept) == changed


def test_deleted_schedules_are_hidden_everywhere(store: AnyStore) -> None:
    gone, kept = plan(store, a_schedule(), a_schedule(next_at=None))
    with store.begin() as tx:
        tx.schedules.replace(evolve(gone, deleted_at=NOON))
        for read in (tx.schedules.get, tx.schedules.get_for_update, tx.schedules.show):
            with pytest.raises(NotFound):
                read(EVERYTHING, gone.id)
        assert tx.schedules.count(EVERYTHING, ScheduleFilter()) == 1
        assert [v.schedule for v in tx.schedules.find(EVERYTHING, ScheduleFilter())] == [kept]
        assert tx.schedules.count_active(ALICE) == 0
        assert list(tx.schedules.due(after(9))) == []
        assert tx.schedules.next_due() is None
        assert tx.schedules.lock([gone.id, kept.id]) == {}
        assert list(tx.schedules.active_after(ScheduleId(0))) == []


def test_active_schedules_of_an_owner_are_counted(store: AnyStore) -> None:
    plan(store, a_schedule(), a_schedule(), a_schedule(next_at=None), a_schedule(owner=BOB))
    with store.view() as tx:
        assert tx.schedules.count_active(ALICE) == 2
        assert tx.schedules.count_active(BOB) == 1
        assert tx.schedules.count_active(UserId(9)) == 0


# due


def test_due_schedules_come_oldest_first(store: AnyStore) -> None:
    """The moment itself counts as come; the limit cuts the youngest."""
    plan(store, a_schedule(next_at=None))
    noon, older, _, also_noon = plan(
        store,
        a_schedule(),
        a_schedule(next_at=after(-60)),
        a_schedule(next_at=after(0.000001)),
        a_schedule(owner=BOB),
    )
    with store.view() as tx:
        assert list(tx.schedules.due(NOON)) == [older, noon, also_noon]
        assert list(tx.schedules.due(NOON, limit=1)) == [older]
        assert list(tx.schedules.due(after(-61))) == []
        assert tx.schedules.next_due() == after(-60)


def test_a_lock_tells_cursor_and_version_of_active_schedules(store: AnyStore) -> None:
    fresh, seen, paused = plan(
        store, a_schedule(), a_schedule(cursor=after(-60), version=4), a_schedule(next_at=None)
    )
    with store.begin() as tx:
        locked = tx.schedules.lock([seen.id, fresh.id, paused.id, ScheduleId(99)])
        assert tx.schedules.lock([]) == {}
    assert locked == {fresh.id: (None, 1), seen.id: (after(-60), 4)}


def step(schedule: Schedule, **fields: Any) -> Advance:
    values: dict[str, Any] = {
        "id": schedule.id,
        "version": schedule.version,
        "was_cursor": schedule.cursor,
        "cursor": NOON,
        "next_at": after(3600),
        "runs": schedule.runs + 1,
    }
    return Advance(**values | fields)


def test_schedules_advance(store: AnyStore) -> None:
    first, second = plan(store, a_schedule(), a_schedule(cursor=after(-60), runs=4))
    with store.begin() as tx:
        tx.schedules.advance([step(first), step(second, next_at=after(60))])
    assert see(store, first) == evolve(first, cursor=NOON, next_at=after(3600), runs=1)
    assert see(store, second) == evolve(second, cursor=NOON, next_at=after(60), runs=5)


def test_a_schedule_without_a_next_tick_becomes_inactive(store: AnyStore) -> None:
    (schedule,) = plan(store, a_schedule())
    with store.begin() as tx:
        tx.schedules.advance([step(schedule, next_at=None, paused_reason="ended")])
    kept = see(store, schedule)
    assert (kept.is_active, kept.paused_reason, kept.cursor) == (False, "ended", NOON)


def test_a_schedule_that_was_changed_meanwhile_is_left(store: AnyStore) -> None:
    edited, passed, fresh = plan(store, a_schedule(), a_schedule(cursor=after(-60)), a_schedule())
    with store.begin() as tx:
        tx.schedules.replace(evolve(edited, version=2))
        tx.schedules.advance(
            [
                step(edited),
                step(passed, was_cursor=after(-120)),
                step(fresh, was_cursor=after(-60)),
                step(fresh, id=ScheduleId(99)),
            ]
        )
        tx.schedules.advance([])
    assert see(store, edited).cursor is None
    assert see(store, passed) == passed
    assert see(store, fresh) == fresh
    with store.begin() as tx:
        tx.schedules.advance([step(passed, was_cursor=None)])
    assert see(store, passed) == passed


def test_a_tick_is_advanced_once(store: AnyStore) -> None:
    (schedule,) = plan(store, a_schedule())
    with store.begin() as tx:
        tx.schedules.advance([step(schedule)])
        tx.schedules.advance([step(schedule, next_at=after(9999))])
    assert see(store, schedule).next_at == after(3600)


def test_fail_streaks_are_told_and_cleared(store: AnyStore) -> None:
    none, one, four = plan(
        store, a_schedule(), a_schedule(fail_streak=1), a_schedule(fail_streak=4)
    )
    with store.begin() as tx:
        every = [none.id, one.id, four.id, ScheduleId(99)]
        assert tx.schedules.streaks(every) == {one.id: 1, four.id: 4}
        assert tx.schedules.streaks([]) == {}
        tx.schedules.clear_streaks([four.id, none.id])
        tx.schedules.clear_streaks([])
        assert tx.schedules.streaks(every) == {one.id: 1}
    assert see(store, four) == evolve(four, fail_streak=0)


def test_active_schedules_can_be_walked_over(store: AnyStore) -> None:
    kept = plan(store, *[a_schedule(next_at=after(-n)) for n in range(5)])
    plan(store, a_schedule(next_at=None))
    with store.view() as tx:
        assert list(tx.schedules.active_after(ScheduleId(0))) == kept
        assert list(tx.schedules.active_after(kept[1].id, limit=2)) == kept[2:4]
        assert list(tx.schedules.active_after(kept[-1].id)) == []


# shown


def show(store: AnyStore, schedule: Schedule) -> ScheduleView:
    """Return a schedule as it is shown, which a list shows the same."""
    with store.view() as tx:
        view = tx.schedules.show(EVERYTHING, schedule.id)
        assert view in tx.schedules.find(EVERYTHING, ScheduleFilter())
    return view


def test_a_schedule_is_shown_with_its_owner_and_task(store: AnyStore) -> None:
    with store.begin() as tx:
        owner = tx.users.add(a_user(first_name="Ada", last_name="Lovelace"))
        bare = tx.users.add(a_user("bare"))
        task = tx.definitions.add(a_definition(description="Says it again"))
    known, named, unknown = plan(
        store,
        a_schedule(owner=owner.id),
        a_schedule(owner=bare.id),
        a_schedule(owner=UserId(99)),
    )
    view = show(store, known)
    assert (view.owner_username, view.owner_full_name) == ("alice", "Ada Lovelace")
    assert (view.task_id, view.task_name) == (task.id, "Echo")
    assert view.task_description == "Says it again"
    assert (view.last_run_time, view.last_status) == (None, None)
    assert show(store, named).owner_full_name == "bare"
    assert (show(store, unknown).owner_username, show(store, unknown).owner_full_name) == ("", "")


def test_the_last_run_is_the_newest_job_that_was_started(store: AnyStore) -> None:
    (schedule,) = plan(store, a_schedule())
    own = {"schedule_id": schedule.id}
    assert show(store, schedule).last_run_time is None
    first, second = running(store, a_job(**own), a_job(**own), now=after(1))
    write(store, ended(second, now=after(2)))
    keep(store, a_job(**own, due_at=after(99)), a_job(schedule_id=77))
    keep(store, a_job(**own, state=JobState.SKIPPED, ended_at=NOON))
    assert show(store, schedule).last_run_time == after(1)
    assert show(store, schedule).last_status is Status.SUCCEEDED
    write(store, ended(first, now=after(2)))
    keep(store, a_job(**own, due_at=after(3)), now=after(3))
    (third,) = claim(store, now=after(4), limit=9)[-1:]
    assert show(store, schedule).last_run_time == after(4)
    assert show(store, schedule).last_status is Status.RUNNING
    write(store, ended(third, Outcome.FAILED, now=after(5), retry_after=0))
    assert show(store, schedule).last_run_time == after(4)
    assert show(store, schedule).last_status is Status.RETRYING
    claim(store, now=after(6))
    assert show(store, schedule).last_run_time == after(6)


def test_a_claim_that_was_given_back_was_not_started(store: AnyStore) -> None:
    (schedule,) = plan(store, a_schedule())
    (work,) = running(store, a_job(schedule_id=schedule.id))
    with store.begin() as tx:
        tx.jobs.give_back([(work.id, work.token)])
    assert show(store, schedule).last_run_time is None


# listed


@pytest.fixture
def some(store: AnyStore) -> list[Schedule]:
    """Return three schedules: a, b and c."""
    with store.begin() as tx:
        tx.definitions.add(a_definition(key="echo", name="Say again"))
        tx.definitions.add(a_definition(key="report", name="Make a Report"))
    return plan(
        store,
        a_schedule(name="a", cron=CronRule("0 3 * * *"), created_at=after(3), updated_at=after(5)),
        a_schedule(
            name="b",
            task="report",
            cron=CronRule("*/5 * * * *"),
            created_at=after(1),
            updated_at=after(6),
            next_at=None,
        ),
        a_schedule(
            name="c",
            owner=BOB,
            cron=CronRule("0 0 1 * *"),
            created_at=after(2),
            updated_at=after(4),
            next_at=after(-60),
        ),
    )


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize(
    ("which", "names"),
    [
        (ScheduleFilter(is_active=True), "ac"),
        (ScheduleFilter(is_active=False), "b"),
        (ScheduleFilter(tasks=["report", "none"]), "b"),
        (ScheduleFilter(tasks=[]), ""),
        (ScheduleFilter(owner=BOB), "c"),
        (ScheduleFilter(name="a"), "a"),
        (ScheduleFilter(name_contains="B"), "b"),
        (ScheduleFilter(name_contains="%"), ""),
        (ScheduleFilter(cron_expressions=["0 3 * * *", "0 0 1 * *"]), "ac"),
        (ScheduleFilter(cron_contains="*/5"), "b"),
        (ScheduleFilter(created_from=after(2)), "ac"),
        (ScheduleFilter(created_to=after(2)), "bc"),
        (ScheduleFilter(updated_from=after(5), updated_to=after(5)), "a"),
        (ScheduleFilter(next_from=NOON), "a"),
        (ScheduleFilter(next_to=NOON), "ac"),
        (ScheduleFilter(ids=[1, 3, 99]), "ac"),
        (ScheduleFilter(search="REPORT"), "b"),
        (ScheduleFilter(search="0 3 *"), "a"),
        (ScheduleFilter(search="C"), "c"),
        (ScheduleFilter(search="say again"), "ac"),
        (ScheduleFilter(search="say again", owner=ALICE), "a"),
    ],
)
def test_filters(store: AnyStore, which: ScheduleFilter, names: str) -> None:
    assert "".join(sorted(found(store, which))) == names


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize(
    ("ordering", "names"),
    [
        (None, "acb"),
        (["id"], "abc"),
        (["-id"], "cba"),
        (["created_at"], "bca"),
        (["updated_at"], "cab"),
        (["-updated_at"], "bac"),
        (["-name"], "cba"),
        (["cron_expression"], "bca"),
        (["next_run_time"], "cab"),
        (["-next_run_time"], "acb"),
        (["is_active", "name"], "bac"),
        (["-is_active"], "cab"),
        (["-is_active", "name"], "acb"),
    ],
)
def test_orderings(store: AnyStore, ordering: list[str] | None, names: str) -> None:
    ask: dict[str, Any] = {"ordering": ordering} if ordering else {}
    assert "".join(found(store, **ask)) == names


def test_ids_break_ties_descending_where_the_first_name_is(store: AnyStore) -> None:
    plan(store, *[a_schedule(name=name) for name in "abc"])
    assert found(store) == ["c", "b", "a"]
    assert found(store, ordering=["created_at"]) == ["a", "b", "c"]
    assert found(store, ordering=["-next_run_time"]) == ["c", "b", "a"]


def test_a_list_is_cut_into_pages(store: AnyStore) -> None:
    kept = plan(store, *[a_schedule(name=f"n{n:02}") for n in range(25)])
    names = [schedule.name for schedule in kept]
    assert found(store, ordering=["id"], offset=0) == names[:20]
    assert found(store, ordering=["id"], offset=20) == names[20:]
    assert found(store, ordering=["id"], offset=3, limit=2) == names[3:5]
    assert found(store, offset=25) == []
    with store.view() as tx:
        assert tx.schedules.count(EVERYTHING, ScheduleFilter()) == 25
        views = tx.schedules.find(EVERYTHING, ScheduleFilter(), limit=2)
    assert ids([view.schedule for view in views]) == ids(kept)[:-3:-1]
