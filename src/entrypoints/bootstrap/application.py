"""The application: all services and connections of a process."""

import os
import socket
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING

from attrs import define, evolve
from sqlalchemy import Connection

from workbell.adapters.builtin_tasks.goal_reminders import RUN_TASK
from workbell.adapters.builtin_tasks.notification_tasks import SUMMARY_TASK
from workbell.adapters.builtin_tasks.registry import BuiltInTasksTx
from workbell.adapters.dramatiq.clock_guard import ClockGuard
from workbell.adapters.dramatiq.metrics import EngineMetrics
from workbell.adapters.dramatiq.runtime import Runtime
from workbell.adapters.dramatiq.worker import JobWorker
from workbell.adapters.dramatiq.worker_process import WorkerProcess
from workbell.adapters.logs import get_logger
from workbell.adapters.serialization.serializer import JsonSerializer
from workbell.adapters.sql.schema.upgrade import SchemaMigration, outdated
from workbell.adapters.sql.store import SqlStore
from workbell.adapters.system import AnchoredClock
from workbell.domain.cron.time_zones import tzdata_version
from workbell.domain.errors import Invalid, Unavailable
from workbell.domain.jobs.claim_limits import default_owner_threads
from workbell.domain.jobs.task import Tasks
from workbell.domain.notifications.daily_time import daily_at, quarter_hours
from workbell.entrypoints.bootstrap.audit import AuditServices
from workbell.entrypoints.bootstrap.backends import Backends, make_store_waker, make_wakeups
from workbell.entrypoints.bootstrap.delivery import DeliveryServices
from workbell.entrypoints.bootstrap.notifications import NotificationServices
from workbell.entrypoints.bootstrap.projects import ProjectServices
from workbell.ports.serialization import Serializer
from workbell.services.audit.entries import AuditBurstFilter
from workbell.services.goals.commands import GoalService
from workbell.services.goals.progress import ProgressService
from workbell.services.goals.reminders import ReminderService
from workbell.services.goals.summaries import SummaryService
from workbell.services.goals.timers import TimerService
from workbell.services.identity.api_keys import ApiKeyService
from workbell.services.identity.login import LoginService
from workbell.services.identity.passwords import PasswordService
from workbell.services.identity.profiles import ProfileService
from workbell.services.identity.registration import RegistrationService
from workbell.services.identity.second_factor import SecondFactorService
from workbell.services.identity.sessions import SessionService
from workbell.services.identity.users import UserAdministration
from workbell.services.jobs.commands import JobService
from workbell.services.jobs.execution import ExecutionService
from workbell.services.jobs.parking import ParkingService
from workbell.services.jobs.retention import RetentionService
from workbell.services.jobs.task_definitions import TaskDefinitionService
from workbell.services.schedules.built_in import BuiltInSchedules
from workbell.services.schedules.clock_moves import ClockMoves
from workbell.services.schedules.commands import ScheduleService
from workbell.services.schedules.overdue_alerts import OverdueAlerts
from workbell.services.schedules.parameter_check import ParameterCheck
from workbell.services.schedules.ticker import Ticker

if TYPE_CHECKING:  # Redis and Falcon are imported where they are used
    from workbell.adapters.http.app import AppDependencies

log = get_logger()

FIELDS = JsonSerializer("is not a known field")
"""Serializer of request bodies, with its message for unknown fields."""


