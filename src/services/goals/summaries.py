"""Summaries of a user's logged time by week, month or span."""

from collections.abc import Callable, Sequence
from datetime import date

from attrs import frozen

from workbell.domain.goals.local_days import local_day
from workbell.domain.goals.summary import (
    Bucket,
    Comparison,
    DaySeconds,
    Granularity,
    HeatmapDay,
    Span,
    Streak,
    buckets,
    by_period,
    compare_with_previous,
    heatmap,
    make_span,
    streak,
    total,
)
from workbell.domain.identity.actor import Actor
from workbell.ports.cache import Cache
from workbell.ports.goals.repository import GoalsTx
from workbell.ports.store import Store
from workbell.ports.system import Clock


@frozen(kw_only=True)
class Overview:
    """A span of a user's time in buckets, with comparison and streak."""

    span: Span
    group: Granularity
    goal: int | None
    seconds: int
    buckets: Sequence[Bucket]
    before: Comparison
    streak: Streak
    heat: Sequence[HeatmapDay]


@frozen(kw_only=True)
class SummaryService:
    """
    Sums logged time; results are cached per revision of the user's ledger.

    Every change increments the revision in its own transaction. The revision
    is read before the entries, so a cached sum is never older than its key.
    Methods raise `NotFound` if the actor has no such goal.
    """

    store: Store[GoalsTx]
    cache: Cache
    clock: Clock
    cache_seconds: int = 300

    def by_period(
        self, actor: Actor, group: Granularity, goal: int | None = None
    ) -> Sequence[DaySeconds]:
        """Return the seconds of each week or month that has any, oldest first."""
        return self._cached_or_computed(actor, group, goal, lambda days: by_period(days, group))

    def for_range(
        self,
        actor: Actor,
        first: date | None = None,
        last: date | None = None,
        group: Granularity = Granularity.DAY,
        goal: int | None = None,
    ) -> Overview:
        """
        Return the overview of a span, by default the last 30 days.

        Streaks use all entries and count up to today in the actor's zone.

        Raises:
            Invalid: The span is too long, or ends before it starts.
        """
        today = local_day(self.clock.now(), actor.time_zone)
        span = make_span(first, last, today)
        days = self._cached_or_computed(actor, Granularity.DAY, goal, lambda days: days)
        return Overview(
            span=span,
            group=group,
            goal=goal,
            seconds=total(days, span.first, span.last),
            buckets=buckets(days, span, group),
            before=compare_with_previous(days, span),
            streak=streak(days, today),
            heat=heatmap(days, span.last),
        )

    def _cached_or_computed(
        self,
        actor: Actor,
        group: Granularity,
        number: int | None,
        compute: Callable[[Sequence[DaySeconds]], Sequence[DaySeconds]],
    ) -> Sequence[DaySeconds]:
        """Return sums from the cache, or compute and cache them."""
        owner = actor.user_id
        with self.store.view() as tx:
            revision = tx.ledgers.get(owner).revision
            key = f"{group}:{owner}:{revision}:{number or 'all'}"
            if (cached := self._cached(key)) is not None:
                return cached
            goal = None if number is None else tx.goals.get(owner, number).id
            sums = compute(tx.entries.days(owner, goal))
        if self.cache_seconds:
            value = [[day.isoformat(), seconds] for day, seconds in sums]
            self.cache.put(key, value, self.cache_seconds)
        return sums

    def _cached(self, key: str) -> Sequence[DaySeconds] | None:
        value = self.cache.get(key) if self.cache_seconds else None
        if value is None:
            return None
        return [(date.fromisoformat(day), seconds) for day, seconds in value]
