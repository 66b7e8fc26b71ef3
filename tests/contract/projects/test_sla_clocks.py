"""SLA clocks: every field, what is due, locks, and each event once."""

from collections.abc import Sequence
from datetime import timedelta
from threading import Barrier, Thread

import pytest
from attrs import evolve

from tests.contract.factories import NOON, AnyStore, after
from tests.contract.projects.sla_rows import Team, a_clock
from workbell.domain.errors import Conflict
from workbell.domain.projects.sla.clock import (
    ClockKind,
    ClockPhase,
    Pins,
    Segment,
    SlaClock,
    SlaEvent,
    SlaEventKind,
)
from workbell.domain.projects.work_item import WorkItem, WorkItemId
from workbell.ports.projects.sla import StoredEvent

HOUR = timedelta(hours=1)
START = WorkItemId(0)


@pytest.fixture
def ann(store: AnyStore) -> Team:
    return Team.create(store, "ann")


@pytest.fixture
def item(store: AnyStore, ann: Team) -> WorkItem:
    return ann.add_items(store)[0]


def add(store: AnyStore, *clocks: SlaClock) -> Sequence[SlaClock]:
    with store.begin() as tx:
        return tx.sla_clocks.add(clocks)


def full_clock(item: WorkItem) -> SlaClock:
    return SlaClock(
        work_item_id=item.id,
        project_id=item.project_id,
        kind=ClockKind.FIRST_RESPONSE,
        cycle=3,
        phase=ClockPhase.PAUSED,
        pins=Pins(policy_id=2**40, policy_version=2, calendar_id=2**41, calendar_version=7),
        target=timedelta(minutes=525_600),
        due_date=after(1.000001),
        started_at=after(0.000001),
        stopped_at=after(2),
        warned_at=after(3),
        breached_at=after(4),
        escalated=10,
        segments=(
            Segment(after(0.000001), after(1), True, "counting"),
            Segment(after(1), None, False, "status REVIEW"),
        ),
        deadline=after(5),
        next_event_at=after(6),
    )


def test_a_clock_is_returned_as_it_was_inserted(store: AnyStore, item: WorkItem) -> None:
    (added,) = add(store, full_clock(item))
    assert added == evolve(full_clock(item), id=added.id)
    with store.view() as tx:
        assert tx.sla_clocks.of_items([item.id]) == [added]


def test_a_replaced_clock_has_every_new_field(store: AnyStore, item: WorkItem) -> None:
    (added,) = add(store, a_clock(item, kind=ClockKind.FIRST_RESPONSE, cycle=3))
    changed = evolve(full_clock(item), id=added.id, started_at=added.started_at)
    with store.begin() as tx:
        tx.sla_clocks.replace([changed])
        tx.sla_clocks.replace([])
    with store.view() as tx:
        assert tx.sla_clocks.of_items([item.id]) == [changed]


def test_clocks_come_by_item_kind_and_cycle(store: AnyStore, ann: Team) -> None:
    first, second = ann.add_items(store, 2)
    added = add(
        store,
        a_clock(second),
        a_clock(first, cycle=2),
        a_clock(first, kind=ClockKind.DUE, target=None, due_date=after(60)),
        a_clock(first, cycle=1),
    )
    with store.view() as tx:
        found = tx.sla_clocks.of_items([second.id, first.id])
        assert found == [added[2], added[3], added[1], added[0]]
        assert tx.sla_clocks.of_items([second.id]) == [added[0]]
        assert list(tx.sla_clocks.of_items([])) == []


def test_due_items_come_the_longest_overdue_first(store: AnyStore, ann: Team) -> None:
    items = ann.add_items(store, 4)
    with store.view() as tx:
        assert tx.sla_clocks.next_due() is None
    add(
        store,
        a_clock(items[0], next_event_at=after(30)),
        a_clock(items[1], started_at=after(-3_600), segments=segments(-3_600)),
        a_clock(items[2], started_at=after(-7_200), segments=segments(-7_200)),
        a_clock(
            items[2],
            kind=ClockKind.FIRST_RESPONSE,
            started_at=after(-3_601),
            segments=segments(-3_601),
        ),
        a_clock(items[3], phase=ClockPhase.PAUSED),
    )
    with store.begin() as tx:
        assert tx.sla_clocks.next_due() == after(-7_200) + 0.8 * HOUR
        due = tx.sla_clocks.lock_due_items(NOON, limit=10)
        assert due == [items[2].id, items[1].id]
        assert tx.sla_clocks.lock_due_items(NOON, limit=1) == [items[2].id]
        assert list(tx.sla_clocks.lock_due_items(after(-7_200), limit=10)) == []


