"""The house: everything that a process may need, put together."""

import os
import socket
import tempfile
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from attrs import define, evolve, field
from sqlalchemy import Connection

from workbell.adapters.cache.metered import CountingCache
from workbell.adapters.change_counters.local import Announcer
from workbell.adapters.dramatiq.runtime import Runtime
from workbell.adapters.dramatiq.wakeups import Wakeups
from workbell.adapters.dramatiq.worker import JobWorker
from workbell.adapters.file_store import FolderFiles
from workbell.adapters.serialization.serializer import JsonShapes
from workbell.adapters.sql.schema.upgrade import SchemaMigration, earlier
from workbell.adapters.sql.store import SqlStore
from workbell.adapters.system import UuidIds
from workbell.domain.cron.time_zones import tzdata_version
from workbell.domain.errors import Invalid, Unavailable
from workbell.domain.jobs.task import Tasks
from workbell.entrypoints.bootstrap.backends import (
    AnyStore,
    wakeups_of,
)
from workbell.entrypoints.bootstrap.goals import keep_schedules
from workbell.entrypoints.config.settings import Settings
from workbell.ports.change_counters import Changes
from workbell.ports.mail import Mailer
from workbell.ports.system import Clock
from workbell.services.goals.goal_services import GoalKeeping
from workbell.services.goals.reminders import Reminding
from workbell.services.goals.summaries import Summaries
from workbell.services.identity.login import SigningIn
from workbell.services.identity.registration import Identity
from workbell.services.jobs.commands import JobCommands
from workbell.services.jobs.execution import Execution
from workbell.services.jobs.retention import Housekeeping
from workbell.services.jobs.task_definitions import Definitions
from workbell.services.rate_limits import Throttling
from workbell.services.schedules.commands import Scheduling
from workbell.services.schedules.overdue_alerts import Expectations
from workbell.services.schedules.ticker import Ticking

if TYPE_CHECKING:  # Redis is imported where it is used
    from workbell.adapters.dramatiq.redis_wakeups import RedisWaker

log = structlog.get_logger()


@define(eq=False, kw_only=True, repr=False)
class House:
    """Everything that a process may need, built once and put together."""

    settings: Settings
    clock: Clock
    store: AnyStore
    tasks: Tasks
    shapes: JsonShapes
    ids: UuidIds
    files: FolderFiles
    mailer: Mailer
    definitions: Definitions
    scheduling: Scheduling
    jobs: JobCommands
    goals: GoalKeeping
    cache: CountingCache
    summaries: Summaries
    reminding: Reminding
    ticking: Ticking
    execution: Execution
    housekeeping: Housekeeping
    identity: Identity
    signing_in: SigningIn
    throttling: Throttling
    queues: Sequence[str]
    anchor: Callable[[], float]
    changes: Changes
    waker: "RedisWaker | None" = None
    _scratch: tempfile.TemporaryDirectory[str] | None = field(default=None, alias="scratch")
    _closing: ExitStack = field(factory=ExitStack, alias="closing")

    def prepare(self) -> SchemaMigration | None:
        """
        Bring the store up to this release, and the definitions into it.

        Returns how the schema has changed, if it has.

        Raises:
            Unavailable: The store does not answer, or its schema is newer.
        """
        migration = self.store.migrate() if isinstance(self.store, SqlStore) else None
        self._introduce()
        return migration

    def join(self) -> None:
        """
        Bring the definitions into a store that is as this release needs it.

        Raises:
            Unavailable: The store does not answer, or has another schema.
        """
        if isinstance(self.store, SqlStore):
            self.store.check_schema()
        self._introduce()

    def _introduce(self) -> None:
        self.definitions.synchronise()
        self.ticking.follow_time_zones(tzdata_version())

    def keep_schedules(self) -> None:
        """Have the built-in schedules, by the rules of the settings."""
        keep_schedules(self.settings, self.store, self.clock)

    def first_administrator(self) -> str | None:
        """Create the administrator of the settings where there is none; return a made password."""
        return self.identity.ensure_administrator(
            self.settings.admin_username, self.settings.admin_email, self.settings.admin_password
        )

    def runtime(
        self,
        *,
        threads: int,
        scheduler: bool = True,
        log_attempts: bool = False,
        on_stuck: Callable[[], None] = lambda: None,
    ) -> Runtime:
        """Return the engine's threads for this process, not yet started."""
        worker, wakeups = (
            self.worker(threads, log_attempts=log_attempts) if threads else (None, None)
        )
        if wakeups is not None:
            self.store.waker = Announcer(self.changes, wakeups)
        return Runtime(
            execution=self.execution,
            clock=self.clock,
            lease=timedelta(seconds=self.settings.lease_seconds),
            worker=worker,
            wakeups=wakeups,
            waker=self.waker,
            ticking=self.ticking if scheduler else None,
            housekeeping=self.housekeeping if scheduler else None,
            expectations=Expectations(store=self.store, clock=self.clock),
            anchor=self.anchor,
            on_stuck=on_stuck,
        )

    def worker(self, threads: int, *, log_attempts: bool = False) -> tuple[JobWorker, Wakeups]:
        """Return a worker and the wake-ups that drive it."""
        worker = JobWorker(
            execution=self.execution,
            clock=self.clock,
            id=f"{socket.gethostname()}:{os.getpid()}:{self.ids.new()[:8]}",
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=self.queues,
            threads=threads,
            log_attempts=log_attempts,
        )
        worker.wakeups = wakeups_of(self.settings.redis_url, self.waker, worker)
        return worker, worker.wakeups

    def jobs_within(self, connection: Connection) -> JobCommands:
        """
        Return job commands that only execute on a connection of the caller's.

        Raises:
            Invalid: The store is kept in memory; it has no connections.
        """
        if not isinstance(self.store, SqlStore):
            raise Invalid("Only a database can be joined by a connection.")
        return evolve(self.jobs, store=self.store.within(connection))

    @property
    def outdated(self) -> Collection[str]:
        """The revisions of the store's tables that this release cannot work with."""
        return earlier() if isinstance(self.store, SqlStore) else ()

    def check_cache(self) -> None:
        """
        Do the smallest round trip to the cache; one within the process always answers.

        Raises:
            Unavailable: Redis does not answer.
        """
        if self.waker is not None:
            self.waker.link.check()

    def warn_of_absent_cache(self) -> None:
        """Have the log say if Redis does not answer: work goes on without it, slower."""
        try:
            self.check_cache()
        except Unavailable as error:
            log.warning("redis is away", detail=error.detail)

    def close(self) -> None:
        """Close every connection, and remove what was only for this run."""
        if isinstance(self.store, SqlStore):
            self.store.close()
        if self.waker is not None:
            self.waker.link.close()
        self._closing.close()
        if self._scratch is not None:
            self._scratch.cleanup()
