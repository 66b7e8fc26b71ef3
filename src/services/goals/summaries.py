"""Summaries: a person's time by week, by month and over any span."""

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
    """A span of a person's time, cut into buckets and compared."""

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
    Sum up what was logged; what has not changed is taken from the cache.

    A key names the revision of the person's book, which every change of
    theirs raises in its own transaction. It is read before the entries are,
    so what is kept under it is never older than what it stands for.
    """

    store: Store[GoalsTx]
    cache: Cache
    clock: Clock
    cache_seconds: int = 300

    def by_period(
        self, actor: Actor, group: Granularity, goal: int | None = None
    ) -> Sequence[DaySeconds]:
        """
        Return the seconds of each week or month that has any, oldest first.

        Raises:
            NotFound: The actor has no goal of this number.
        """
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
        Return a span; it ends today and has 30 days unless asked otherwise.

        Streaks go over all that was logged, and count up to today in the
        actor's zone.

        Raises:
            Invalid: The span is too long, or the wrong way round.
            NotFound: The actor has no goal of this number.
        """
        today = local_day(self.clock.now(), actor.time_zone)
        span = make_span(first, last, today)
        days = self._cached_or_computed(actor, Granularity.DAY, goal, lambda found: found)
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
        made: Callable[[Sequence[DaySeconds]], Sequence[DaySeconds]],
    ) -> Sequence[DaySeconds]:
        """Return sums from the cache, or make and keep them."""
        owner = actor.user_id
        with self.store.view() as tx:
            revision = tx.ledgers.get(owner).revision
            key = f"{group}:{owner}:{revision}:{number or 'all'}"
            if (text := self._cached(key)) is not None:
                return text
            goal = None if number is None else tx.goals.get(owner, number).id
            found = made(tx.entries.days(owner, goal))
        if self.cache_seconds:
            kept = [[day.isoformat(), seconds] for day, seconds in found]
            self.cache.put(key, kept, self.cache_seconds)
        return found

    def _cached(self, key: str) -> Sequence[DaySeconds] | None:
        found = self.cache.get(key) if self.cache_seconds else None
        if found is None:
            return None
        return [(date.fromisoformat(day), seconds) for day, seconds in found]
