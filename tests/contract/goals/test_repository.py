"""Goals, entries and timers: numbering, ownership and seconds per day."""

from datetime import date, timedelta
from typing import Any

import pytest

from tests.contract.factories import ALICE, BOB, NOON, AnyStore, after
from workbell.domain import constraints
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.goals.goal import Category, Goal, GoalLedger, GoalState
from workbell.domain.goals.progress_entry import ProgressEntry, Timer
from workbell.ports.goals.repository import EntryFilter, GoalFilter

HOUR = 3600


def a_goal(number: int = 1, **fields: Any) -> Goal:
    values: dict[str, Any] = {
        "owner": ALICE,
        "number": number,
        "name": f"Goal {number}",
        "category": Category.PRIMARY,
        "active_at": NOON,
        "created_at": after(number),
        "updated_at": NOON,
    }
    return Goal(**values | fields)


def an_entry(goal: Goal, number: int = 1, **fields: Any) -> ProgressEntry:
    values: dict[str, Any] = {
        "owner": goal.owner,
        "goal_id": goal.id,
        "goal_number": goal.number,
        "number": number,
        "note": f"step {number}",
        "logged_seconds": HOUR,
        "total_seconds": 2 * HOUR,
        "zone": "UTC",
        "local_day": NOON.date(),
        "created_at": after(number),
        "updated_at": NOON,
    }
    return ProgressEntry(**values | fields)


def kept(store: AnyStore, *goals: Goal) -> list[Goal]:
    with store.begin() as tx:
        return [tx.goals.add(goal) for goal in goals]


def logged(store: AnyStore, *entries: ProgressEntry) -> list[ProgressEntry]:
    with store.begin() as tx:
        return [tx.entries.add(entry) for entry in entries]


def test_a_ledger_is_empty_until_it_is_locked(store: AnyStore) -> None:
    with store.view() as tx:
        assert tx.ledgers.get(ALICE) == GoalLedger(owner=ALICE)
    with store.begin() as tx:
        ledger = tx.ledgers.lock(ALICE)
        assert ledger == GoalLedger(owner=ALICE)
        tx.ledgers.replace(ledger.numbered().changed())
    with store.begin() as tx:
        assert tx.ledgers.lock(ALICE) == GoalLedger(owner=ALICE, last_goal=1, revision=2)
        assert tx.ledgers.lock(BOB) == GoalLedger(owner=BOB)


def test_a_goal_is_returned_unchanged_to_its_owner_only(store: AnyStore) -> None:
    (goal,) = kept(store, a_goal(deadline=date(2030, 2, 1), logged_seconds=3 * 10**9))
    with store.begin() as tx:
        assert tx.goals.get(ALICE, 1) == tx.goals.get_for_update(ALICE, 1) == goal
        for owner, number in ((BOB, 1), (ALICE, 2)):
            with pytest.raises(NotFound):
                tx.goals.get(owner, number)
        paused = goal.in_state(GoalState.PAUSED, after(9))
        tx.goals.replace(paused)
        assert tx.goals.get(ALICE, 1) == paused
        with pytest.raises(NotFound):
            tx.goals.replace(a_goal(7))


def test_each_number_is_unique_within_a_user(store: AnyStore) -> None:
    kept(store, a_goal(), a_goal(owner=BOB))
    with pytest.raises(Conflict):
        kept(store, a_goal())
    (goal,) = kept(store, a_goal(2))
    logged(store, an_entry(goal))
    with pytest.raises(Conflict):
        logged(store, an_entry(goal))


def test_goals_are_filtered_and_ordered(store: AnyStore) -> None:
    first, second, _, others = kept(
        store,
        a_goal(1, category=Category.MINOR, deadline=date(2030, 3, 1), name="Learn Django"),
        a_goal(2, is_complete=True, deadline=date(2030, 1, 1)),
        a_goal(3, category=Category.SECONDARY, state=GoalState.ARCHIVED),
        a_goal(1, owner=BOB),
    )

    def numbers(filters: GoalFilter = GoalFilter(), **more: Any) -> list[int]:  # noqa: B008
        with store.view() as tx:
            found = [goal.number for goal in tx.goals.find(ALICE, filters, **more)]
            assert more or tx.goals.count(ALICE, filters) == len(found)
        return found

    assert numbers() == [1, 2, 3]
    assert numbers(GoalFilter(ids=[second.id, others.id, first.id])) == [1, 2]
    assert numbers(GoalFilter(ids=[])) == []
    assert numbers(GoalFilter(category=Category.MINOR)) == [1]
    assert numbers(GoalFilter(is_complete=True)) == [2]
    assert numbers(GoalFilter(is_complete=False)) == [1, 3]
    assert numbers(GoalFilter(states=[GoalState.ACTIVE, GoalState.PAUSED])) == [1, 2]
    assert numbers(GoalFilter(deadline_from=date(2030, 1, 2))) == [1]
    assert numbers(GoalFilter(deadline_to=date(2030, 3, 1))) == [1, 2]
    assert numbers(GoalFilter(search="DJANGO")) == [1]
    assert numbers(ordering=["category"]) == [2, 3, 1]
    assert numbers(ordering=["deadline"]) == [2, 1, 3]
    assert numbers(ordering=["-deadline"]) == [1, 2, 3]
    assert numbers(ordering=["is_complete", "-number"]) == [3, 1, 2]
    assert numbers(ordering=["-created_at"], offset=1, limit=1) == [2]


