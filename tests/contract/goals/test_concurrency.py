"""Goals under concurrent requests: numbers, timers and quotas stay exact."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import pytest
from attrs import Factory, define

from tests.contract.factories import NOON, AnyStore, ManualClock
from workbell.adapters.rate_limits.memory import MemoryRateLimiter
from workbell.adapters.serialization.serializer import JsonSerializer
from workbell.domain.goals.goal import Category
from workbell.domain.goals.progress_entry import ProgressEntry
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.user import Tier, UserId
from workbell.domain.rate_limits.policy import Policies, Rate, RateLimited, RateLimitRequest, Route
from workbell.ports.goals.repository import EntryFilter, GoalFilter
from workbell.ports.rate_limits import RateLimitTx
from workbell.ports.store import Store
from workbell.services.goals.commands import GoalService, NewGoal
from workbell.services.goals.progress import NewProgressEntry, ProgressService
from workbell.services.goals.timers import TimerService
from workbell.services.rate_limits import RateLimiting

CROWD = 32
ANN = Actor(user_id=UserId(1), username="ann")
T = TypeVar("T")


def at_once(work: Callable[[int], T]) -> list[T]:
    """Return what a crowd of threads gets that all begin together."""
    barrier = Barrier(CROWD)

    def one(number: int) -> T:
        barrier.wait(10)
        return work(number)

    with ThreadPoolExecutor(CROWD) as pool:
        return list(pool.map(one, range(CROWD)))


@pytest.fixture
def goals(store: AnyStore, clock: ManualClock) -> GoalService:
    return GoalService(store=store, clock=clock, serializer=JsonSerializer())


def a_goal(goals: GoalService) -> int:
    new = NewGoal(goal_name="Swim", category=Category.MINOR)
    return goals.create(ANN, new).goal.number


def test_no_number_of_a_goal_is_given_twice(store: AnyStore, goals: GoalService) -> None:
    """Although every fourth goal is deleted at once."""

    def work(number: int) -> int:
        made = a_goal(goals)
        if number % 4 == 0:
            goals.delete(ANN, made)
        return made

    assert sorted(at_once(work)) == list(range(1, CROWD + 1))
    with store.view() as tx:
        assert tx.goals.count(ANN.user_id, GoalFilter()) == CROWD - CROWD // 4
        ledger = tx.ledgers.get(ANN.user_id)
        assert (ledger.last_goal, ledger.revision) == (CROWD, CROWD + CROWD // 4)


def test_no_entry_is_lost_or_numbered_twice(
    store: AnyStore, clock: ManualClock, goals: GoalService
) -> None:
    """Its goal has the sum of them all."""
    a_goal(goals)
    new = NewProgressEntry(progress="a length", logged_hours=NOON - NOON.replace(hour=11))
    progress = ProgressService(store=store, clock=clock, serializer=JsonSerializer())
    entries = at_once(lambda _: progress.log(ANN, 1, new))
    assert sorted(entry.number for entry in entries) == list(range(1, CROWD + 1))
    goal = goals.get(ANN, 1).goal
    assert (goal.logged_seconds, goal.last_entry) == (CROWD * 3600, CROWD)
    with store.view() as tx:
        assert tx.entries.days(ANN.user_id) == [(NOON.date(), CROWD * 3600)]


def test_one_timer_runs_after_many_parallel_starts(
    store: AnyStore, clock: ManualClock, goals: GoalService
) -> None:
    """Every other one has become an entry, or was the one that ran already."""
    for _ in range(4):
        a_goal(goals)
    timers = TimerService(store=store, clock=clock)
    started = at_once(lambda n: timers.start(ANN, n % 4 + 1))
    stopped: list[ProgressEntry] = [each.stopped for each in started if each.stopped is not None]
    with store.view() as tx:
        running = tx.timers.get(ANN.user_id)
        kept = tx.entries.find(ANN.user_id, EntryFilter(), limit=100)
    assert running is not None
    assert {entry.id for entry in kept} == {entry.id for entry in stopped}
    runs = [goals.get(ANN, n).timer_started_at for n in range(1, 5)]
    assert sum(each is not None for each in runs) == 1


@define
class Gate:
    """Limits as the defaults have them, over a store."""

    rate_limits: RateLimiting
    asked: RateLimitRequest = Factory(
        lambda: RateLimitRequest(
            address="", route=Route.PROGRESS, user_id=UserId(7), tier=Tier.FREE
        )
    )

    def lets(self) -> bool:
        """Whether one more request gets through."""
        try:
            self.rate_limits.admit(self.asked)
        except RateLimited:
            return False
        return True


@pytest.mark.parametrize(("used", "left"), [(9, 1), (0, 10)])
def test_parallel_requests_are_admitted_up_to_the_quota(
    store: Store[RateLimitTx], clock: ManualClock, used: int, left: int
) -> None:
    policies = Policies.of(
        anonymous=None,
        user=Rate(1000, 3600),
        login=None,
        ingest=None,
        free=Rate(10, 86_400),
        premium=Rate(1000, 86_400),
    )
    gate = Gate(
        RateLimiting(store=store, limiter=MemoryRateLimiter(), clock=clock, policies=policies)
    )
    assert all(gate.lets() for _ in range(used))
    assert sum(at_once(lambda _: gate.lets())) == left
    assert not gate.lets()
