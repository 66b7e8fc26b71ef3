"""Schedules: stored, listed, due, advanced."""

from contextlib import suppress
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from attrs import evolve

from tests.contract.factories import (
    ALICE,
    BOB,
    NOON,
    AnyStore,
    a_job,
    a_schedule,
    after,
)
from workbell.domain.cron.rule import CronRule, DstGap, DstOverlap
from workbell.domain.errors import LimitReached, NotFound
from workbell.domain.identity.actor import ALL_OWNERS, Scope
from workbell.domain.identity.user import UserId
from workbell.domain.schedules.schedule import MisfirePolicy, OverlapPolicy, Schedule, ScheduleId
from workbell.domain.schedules.ticks import Due, FastPathStep
from workbell.ports.schedules.repository import Advance
from workbell.ports.schedules.views import ScheduleFilter


def plan(store: AnyStore, *schedules: Schedule) -> list[Schedule]:
    """Add schedules in one transaction."""
    with store.begin() as tx:
        return [tx.schedules.add(schedule) for schedule in schedules]


def see(store: AnyStore, schedule: Schedule) -> Schedule:
    with store.view() as tx:
        return tx.schedules.get(ALL_OWNERS, schedule.id)


def test_every_field_is_returned_unchanged(store: AnyStore) -> None:
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
        alert_after_seconds=90,
        alert_at=after(90.000001),
        overdue_since=after(-3),
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
        assert tx.schedules.get_view(scope, mine.id).schedule == mine
        for number in (theirs.id, ScheduleId(99)):
            for read in (tx.schedules.get, tx.schedules.get_for_update, tx.schedules.get_view):
                with pytest.raises(NotFound):
                    read(scope, number)
        assert tx.schedules.count(scope, ScheduleFilter()) == 1
        assert tx.schedules.count(ALL_OWNERS, ScheduleFilter()) == 2
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
        tx.schedules.get_for_update(ALL_OWNERS, kept.id)
        tx.schedules.replace(changed)
    assert see(store, kept) == changed


def test_deleted_schedules_are_hidden_everywhere(store: AnyStore) -> None:
    gone, kept = plan(store, a_schedule(), a_schedule(next_at=None))
    with store.begin() as tx:
        tx.schedules.replace(evolve(gone, deleted_at=NOON))
        for read in (tx.schedules.get, tx.schedules.get_for_update, tx.schedules.get_view):
            with pytest.raises(NotFound):
                read(ALL_OWNERS, gone.id)
        assert tx.schedules.count(ALL_OWNERS, ScheduleFilter()) == 1
        assert [v.schedule for v in tx.schedules.find(ALL_OWNERS, ScheduleFilter())] == [kept]
        assert tx.schedules.count_active(ALICE, limit=9) == 0
        assert list(tx.schedules.due(after(9))) == []
        assert tx.schedules.next_due() is None
        assert tx.schedules.lock([gone.id, kept.id]) == {}
        assert list(tx.schedules.active_after(ScheduleId(0))) == []


def test_active_schedules_of_an_owner_are_counted(store: AnyStore) -> None:
    plan(store, a_schedule(), a_schedule(), a_schedule(next_at=None), a_schedule(owner=BOB))
    with store.view() as tx:
        assert tx.schedules.count_active(ALICE, limit=9) == 2
        assert tx.schedules.count_active(BOB, limit=9) == 1
        assert tx.schedules.count_active(UserId(9), limit=9) == 0


def test_active_schedules_are_counted_up_to_the_limit(store: AnyStore) -> None:
    plan(store, *[a_schedule() for _ in range(4)])
    with store.view() as tx:
        counts = [tx.schedules.count_active(ALICE, limit=limit) for limit in (0, 3, 4, 5)]
    assert counts == [0, 3, 4, 4]