def test_an_entry_is_found_by_goal_and_number(store: AnyStore) -> None:
    (goal,) = kept(store, a_goal())
    (entry,) = logged(store, an_entry(goal, started_at=after(-7200), note="ünï 日本"))
    with store.begin() as tx:
        assert tx.entries.get(ALICE, goal.id, 1) == entry
        for owner, number in ((BOB, 1), (ALICE, 2)):
            with pytest.raises(NotFound):
                tx.entries.get(owner, goal.id, number)
        with pytest.raises(NotFound):
            tx.entries.replace(an_entry(goal, 7))
        edited = entry.edited("less", 60, HOUR, NOON)
        tx.entries.replace(edited)
        assert tx.entries.get(ALICE, goal.id, 1) == edited
        assert tx.entries.days(ALICE) == [(NOON.date(), 60)]
        tx.entries.delete(edited)
        assert tx.entries.days(ALICE) == []


def test_entries_are_filtered_and_ordered(store: AnyStore) -> None:
    first, second = kept(store, a_goal(1), a_goal(2))
    logged(
        store,
        an_entry(first, 1),
        an_entry(first, 2, logged_seconds=2 * HOUR, note="Read a book"),
        an_entry(second, 1, created_at=after(60), total_seconds=HOUR),
    )

    def found(filters: EntryFilter = EntryFilter(), **more: Any) -> list[tuple[int, int]]:  # noqa: B008
        with store.view() as tx:
            rows = [(e.goal_number, e.number) for e in tx.entries.find(ALICE, filters, **more)]
            order = {"ordering": more["ordering"]} if "ordering" in more else {}
            assert "limit" in more or tx.entries.count(ALICE, filters, **order) == len(rows)
            assert tx.entries.find(BOB, filters) == []
        return rows

    assert found() == [(2, 1), (1, 2), (1, 1)]
    assert found(EntryFilter(goal_id=first.id)) == [(1, 2), (1, 1)]
    assert found(EntryFilter(is_complete=True)) == [(2, 1), (1, 2)]
    assert found(EntryFilter(is_complete=False)) == [(1, 1)]
    assert found(EntryFilter(created_from=after(2), created_to=after(59))) == [(1, 2)]
    assert found(EntryFilter(search="BOOK")) == [(1, 2)]
    assert found(ordering=["logged", "-number"]) == [(1, 1), (2, 1), (1, 2)]
    assert found(ordering=["-total"], offset=1, limit=1) == [(1, 1)]


def test_time_is_shared_out_by_day_goal_and_bounds(store: AnyStore) -> None:
    first, second = kept(store, a_goal(1), a_goal(2, category=Category.MINOR))
    midnight = after(-12 * HOUR)
    logged(
        store,
        an_entry(first, 1, started_at=midnight - timedelta(hours=1), logged_seconds=3 * HOUR),
        an_entry(first, 2),
        an_entry(second, 1, logged_seconds=60),
        an_entry(second, 2, logged_seconds=0),
    )
    eve, new_year = date(2029, 12, 31), date(2030, 1, 1)
    with store.view() as tx:
        days = tx.entries.days
        assert days(ALICE) == [(eve, HOUR), (new_year, 3 * HOUR + 60)]
        assert days(ALICE, first.id) == [(eve, HOUR), (new_year, 3 * HOUR)]
        assert days(ALICE, None, new_year) == days(ALICE, None, new_year, new_year)
        assert days(ALICE, last=eve) == [(eve, HOUR)]
        assert days(BOB) == []


def test_days_follow_changes_and_deletions_of_entries_and_goals(store: AnyStore) -> None:
    first, second = kept(store, a_goal(1), a_goal(2))
    day = NOON.date()
    one, other, _ = logged(store, an_entry(first, 1), an_entry(first, 2), an_entry(second, 1))
    with store.begin() as tx:
        days = tx.entries.days
        assert (days(ALICE), days(ALICE, first.id)) == ([(day, 3 * HOUR)], [(day, 2 * HOUR)])
        tx.entries.replace(one.edited("less", 60, HOUR, NOON))
        assert (days(ALICE), days(ALICE, first.id)) == (
            [(day, 2 * HOUR + 60)],
            [(day, HOUR + 60)],
        )
        tx.entries.delete(other)
        tx.entries.delete(other)  # again: nothing is subtracted twice
        assert (days(ALICE), days(ALICE, first.id)) == ([(day, HOUR + 60)], [(day, 60)])
        tx.goals.delete(first)
        assert (days(ALICE), days(ALICE, first.id)) == ([(day, HOUR)], [])
        tx.goals.delete(second)
        assert days(ALICE) == []


