"""Summaries, their cache, and reminders, as the settings want them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbell.adapters.builtin_tasks.goal_reminders import RUN_TASK
from workbell.adapters.cache.memory import MemoryCache
from workbell.adapters.cache.metered import CountingCache
from workbell.domain.goals.reminder import daily_at, every_step
from workbell.domain.notifications.unsubscribe import UnsubscribeTokens
from workbell.entrypoints.bootstrap.backends import AnyStore
from workbell.entrypoints.config.settings import Settings
from workbell.ports.cache import Cache
from workbell.ports.system import Clock
from workbell.services.goals.reminders import Reminding
from workbell.services.goals.summaries import Summaries
from workbell.services.schedules.built_in import BuiltInSchedules

if TYPE_CHECKING:  # Redis is imported where it is used
    from workbell.adapters.dramatiq.redis_wakeups import RedisWaker


def cache_of(waker: "RedisWaker | None", clock: Clock) -> CountingCache:
    """Return the cache: over the waker's link to Redis where there is one, else in this process."""
    return CountingCache(MemoryCache(clock) if waker is None else _redis_cache(waker))


def _redis_cache(waker: "RedisWaker") -> Cache:
    from workbell.adapters.cache.redis import RedisCache

    return RedisCache(waker.link)


def summaries_of(settings: Settings, store: AnyStore, clock: Clock, cache: Cache) -> Summaries:
    """Return the summaries, kept for as long as the settings say."""
    return Summaries(
        store=store, cache=cache, clock=clock, cache_seconds=settings.summary_cache_seconds
    )


def reminding_of(
    settings: Settings, store: AnyStore, clock: Clock, keys: Sequence[bytes]
) -> Reminding:
    """Return what finds out who is to be reminded."""
    return Reminding(
        store=store,
        clock=clock,
        tokens=UnsubscribeTokens(keys),
        public_url=settings.public_url.rstrip("/"),
        inactive_days=settings.inactive_days,
    )


def keep_schedules(settings: Settings, store: AnyStore, clock: Clock) -> None:
    """
    Have the schedules on which reminders go out.

    Raises:
        Unavailable: The store does not answer.
    """
    built_in = BuiltInSchedules(store=store, clock=clock)
    daily = daily_at(settings.reminder_time, settings.reminder_time_zone)
    built_in.ensure("Goal reminders", RUN_TASK, daily, {"own_times": False})
    built_in.ensure(
        "Goal reminders at people's own times", RUN_TASK, every_step(), {"own_times": True}
    )