def test_a_schedule_is_inserted_below_the_active_limit(store: AnyStore) -> None:
    paused = a_schedule(next_at=None)
    plan(store, a_schedule(), paused, a_schedule(owner=BOB))
    with store.begin() as tx:
        added = tx.schedules.add(a_schedule(name="second"), active_limit=2)
        assert tx.schedules.get(ALL_OWNERS, added.id) == added
        assert added.name == "second"


def test_a_schedule_at_the_active_limit_is_refused(store: AnyStore) -> None:
    (gone, _) = plan(store, a_schedule(), a_schedule())
    with store.begin() as tx:
        for limit in (0, 1, 2):
            with pytest.raises(LimitReached) as refused:
                tx.schedules.add(a_schedule(), active_limit=limit)
            assert (refused.value.used, refused.value.limit) == (limit, limit)
        assert tx.schedules.count_active(ALICE, limit=9) == 2
        tx.schedules.replace(evolve(gone, deleted_at=NOON))
        last = tx.schedules.add(a_schedule(), active_limit=2)
    assert see(store, last) == last


@pytest.mark.parametrize("active_limit", [None, 5])
def test_a_schedule_is_inserted_unchanged(store: AnyStore, active_limit: int | None) -> None:
    new = a_schedule(
        name="Nächtlich – 夜 \\' OR '1'='1'; -- $1 %(owner)b",
        cron=CronRule("30 2 * * 1-5", "Europe/Berlin", DstGap.SKIP, DstOverlap.BOTH),
        parameters={"deep": {"ü": [1, 2.5, None, True, '"', "\\'"]}},
        starts_at=after(-9).astimezone(ZoneInfo("Asia/Tokyo")),
        ends_at=after(9.000001),
        queue="mail",
        weight=4.0,
        next_at=after(0.000001),
    )
    with store.begin() as tx:
        inserted = tx.schedules.add(new, active_limit=active_limit)
    assert inserted == evolve(new, id=inserted.id) == see(store, inserted)


def test_an_inserted_schedule_is_rolled_back_with_the_rest(store: AnyStore) -> None:
    with suppress(KeyError), store.begin() as tx:
        tx.schedules.add(a_schedule())
        raise KeyError
    with store.view() as tx:
        assert tx.schedules.count(ALL_OWNERS, ScheduleFilter()) == 0


# due


def test_due_schedules_are_listed_oldest_first(store: AnyStore) -> None:
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
        assert list(tx.schedules.due(NOON)) == [
            Due.from_schedule(s) for s in (older, noon, also_noon)
        ]
        assert list(tx.schedules.due(NOON, limit=1)) == [Due.from_schedule(older)]
        assert list(tx.schedules.due(after(-61))) == []
        assert tx.schedules.next_due() == after(-60)


@pytest.mark.parametrize(
    ("fields", "is_plain"),
    [
        ({}, True),
        ({"overlap_policy": OverlapPolicy.BUFFER_ONE, "queue": "mail", "priority": 3}, True),
        ({"starts_at": after(-9)}, False),
        ({"ends_at": after(9)}, False),
        ({"max_runs": 9}, False),
        ({"jitter_seconds": 1}, False),
    ],
)
def test_due_schedules_are_returned_as_due_entries(
    store: AnyStore, fields: dict[str, Any], is_plain: bool
) -> None:
    rule = CronRule("30 2 * * 1-5", "Europe/Berlin", DstGap.SKIP, DstOverlap.BOTH)
    (schedule,) = plan(store, a_schedule(cron=rule, version=3, cursor=after(-60), **fields))
    with store.view() as tx:
        (due,) = tx.schedules.due(after(5))
    assert due == Due(schedule.id, 3, "echo", rule, NOON, is_plain) == Due.from_schedule(schedule)


def test_active_schedules_among_ids_are_returned(store: AnyStore) -> None:
    first, second, paused = plan(store, a_schedule(), a_schedule(), a_schedule(next_at=None))
    with store.view() as tx:
        some = [second.id, paused.id, ScheduleId(99), first.id]
        assert list(tx.schedules.active_among(some)) == [second, first]
        assert list(tx.schedules.active_among([])) == []