def test_filters_without_an_index_apply_to_the_newest_entries(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constraints, "SEARCH_WINDOW", 3)
    first, second = kept(store, a_goal(1), a_goal(2))
    logged(
        store,
        *(an_entry(first, n, created_at=after(n), note=f"note {n % 2}") for n in range(1, 6)),
        an_entry(second, 1, created_at=after(9), note="note 1"),
    )

    def found(filters: EntryFilter, *ordering: str) -> list[tuple[int, int]]:
        with store.view() as tx:
            entries = tx.entries.find(ALICE, filters, ordering=ordering)
            assert tx.entries.count(ALICE, filters, ordering=ordering) == len(entries)
        return [(each.goal_number, each.number) for each in entries]

    everything, of_first = EntryFilter(), EntryFilter(goal_id=first.id)
    assert len(found(everything, "created_at")) == 6
    assert found(everything, "number") == [(2, 1), (1, 4), (1, 5)]
    assert found(EntryFilter(search="note 1"), "-created_at") == [(2, 1), (1, 5)]
    assert found(EntryFilter(search="note 1", created_to=after(3)), "-created_at") == [
        (1, 3),
        (1, 1),
    ]
    assert [n for _, n in found(of_first, "number")] == [1, 2, 3, 4, 5]
    assert [n for _, n in found(of_first, "created_at")] == [3, 4, 5]
    late = EntryFilter(goal_id=first.id, created_from=after(4))
    assert [n for _, n in found(late, "number")] == [4, 5]
    with store.view() as tx:
        assert tx.entries.exceeds_window(ALICE, everything)
        assert not tx.entries.exceeds_window(ALICE, EntryFilter(goal_id=second.id))
        assert not tx.entries.exceeds_window(ALICE, EntryFilter(created_to=after(3)))


def test_the_last_span_before_an_instant_is_found(store: AnyStore) -> None:
    (goal,) = kept(store, a_goal())
    first, second, _ = logged(
        store,
        an_entry(goal, 1, started_at=after(-9 * HOUR)),
        an_entry(goal, 2, started_at=after(-5 * HOUR)),
        an_entry(goal, 3),
    )
    with store.view() as tx:
        latest = tx.entries.latest_before
        assert latest(ALICE, NOON) == second
        assert latest(ALICE, NOON, except_id=second.id) == first
        assert latest(ALICE, after(-5 * HOUR)) == first
        assert latest(ALICE, after(-9 * HOUR)) is None
        assert latest(BOB, NOON) is None


def test_an_export_returns_all_entries_in_pages(store: AnyStore) -> None:
    (goal,) = kept(store, a_goal(name="=1+1"))
    entries = logged(store, *(an_entry(goal, n) for n in range(1, 6)))
    with store.view() as tx:
        rows = tx.entries.export(ALICE, limit=2)
        assert [(row.entry, row.goal_name, row.category) for row in rows] == [
            (entry, "=1+1", Category.PRIMARY) for entry in entries[:2]
        ]
        rest = tx.entries.export(ALICE, after=entries[1])
        assert [row.entry for row in rest] == entries[2:]
        assert tx.entries.export(BOB) == []


def test_an_export_is_in_the_order_of_creation_and_ids(store: AnyStore) -> None:
    (goal,) = kept(store, a_goal())
    times = (after(3), after(1), after(3), after(1), after(2))
    logged(store, *(an_entry(goal, n, created_at=at) for n, at in enumerate(times, 1)))
    found: list[int] = []
    last: ProgressEntry | None = None
    with store.view() as tx:
        while rows := tx.entries.export(ALICE, after=last, limit=2):
            found += [row.entry.number for row in rows]
            last = rows[-1].entry
    assert found == [2, 4, 5, 1, 3]


def test_a_user_has_one_running_timer(store: AnyStore) -> None:
    (goal,) = kept(store, a_goal())
    timer = Timer(owner=ALICE, goal_id=goal.id, goal_number=1, started_at=NOON, zone="UTC")
    with store.begin() as tx:
        assert tx.timers.get(ALICE) is None
        tx.timers.add(timer)
    with pytest.raises(Conflict), store.begin() as tx:
        tx.timers.add(timer)
    with store.begin() as tx:
        assert tx.timers.get(ALICE) == timer
        assert tx.timers.get(BOB) is None
        tx.timers.remove(ALICE)
        tx.timers.remove(ALICE)
        assert tx.timers.get(ALICE) is None


def test_a_deleted_goal_takes_its_entries_along(store: AnyStore) -> None:
    first, second = kept(store, a_goal(1), a_goal(2))
    logged(store, an_entry(first), an_entry(second))
    with store.begin() as tx:
        tx.goals.delete(first)
    with store.view() as tx:
        assert tx.goals.count(ALICE, GoalFilter()) == 1
        assert [e.goal_number for e in tx.entries.find(ALICE, EntryFilter())] == [2]
        assert tx.entries.days(ALICE) == [(NOON.date(), HOUR)]
    assert kept(store, a_goal(3))[0].id == 3
