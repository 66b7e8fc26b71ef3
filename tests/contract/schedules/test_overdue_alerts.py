"""Overdue alerts of schedules."""

from attrs import evolve

from tests.contract.factories import (
    NOON,
    AnyStore,
    a_job,
    a_schedule,
    after,
    claim,
    ended,
    keep,
    write,
)
from tests.contract.schedules.test_repository import plan, see
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.jobs.attempt import Outcome
from workbell.domain.schedules.schedule import ScheduleId


def test_due_alerts_are_found_oldest_first(store: AnyStore) -> None:
    late, later, _, _ = plan(
        store,
        a_schedule(alert_after_seconds=60, alert_at=after(2)),
        a_schedule(alert_after_seconds=60, alert_at=after(1), next_at=None),
        a_schedule(alert_after_seconds=60, alert_at=after(9)),
        a_schedule(),
    )
    with store.view() as tx:
        assert [s.id for s in tx.schedules.due_alerts(after(2))] == [later.id, late.id]
        assert [s.id for s in tx.schedules.due_alerts(after(2), limit=1)] == [later.id]
        assert tx.schedules.due_alerts(NOON) == []


def test_an_alert_result_is_written_once(store: AnyStore) -> None:
    (before,) = plan(store, a_schedule(alert_after_seconds=60, alert_at=after(1)))
    judged = evolve(before, alert_at=after(61), overdue_since=after(1), name="not this")
    with store.begin() as tx:
        assert tx.schedules.save_alert(before, judged)
        assert not tx.schedules.save_alert(before, judged)
    assert see(store, before) == evolve(judged, name=before.name)
    with store.view() as tx:
        assert tx.statistics.jobs(ALL_OWNERS, after(2)).schedules_overdue == 1
    stale = evolve(judged, version=0)
    with store.begin() as tx:
        assert not tx.schedules.save_alert(stale, before)
        assert not tx.schedules.save_alert(evolve(judged, id=ScheduleId(before.id + 9)), before)


def test_the_newest_success_of_a_schedule_is_found(store: AnyStore) -> None:
    mine, other = plan(store, a_schedule(), a_schedule())
    for schedule in (mine, other):
        keep(store, *[a_job(schedule_id=schedule.id, tick=after(n), due_at=NOON) for n in range(3)])
    claims = {each.tick: each for each in claim(store) if each.schedule_id == mine.id}
    ends = (Outcome.SUCCEEDED, Outcome.SUCCEEDED, Outcome.FAILED)
    for n, outcome in enumerate(ends):
        write(store, ended(claims[after(n)], outcome, now=after(n + 1), permanent=True))
    with store.view() as tx:
        assert tx.schedules.last_success(mine.id, NOON) == after(2)
        assert tx.schedules.last_success(mine.id, after(2)) == after(2)
        assert tx.schedules.last_success(mine.id, after(3)) is None
        assert tx.schedules.last_success(other.id, NOON) is None