def test_a_lock_returns_cursor_and_version_of_active_schedules(store: AnyStore) -> None:
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


def test_a_changed_schedule_is_not_advanced(store: AnyStore) -> None:
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


# taken in the common case


def a_step(schedule: Schedule, **fields: Any) -> FastPathStep:
    begin = FastPathStep(schedule.id, schedule.version, schedule.next_at or NOON, after(3600))
    return begin._replace(**fields)


def test_a_step_passes_one_tick(store: AnyStore) -> None:
    first, second = plan(store, a_schedule(paused_reason="x"), a_schedule(cursor=NOON, runs=4))
    with store.begin() as tx:
        tx.schedules.advance_by_one([a_step(first), a_step(second, next_at=after(60))])
        tx.schedules.advance_by_one([])
    assert see(store, first) == evolve(first, cursor=NOON, next_at=after(3600), runs=1)
    assert see(store, second) == evolve(second, next_at=after(60), runs=5)


def test_a_step_is_applied_once_and_only_from_its_own_tick(store: AnyStore) -> None:
    once, edited, moved, gone, paused = plan(
        store, *[a_schedule() for _ in range(4)], a_schedule(next_at=None)
    )
    with store.begin() as tx:
        tx.schedules.replace(evolve(gone, deleted_at=NOON))
        tx.schedules.advance_by_one(
            [a_step(once), a_step(edited, version=2), a_step(moved, tick=after(-1))]
        )
        tx.schedules.advance_by_one([a_step(once, next_at=after(9)), a_step(gone), a_step(paused)])
        assert tx.schedules.active_among([gone.id]) == []
    assert see(store, once).next_at == after(3600)
    assert [see(store, each) for each in (edited, moved, paused)] == [edited, moved, paused]


def test_failure_streaks_are_returned_and_cleared(store: AnyStore) -> None:
    none, one, four = plan(
        store, a_schedule(), a_schedule(fail_streak=1), a_schedule(fail_streak=4)
    )
    with store.begin() as tx:
        every = [none.id, one.id, four.id, ScheduleId(99)]
        assert tx.schedules.failure_streaks(every) == {one.id: 1, four.id: 4}
        assert tx.schedules.failure_streaks([]) == {}
        tx.schedules.clear_failure_streaks([four.id, none.id])
        tx.schedules.clear_failure_streaks([])
        assert tx.schedules.failure_streaks(every) == {one.id: 1}
    assert see(store, four) == evolve(four, fail_streak=0)


def test_active_schedules_are_read_in_batches(store: AnyStore) -> None:
    kept = plan(store, *[a_schedule(next_at=after(-n)) for n in range(5)])
    plan(store, a_schedule(next_at=None))
    with store.view() as tx:
        assert list(tx.schedules.active_after(ScheduleId(0))) == kept
        assert list(tx.schedules.active_after(kept[1].id, limit=2)) == kept[2:4]
        assert list(tx.schedules.active_after(kept[-1].id)) == []


def test_deleted_schedules_without_unfinished_runs_are_purged(store: AnyStore) -> None:
    with store.begin() as tx:
        old, late, busy, kept = (tx.schedules.add(a_schedule()) for _ in range(4))
        for schedule, at in ((old, 1), (late, 5), (busy, 1)):
            tx.schedules.replace(evolve(schedule, deleted_at=after(at), next_at=None))
        tx.jobs.add([a_job(schedule_id=busy.id)], NOON)
    with store.begin() as tx:
        assert tx.schedules.purge(after(1), limit=9) == 0
        assert tx.schedules.purge(after(5), limit=9) == 1
        assert tx.schedules.purge(after(6), limit=9) == 1
        assert tx.schedules.get(ALL_OWNERS, kept.id) == kept
        assert tx.schedules.purge(after(6), limit=9) == 0