@define(eq=False, kw_only=True, repr=False)
class Application(Backends):
    """All services and connections of a process; see `build`."""

    tasks: Tasks
    serializer: Serializer
    definitions: TaskDefinitionService
    parameter_check: ParameterCheck
    schedules: ScheduleService
    jobs: JobService
    goals: GoalService
    engine_metrics: EngineMetrics
    summaries: SummaryService
    reminders: ReminderService
    notices: NotificationServices
    ticker: Ticker
    execution: ExecutionService[BuiltInTasksTx]
    retention: RetentionService
    identity: RegistrationService
    login: LoginService
    users: UserAdministration
    sessions: SessionService
    audit: AuditServices
    delivery: DeliveryServices
    projects: ProjectServices
    queues: Sequence[str]

    def migrate_and_register(self) -> SchemaMigration | None:
        """
        Migrate the schema to this release and register the tasks.

        Returns the migration, or None if the schema was current.

        Raises:
            Unavailable: The database is unreachable, or its schema is newer.
        """
        migration = self.store.migrate() if isinstance(self.store, SqlStore) else None
        self._register_tasks()
        return migration

    def verify_and_register(self) -> None:
        """
        Check that the schema fits this release, and register the tasks.

        Raises:
            Unavailable: The database is unreachable, or has another schema.
        """
        if isinstance(self.store, SqlStore):
            self.store.check_schema()
        self._register_tasks()

    def _register_tasks(self) -> None:
        self.parameter_check.pause_incompatible(self.definitions.synchronise())
        self.ticker.recompute_after_tzdata_change(tzdata_version())

    def ensure_reminder_schedules(self) -> None:
        """Insert or update the built-in schedules of goal reminders and daily summaries."""
        built_in = BuiltInSchedules(store=self.store, clock=self.clock)
        daily = daily_at(self.settings.reminder_time, self.settings.reminder_time_zone)
        built_in.ensure("Goal reminders", RUN_TASK, daily, {"own_times": False})
        built_in.ensure(
            "Goal reminders at people's own times", RUN_TASK, quarter_hours(), {"own_times": True}
        )
        built_in.ensure("Daily summaries", SUMMARY_TASK, quarter_hours(), {})

    def ensure_administrator(self) -> str | None:
        """Create the administrator if there is none; return a generated password."""
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
        """Build the background threads of this process; they are not started."""
        worker = self.worker(threads, log_attempts=log_attempts) if threads else None
        if worker is not None:
            self.store.waker = make_store_waker(self.changes, worker.wakeups)
        return Runtime(
            execution=self.execution,
            clock=self.clock,
            lease=timedelta(seconds=self.settings.lease_seconds),
            metrics=self.engine_metrics,
            worker=worker,
            wakeups=None if worker is None else worker.wakeups,
            waker=self.waker,
            ticker=self.ticker if scheduler else None,
            sealer=self.audit.sealer if scheduler else None,
            sla_ticker=self.projects.sla_ticker if scheduler else None,
            retention=self.retention if scheduler else None,
            parking=ParkingService(
                store=self.store,
                clock=self.clock,
                lease=timedelta(seconds=self.settings.lease_seconds),
                park_after=timedelta(seconds=self.settings.park_seconds),
            ),
            cancellations=self.schedules.cancellations,
            log_attempts=log_attempts,
            overdue_alerts=OverdueAlerts(
                store=self.store, clock=self.clock, reporter=self.execution.reporter
            ),
            anchor=self.anchor,
            max_written_off=self.settings.max_written_off,
            clock_guard=self._clock_guard() if scheduler else None,
            on_stuck=on_stuck,
        )

    def _clock_guard(self) -> ClockGuard | None:
        """Return the guard of the scheduler; None with a clock that the caller moves."""
        if not isinstance(self.clock, AnchoredClock):
            return None
        lease = timedelta(seconds=self.settings.lease_seconds)
        moves = ClockMoves(store=self.store, clock=self.clock, lease=lease)
        return ClockGuard(moves, self.engine_metrics, self.anchor)

    def worker(self, threads: int, *, log_attempts: bool = False) -> JobWorker:
        """Build a worker with the wake-ups that drive it."""
        settings = self.settings
        owner_threads = settings.owner_threads or default_owner_threads(threads)
        worker = JobWorker(
            execution=self.execution,
            clock=self.clock,
            metrics=self.engine_metrics,
            process=WorkerProcess(
                id=f"{socket.gethostname()}:{os.getpid()}:{self.ids.new()[:8]}",
                host=socket.gethostname(),
                pid=os.getpid(),
                started_at=self.clock.now(),
                threads=threads,
                queues=self.queues,
            ),
            log_attempts=log_attempts,
            owner_threads=owner_threads if owner_threads < threads else None,
            owner_running=settings.owner_running or None,
            cancel_grace=settings.cancel_grace_seconds,
            cancel_poll=settings.cancel_poll_seconds,
        )
        worker.wakeups = make_wakeups(settings.redis_url, self.waker, worker)
        return worker

    def app_dependencies(self, runtime: Runtime | None = None) -> "AppDependencies":
        """Build the dependencies of the HTTP API; its health reports on `runtime`."""
        from workbell.adapters.http.app import AppDependencies
        from workbell.adapters.http.projects.api import ProjectsApi
        from workbell.adapters.http.web.mapping import copy_fields
        from workbell.adapters.http.web.middleware import HttpSettings

        passwords = PasswordService(
            codes=self.identity.codes,
            mailer=self.identity.background_mailer,
            actor_cache=self.login.actor_cache,
            burst_filter=AuditBurstFilter(),
            rate_limits=self.rate_limits,
        )
        return copy_fields(
            AppDependencies,
            self,
            passwords=passwords,
            profiles=ProfileService(passwords=passwords),
            api_keys=ApiKeyService(
                store=self.store,
                clock=self.clock,
                ids=self.ids,
                actor_cache=self.login.actor_cache,
            ),
            second_factor=SecondFactorService(
                factor_check=self.login.factor_check, passwords=passwords, ids=self.ids
            ),
            progress=ProgressService(store=self.store, clock=self.clock, serializer=FIELDS),
            timers=TimerService(store=self.store, clock=self.clock),
            accounts=self.delivery.accounts,
            members=self.delivery.members,
            destinations=self.delivery.destinations,
            account_users=self.delivery.account_users,
            publishing=self.delivery.publishing,
            replays=self.delivery.replays,
            delivery_log=self.delivery.delivery_log,
            audit_log=self.audit.log,
            audit_verifier=self.audit.verifier,
            notifications=self.notices.inbox,
            preferences=self.notices.preferences,
            projects=copy_fields(ProjectsApi, self.projects),
            serializer=FIELDS,
            database=self.store,
            cache=self.check_cache,
            outdated=self.outdated_revisions,
            health_problems=tuple if runtime is None else runtime.health_problems,
            worker_lease=timedelta(seconds=self.settings.lease_seconds),
            settings=copy_fields(
                HttpSettings,
                self.settings,
                require_verified_email=str(self.settings.require_verified_email),
                version=version("workbell"),
            ),
        )

    def jobs_in_transaction(self, connection: Connection) -> JobService:
        """
        Return a job service that works in the caller's transaction.

        Raises:
            Invalid: The store is in memory, or the connection is to another
                database.
        """
        if not isinstance(self.store, SqlStore):
            message = "connection needs a SQL database, not memory://"
            raise Invalid.field("connection", message)
        return evolve(self.jobs, store=self.store.in_transaction_of(connection))

    @property
    def outdated_revisions(self) -> Collection[str]:
        """Schema revisions that this release cannot work with."""
        return outdated() if isinstance(self.store, SqlStore) else ()

    def check_cache(self) -> None:
        """
        Ping Redis, if it is used.

        Raises:
            Unavailable: Redis does not answer.
        """
        if self.waker is not None:
            self.waker.redis.check()

    def warn_if_redis_unavailable(self) -> None:
        """Log a warning if Redis does not answer; jobs then start later."""
        try:
            self.check_cache()
        except Unavailable as error:
            log.warning("redis_unavailable", reason=error.detail)