def segments(seconds: float) -> tuple[Segment, ...]:
    return (Segment(after(seconds), None, True, "counting"),)


def test_a_clock_that_is_paused_or_reported_is_no_longer_due(
    store: AnyStore, item: WorkItem
) -> None:
    (clock,) = add(store, a_clock(item))
    with store.begin() as tx:
        assert tx.sla_clocks.lock_due_items(after(3_600), limit=1) == [item.id]
        tx.sla_clocks.replace([evolve(clock, next_event_at=None)])
    with store.begin() as tx:
        assert tx.sla_clocks.next_due() is None
        assert list(tx.sla_clocks.lock_due_items(after(3_600), limit=1)) == []


def test_items_with_open_clocks_come_in_pages(store: AnyStore, ann: Team) -> None:
    other = Team.create(store, "ben")
    items = ann.add_items(store, 4)
    (foreign,) = other.add_items(store)
    add(
        store,
        a_clock(items[0]),
        a_clock(items[0], kind=ClockKind.FIRST_RESPONSE),
        a_clock(items[1], phase=ClockPhase.STOPPED),
        a_clock(items[2], phase=ClockPhase.PAUSED),
        a_clock(items[3]),
        a_clock(foreign),
    )
    with store.begin() as tx:
        clocks, project = tx.sla_clocks, ann.project.id
        first = clocks.lock_items_of_project(project, after=START, limit=2)
        assert first == [items[0].id, items[2].id]
        second = clocks.lock_items_of_project(project, after=first[-1], limit=2)
        assert second == [items[3].id]
        assert list(clocks.lock_items_of_project(project, after=second[-1], limit=2)) == []


def an_event(clock: SlaClock, kind: SlaEventKind, step: int, seconds: float) -> StoredEvent:
    return StoredEvent(
        clock_id=clock.id,
        cycle=clock.cycle,
        event=SlaEvent(kind, step, after(seconds)),
        detected_at=after(seconds + 10),
    )


def test_events_come_in_the_order_in_which_they_were_due(store: AnyStore, ann: Team) -> None:
    first, second = ann.add_items(store, 2)
    clock, other = add(store, a_clock(first), a_clock(second))
    events = [
        an_event(clock, SlaEventKind.ESCALATION, 1, 4),
        an_event(clock, SlaEventKind.ESCALATION, 0, 3),
        an_event(other, SlaEventKind.WARNING, 0, 2),
        an_event(clock, SlaEventKind.BREACH, 0, 2.000001),
        an_event(clock, SlaEventKind.WARNING, 0, 1),
    ]
    with store.begin() as tx:
        tx.sla_clocks.add_events(events)
        tx.sla_clocks.add_events([])
    with store.view() as tx:
        of_first = [events[4], events[3], events[1], events[0]]
        assert tx.sla_clocks.events_of(first.id) == of_first
        assert tx.sla_clocks.events_of(second.id) == [events[2]]


def test_an_event_is_stored_once(store: AnyStore, item: WorkItem) -> None:
    (clock,) = add(store, a_clock(item))
    event = an_event(clock, SlaEventKind.BREACH, 0, 1)
    with store.begin() as tx:
        tx.sla_clocks.add_events([event])
    with pytest.raises(Conflict), store.begin() as tx:
        tx.sla_clocks.add_events([evolve(event, detected_at=after(99))])
    with store.begin() as tx:
        tx.sla_clocks.add_events([evolve(event, cycle=2)])
        assert len(tx.sla_clocks.events_of(item.id)) == 2


def test_a_cycle_exists_once(store: AnyStore, item: WorkItem) -> None:
    add(store, a_clock(item))
    with pytest.raises(Conflict):
        add(store, a_clock(item))


def test_two_tickers_get_different_items(store: AnyStore, ann: Team) -> None:
    items = ann.add_items(store, 20)
    add(store, *(a_clock(one) for one in items))
    taken: list[list[WorkItemId]] = []
    barrier = Barrier(2)

    def tick() -> None:
        barrier.wait(10)
        with store.begin() as tx:
            due = list(tx.sla_clocks.lock_due_items(after(3_600), limit=20))
            clocks = tx.sla_clocks.of_items(due)
            tx.sla_clocks.replace([evolve(clock, next_event_at=None) for clock in clocks])
            taken.append(due)

    threads = [Thread(target=tick) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [item_id for due in taken for item_id in due]
    assert len(ids) == len(set(ids)) == 20


def test_an_unknown_id_has_no_clocks(store: AnyStore) -> None:
    with store.view() as tx:
        assert list(tx.sla_clocks.of_items([WorkItemId(99)])) == []
        assert list(tx.sla_clocks.events_of(WorkItemId(99))) == []
