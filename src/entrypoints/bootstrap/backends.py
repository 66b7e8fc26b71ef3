"""Backends of a process: database, Redis, mail, files, rate limits."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from attrs import define

from workbell.adapters.cache.memory import MemoryCache
from workbell.adapters.cache.metered import MeteredCache
from workbell.adapters.change_counters.local import LocalChangeCounters, NotifyingWaker
from workbell.adapters.dramatiq.wakeups import LocalWakeups, Wakeups
from workbell.adapters.dramatiq.worker import JobWorker
from workbell.adapters.file_store import LocalFileStore
from workbell.adapters.mail.folder import FolderMailer
from workbell.adapters.mail.smtp import SmtpMailer, SmtpServer
from workbell.adapters.memory.store import MemoryStore
from workbell.adapters.observability.metrics import MetricsRegistry
from workbell.adapters.rate_limits.memory import MemoryRateLimiter
from workbell.adapters.sql.store import SqlStore, open_store
from workbell.adapters.system import AnchoredClock, SystemClock, UuidIds
from workbell.adapters.webhook_client.client import Urllib3WebhookClient
from workbell.domain.errors import Unavailable
from workbell.domain.rate_limits.policy import Policies
from workbell.entrypoints.bootstrap.metrics import make_registry
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


@define(eq=False, kw_only=True, repr=False)
class Backends:
    """
    Store, connections and files of a process, with its settings.

    `anchor` adjusts the clock and returns by how many seconds it moved, or None
    if it has leaped and that is not confirmed yet. `clock` is an `AnchoredClock`
    unless the caller has given another.
    `closing` releases the resources that have no other owner. `folder` is
    DATA_DIR, or a temporary folder if the store is in memory.
    """

    settings: Settings
    closing: ExitStack
    folder: Path
    store: AnyStore
    clock: Clock
    anchor: Callable[[], float | None]
    waker: "RedisWaker | None"
    changes: ChangeCounters
    ids: UuidIds
    files: LocalFileStore
    mailer: Mailer
    metrics: MetricsRegistry
    cache: MeteredCache
    rate_limits: RateLimiting
    webhook_client: Urllib3WebhookClient

    def close(self) -> None:
        """Close all connections and remove temporary files."""
        if isinstance(self.store, SqlStore):
            self.store.close()
        if self.waker is not None:
            self.waker.redis.close()
        self.closing.close()


def open_backends(settings: Settings, clock: Clock | None, echo: TextIO | None) -> Backends:
    """
    Open the backends; see `build` for `clock` and `echo`.

    Raises:
        Unavailable: The store cannot be opened, or DATA_DIR cannot be created.
    """
    closing = ExitStack()
    folder = settings.data_dir
    if settings.database_url.startswith("memory"):
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="workbell-")))
    store, clock, anchor = _open_store(settings, clock)
    waker = None if settings.redis_url is None else make_waker(settings.redis_url)
    changes = _make_change_counters(waker)
    store.waker = make_store_waker(changes, waker)
    ids, metrics = UuidIds(), make_registry()
    return Backends(
        settings=settings,
        closing=closing,
        folder=folder,
        store=store,
        clock=clock,
        anchor=anchor,
        waker=waker,
        changes=changes,
        ids=ids,
        files=LocalFileStore(folder / "artifacts", ids),
        mailer=_make_mailer(settings, folder, clock, ids, echo),
        metrics=metrics,
        cache=_make_cache(waker, clock, metrics),
        rate_limits=_make_rate_limiting(settings, store, clock, closing),
        webhook_client=_make_webhook_client(settings, closing),
    )


def _open_store(
    settings: Settings, clock: Clock | None
) -> tuple[AnyStore, Clock, Callable[[], float | None]]:
    if settings.database_url.startswith("memory"):
        if clock is not None:
            return MemoryStore(clock), clock, lambda: 0.0
        anchored = AnchoredClock(SystemClock().now)
        return MemoryStore(anchored), anchored, partial(_anchor, anchored)
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
        return store, clock, lambda: 0.0
    store.clock = anchored = AnchoredClock(store.time)
    return store, anchored, partial(_anchor, anchored)


def _anchor(clock: AnchoredClock) -> float | None:
    """Anchor a clock; return its correction in seconds, None for a refused leap."""
    moved = clock.anchor()
    if moved is None:
        return None if clock.has_leaped else 0.0
    return moved.total_seconds()


def _make_mailer(
    settings: Settings, folder: Path, clock: Clock, ids: Ids, echo: TextIO | None
) -> Mailer:
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


def _make_cache(waker: "RedisWaker | None", clock: Clock, metrics: MetricsRegistry) -> MeteredCache:
    if waker is None:
        return MeteredCache(MemoryCache(clock), metrics)
    from workbell.adapters.cache.redis import RedisCache

    return MeteredCache(RedisCache(waker.redis), metrics)


def _make_change_counters(waker: "RedisWaker | None") -> ChangeCounters:
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
        return LocalWakeups(
            queues=process.queues,
            threads=process.threads,
            drain=worker.drain,
            stop_own_job=worker.stop_job,
        )
    from workbell.adapters.dramatiq.redis_wakeups import RedisWakeups

    return RedisWakeups(
        url=url,
        waker=waker,
        queues=process.queues,
        threads=process.threads,
        drain=worker.drain,
        idle=worker.threads,
        worker_id=process.id,
        stop_own_job=worker.stop_job,
    )


def _make_rate_limiting(
    settings: Settings, store: AnyStore, clock: Clock, closing: ExitStack
) -> RateLimiting:
    return RateLimiting(
        store=store,
        limiter=_make_rate_limiter(settings.redis_url, closing),
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


def _make_rate_limiter(url: str | None, closing: ExitStack) -> RateLimiter:
    if url is None:
        return MemoryRateLimiter()
    from workbell.adapters.rate_limits.redis import RedisRateLimiter

    limiter = RedisRateLimiter.connect(url)
    closing.callback(limiter.close)
    return limiter


def _make_webhook_client(settings: Settings, closing: ExitStack) -> Urllib3WebhookClient:
    client = Urllib3WebhookClient(
        user_agent=f"Workbell/{version('workbell')}",
        allow_private=settings.allow_private_destinations,
        own_addresses=[
            (settings.host, port) for port in (settings.port, settings.metrics_port) if port
        ],
    )
    closing.callback(client.close)
    return client
