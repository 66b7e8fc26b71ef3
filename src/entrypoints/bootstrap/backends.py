"""Factories of backends: database, Redis, mail."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from workbell.adapters.cache.memory import MemoryCache
from workbell.adapters.cache.metered import MeteredCache
from workbell.adapters.change_counters.local import LocalChangeCounters, NotifyingWaker
from workbell.adapters.dramatiq.wakeups import LocalWakeups, Wakeups
from workbell.adapters.dramatiq.worker import JobWorker
from workbell.adapters.mail.folder import FolderMailer
from workbell.adapters.mail.smtp import SmtpMailer, SmtpServer
from workbell.adapters.memory.store import MemoryStore
from workbell.adapters.observability.metrics import MetricsRegistry
from workbell.adapters.rate_limits.memory import MemoryRateLimiter
from workbell.adapters.sql.store import SqlStore, open_store
from workbell.adapters.system import AnchoredClock, SystemClock
from workbell.domain.errors import Unavailable
from workbell.domain.rate_limits.policy import Policies
from workbell.entrypoints.config.settings import Settings
from workbell.ports.change_counters import ChangeCounters
from workbell.ports.jobs.repository import Waker
from workbell.ports.mail import Mailer
from workbell.ports.rate_limits import RateLimiter
from workbell.ports.system import Clock, Ids
from workbell.services.rate_limits import RateLimiting

if TYPE_CHECKING:  # Redis is imported where it is used
    from workbell.adapters.dramatiq.redis_wakeups import RedisWaker

AnyStore = MemoryStore | SqlStore


def make_store(
    settings: Settings, clock: Clock | None
) -> tuple[AnyStore, Clock, Callable[[], float]]:
    """
    Return the store, its clock, and a function that adjusts the clock.

    That function returns by how many seconds it moved the clock.

    Raises:
        Unavailable: The store cannot be opened, or DATA_DIR cannot be created.
    """
    if settings.database_url.startswith("memory"):
        clock = clock or SystemClock()
        return MemoryStore(clock), clock, _no_drift
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        reason = f"The folder {settings.data_dir} cannot be created: {error.strerror}."
        raise Unavailable(reason) from error
    store = open_store(
        settings.database_url,
        clock or SystemClock(),
        pool_size=settings.database_pool_size,
        schema=settings.database_schema,
    )
    if clock is not None:
        return store, clock, _no_drift
    store.clock = anchored = AnchoredClock(store.time)

    def anchor() -> float:
        moved = anchored.anchor()
        return 0.0 if moved is None else moved.total_seconds()

    return store, anchored, anchor


def _no_drift() -> float:
    return 0.0


def make_mailer(
    settings: Settings, folder: Path, clock: Clock, ids: Ids, echo: TextIO | None
) -> Mailer:
    """Return an SMTP mailer, or one that writes to files and to `echo`."""
    if settings.smtp_url is not None:
        server = SmtpServer.parse(settings.smtp_url)
        return SmtpMailer(server=server, sender=settings.mail_from, clock=clock, ids=ids)
    return FolderMailer(
        folder=folder / "mail", sender=settings.mail_from, clock=clock, ids=ids, echo=echo
    )


def make_waker(url: str) -> "RedisWaker":
    """Return the waker of workers in other processes, by Redis."""
    from workbell.adapters.dramatiq.redis_wakeups import RedisWaker
    from workbell.adapters.redis_client import OptionalRedis

    return RedisWaker(OptionalRedis.connect(url, "wake-ups"))


def make_cache(waker: "RedisWaker | None", clock: Clock, metrics: MetricsRegistry) -> MeteredCache:
    """Return the cache: in Redis if there is a waker, else in this process."""
    if waker is None:
        return MeteredCache(MemoryCache(clock), metrics)
    from workbell.adapters.cache.redis import RedisCache

    return MeteredCache(RedisCache(waker.redis), metrics)


def make_change_counters(waker: "RedisWaker | None") -> ChangeCounters:
    """Return the change counters: in Redis, or in this process without it."""
    if waker is None:
        return LocalChangeCounters()
    from workbell.adapters.change_counters.redis import RedisChangeCounters

    return RedisChangeCounters(waker.redis)


def make_store_waker(changes: ChangeCounters, waker: Waker | None) -> Waker | None:
    """Return the waker that the store calls after a commit."""
    # a wake-up by Redis increments the change counters itself
    if isinstance(changes, LocalChangeCounters):
        return NotifyingWaker(changes, waker)
    return waker


def make_wakeups(url: str | None, waker: "RedisWaker | None", worker: JobWorker) -> Wakeups:
    """Return the wake-ups of a worker: by Redis, else within this process."""
    process = worker.process
    if url is None or waker is None:
        return LocalWakeups(queues=process.queues, threads=process.threads, drain=worker.drain)
    from workbell.adapters.dramatiq.redis_wakeups import RedisWakeups

    return RedisWakeups(
        url=url,
        waker=waker,
        queues=process.queues,
        threads=process.threads,
        drain=worker.drain,
        idle=worker.threads,
    )


def make_rate_limiting(
    settings: Settings, store: AnyStore, clock: Clock, closing: ExitStack
) -> RateLimiting:
    """Return the rate limits, shared through Redis if there is one."""
    url = settings.redis_url
    return RateLimiting(
        store=store,
        limiter=MemoryRateLimiter() if url is None else _redis_limiter(url, closing),
        clock=clock,
        policies=Policies.of(
            anonymous=settings.rate_limit_anon,
            user=settings.rate_limit_user,
            login=settings.rate_limit_login,
            ingest=settings.rate_limit_ingest,
            free=settings.rate_limit_progress_free,
            premium=settings.rate_limit_progress_premium,
        ),
    )


def _redis_limiter(url: str, closing: ExitStack) -> RateLimiter:
    from workbell.adapters.rate_limits.redis import RedisRateLimiter

    limiter = RedisRateLimiter.connect(url)
    closing.callback(limiter.close)
    return limiter
