"""Every list stops counting one above the cap, on every store."""

import pytest

from tests.contract.factories import ALICE, AnyStore, a_job, a_schedule, a_user, keep
from tests.contract.goals.test_repository import a_goal, an_entry
from workbell.domain import constraints
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.ports.goals.repository import EntryFilter, GoalFilter
from workbell.ports.identity.users import UserFilter
from workbell.ports.jobs.repository import JobFilter
from workbell.ports.schedules.views import ScheduleFilter


@pytest.fixture
def filled(store: AnyStore) -> AnyStore:
    """A store with five rows in every list."""
    keep(store, *[a_job()] * 5)
    with store.begin() as tx:
        for number in range(1, 6):
            tx.schedules.add(a_schedule())
            tx.users.add(a_user(f"user{number}"))
            goal = tx.goals.add(a_goal(number))
            tx.entries.add(an_entry(goal))
    return store


def counts(store: AnyStore) -> dict[str, int]:
    with store.view() as tx:
        return {
            "jobs": tx.jobs.count(ALL_OWNERS, JobFilter()),
            "schedules": tx.schedules.count(ALL_OWNERS, ScheduleFilter()),
            "schedules by name": tx.schedules.count(ALL_OWNERS, ScheduleFilter(name_contains="")),
            "schedules with a page": tx.schedules.list_page(ALL_OWNERS, ScheduleFilter(), limit=1)[1],
            "schedules beyond the last page": tx.schedules.list_page(
                ALL_OWNERS, ScheduleFilter(), offset=9
            )[1],
            "schedules by ids": tx.schedules.list_page(
                ALL_OWNERS, ScheduleFilter(ids=[s.schedule.id for s in tx.schedules.find(
                    ALL_OWNERS, ScheduleFilter())]), limit=1
            )[1],
            "users": tx.users.count(UserFilter()),
            "goals": tx.goals.count(ALICE, GoalFilter()),
            "entries": tx.entries.count(ALICE, EntryFilter()),
        }  # fmt: skip


def test_counting_stops_one_above_the_cap(
    filled: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(counts(filled).values()) == {5}
    monkeypatch.setattr(constraints, "COUNT_CAP", 2)
    assert set(counts(filled).values()) == {3}


def test_a_list_as_long_as_the_cap_is_counted_exactly(
    filled: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constraints, "COUNT_CAP", 5)
    assert set(counts(filled).values()) == {5}
