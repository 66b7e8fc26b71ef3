"""Summaries: never stale, cached or not."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.factories import NOON, ManualClock
from workbell.adapters.memory.store import MemoryStore
from workbell.domain.errors import Invalid, NotFound
from workbell.domain.goals.goal import Category, Goal
from workbell.domain.goals.progress_entry import ProgressEntry
from workbell.domain.goals.summary import Granularity, Span, Streak
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.user import UserId
from workbell.services.goals.summaries import SummaryService

pytestmark = pytest.mark.unit

ANN, BOB = Actor(user_id=UserId(1)), Actor(user_id=UserId(2))


@define
class RecordingCache:
    """A cache that records its reads and evicts nothing."""

    values: dict[str, Any] = field(factory=dict)
    reads: list[str] = field(factory=list)

    def get(self, key: str) -> Any | None:
        self.reads.append(key)
        return self.values.get(key)

    def put(self, key: str, value: Any, seconds: int) -> None:
        assert seconds == 300
        self.values[key] = value


@define
class SummaryFixture:
    """Goals, entries and summaries of two users."""

    clock: ManualClock = field(factory=ManualClock)
    cache: RecordingCache = field(factory=RecordingCache)
    store: MemoryStore = field(init=False)
    summaries: SummaryService = field(init=False)
    uncached: SummaryService = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.store = MemoryStore(self.clock)
        self.summaries = SummaryService(store=self.store, cache=self.cache, clock=self.clock)
        self.uncached = SummaryService(
            store=self.store, cache=self.cache, clock=self.clock, cache_seconds=0
        )
        for actor in (ANN, BOB):
            for number in (1, 2):
                with self.store.begin() as tx:
                    ledger = tx.ledgers.lock(actor.user_id)
                    tx.ledgers.replace(ledger.numbered())
                    tx.goals.add(
                        Goal(
                            owner=actor.user_id,
                            number=number,
                            name="goal",
                            category=Category.MINOR,
                            active_at=NOON,
                            created_at=NOON,
                            updated_at=NOON,
                        )
                    )

    def log(self, day: date, seconds: int, actor: Actor = ANN, goal: int = 1) -> None:
        """Log time and increment the revision in one transaction."""
        at = datetime(day.year, day.month, day.day, 12, tzinfo=NOON.tzinfo)
        with self.store.begin() as tx:
            tx.ledgers.replace(tx.ledgers.lock(actor.user_id).changed())
            stored = tx.goals.get(actor.user_id, goal)
            tx.entries.add(
                ProgressEntry(
                    owner=actor.user_id,
                    goal_id=stored.id,
                    goal_number=goal,
                    number=tx.ledgers.get(actor.user_id).revision,
                    logged_seconds=seconds,
                    total_seconds=seconds,
                    zone="UTC",
                    local_day=day,
                    created_at=at,
                    updated_at=at,
                )
            )


@pytest.fixture
def env() -> SummaryFixture:
    return SummaryFixture()


def test_weeks_and_months_are_summed_for_all_goals_or_one(env: SummaryFixture) -> None:
    env.log(date(2029, 12, 31), 3600)
    env.log(date(2030, 1, 1), 1800, goal=2)
    env.log(date(2030, 1, 1), 99, actor=BOB)
    assert env.summaries.by_period(ANN, Granularity.WEEK) == [(date(2029, 12, 31), 5400)]
    assert env.summaries.by_period(ANN, Granularity.MONTH) == [
        (date(2029, 12, 1), 3600),
        (date(2030, 1, 1), 1800),
    ]
    assert env.summaries.by_period(ANN, Granularity.WEEK, 2) == [(date(2029, 12, 31), 1800)]
    with pytest.raises(NotFound):
        env.summaries.by_period(ANN, Granularity.WEEK, 3)


def test_unchanged_sums_are_read_from_the_cache(env: SummaryFixture) -> None:
    env.log(date(2030, 1, 1), 60)
    first = env.summaries.by_period(ANN, Granularity.WEEK)
    assert env.cache.values == {"week:1:3:all": [["2029-12-31", 60]]}
    assert env.summaries.by_period(ANN, Granularity.WEEK) == first
    assert env.cache.reads == ["week:1:3:all"] * 2
    assert env.uncached.by_period(ANN, Granularity.WEEK) == first
    assert len(env.cache.reads) == 2


LOGGED = st.tuples(st.integers(0, 60), st.integers(1, 9_000), st.integers(1, 2), st.booleans())


@settings(max_examples=60, deadline=None)
@given(st.lists(LOGGED, min_size=1, max_size=8))
def test_a_cached_sum_is_never_stale(logged: list[tuple[int, int, int, bool]]) -> None:
    """For any order of reads and writes of two users."""
    env = SummaryFixture()
    for days, seconds, goal, is_ann in logged:
        env.log(NOON.date() - timedelta(days=days), seconds, ANN if is_ann else BOB, goal)
        for actor in (ANN, BOB):
            for number in (None, 1, 2):
                for group in (Granularity.WEEK, Granularity.MONTH):
                    shown = env.summaries.by_period(actor, group, number)
                    assert shown == env.uncached.by_period(actor, group, number)
                assert env.summaries.for_range(actor, goal=number) == env.uncached.for_range(
                    actor, goal=number
                )


def test_a_span_is_the_last_thirty_days_by_default(env: SummaryFixture) -> None:
    env.log(date(2030, 1, 1), 3600)
    env.log(date(2029, 12, 31), 1800)
    env.log(date(2029, 11, 30), 60)
    found = env.summaries.for_range(ANN)
    assert found.span == Span(date(2029, 12, 3), date(2030, 1, 1))
    assert (found.seconds, len(found.buckets), found.before.seconds) == (5400, 30, 60)
    assert found.streak == Streak(2, 2)
    assert [(heat.day, heat.level) for heat in found.heat][-1] == (date(2030, 1, 1), 4)
    late = env.summaries.for_range(ANN, first=date(2030, 6, 1), group=Granularity.MONTH)
    assert late.span == Span(date(2030, 6, 1), date(2030, 6, 1))
    with pytest.raises(Invalid, match="last"):
        env.summaries.for_range(ANN, first=date(2020, 1, 1))


def test_today_is_the_local_day_of_the_user(env: SummaryFixture) -> None:
    env.clock.at = NOON + timedelta(hours=11)
    there = Actor(user_id=ANN.user_id, time_zone="Asia/Kolkata")
    assert env.summaries.for_range(there).span.last == date(2030, 1, 2)
