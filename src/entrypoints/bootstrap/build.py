"""Composition root: `build` creates an application from the settings."""

import importlib
import os
import secrets
import sys
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import TextIO

from attrs import evolve

from workbell.adapters.builtin_tasks.registry import BuiltInTasksTx, built_in_tasks
from workbell.adapters.child_processes.pool import ChildPool
from workbell.adapters.crypto.jwt_tokens import JwtTokens
from workbell.adapters.crypto.password_hasher import Argon2Hasher
from workbell.adapters.crypto.totp import PyotpTotp
from workbell.adapters.dramatiq.metrics import EngineMetrics
from workbell.adapters.mail.background import BackgroundMailer
from workbell.adapters.mail.folder import FolderMailer
from workbell.adapters.observability.quarantine import QuarantineLog
from workbell.adapters.serialization.serializer import JsonSerializer
from workbell.adapters.system import SystemRandomness, min_duration
from workbell.domain.errors import Invalid
from workbell.domain.identity.second_factor import FactorKeys
from workbell.domain.jobs.job import JobState
from workbell.domain.jobs.task import Isolation, Task, Tasks
from workbell.entrypoints.bootstrap.application import FIELDS, Application
from workbell.entrypoints.bootstrap.audit import AuditServices, make_audit
from workbell.entrypoints.bootstrap.backends import Backends, open_backends
from workbell.entrypoints.bootstrap.children import make_children
from workbell.entrypoints.bootstrap.delivery import DeliveryServices, make_delivery
from workbell.entrypoints.bootstrap.notifications import (
    NotificationServices,
    make_notifications,
)
from workbell.entrypoints.bootstrap.owners import (
    follow_users,
    make_owner_check,
    requires_verified_email,
)
from workbell.entrypoints.bootstrap.projects import ProjectServices, make_projects
from workbell.entrypoints.config.enums import VerifiedEmail
from workbell.entrypoints.config.secret_key import signing_keys
from workbell.entrypoints.config.secret_values import secret_values
from workbell.entrypoints.config.settings import Settings
from workbell.ports.system import Clock
from workbell.services.delivery.job_outcomes import closing_job
from workbell.services.goals.commands import GoalService
from workbell.services.goals.summaries import SummaryService
from workbell.services.identity.login import LoginService
from workbell.services.identity.registration import RegistrationService
from workbell.services.identity.sessions import SessionService
from workbell.services.identity.users import UserAdministration
from workbell.services.jobs.commands import JobService
from workbell.services.jobs.execution import ExecutionService
from workbell.services.jobs.failures import Failures
from workbell.services.jobs.retention import RetentionService
from workbell.services.jobs.task_definitions import TaskDefinitionService
from workbell.services.schedules.commands import ScheduleService
from workbell.services.schedules.parameter_check import ParameterCheck
from workbell.services.schedules.retention import ScheduleRetention
from workbell.services.schedules.run_outcomes import RunOutcomes
from workbell.services.schedules.ticker import Ticker

API_THREADS = 4
"""Request threads; more only compete for the interpreter (decision record 9)."""


def build(
    settings: Settings,
    *,
    tasks: Iterable[Task] = (),
    clock: Clock | None = None,
    echo: TextIO | None = None,
    issues_tokens: bool = True,
) -> Application:
    """
    Build the application of a process; no thread is started.

    Args:
        settings: Settings of the installation.
        tasks: Tasks besides the built-in ones.
        clock: Defaults to the database's clock.
        echo: Stream to which file-based emails are also written.
        issues_tokens: Whether a secret key is required.

    Raises:
        Invalid: A secret key is required and not set, or a child process could not
            import the body of a task.
        Unavailable: The store cannot be opened.
    """
    backends = open_backends(settings, clock, echo)
    try:
        keys = signing_keys(settings, required=issues_tokens)
        return _make_application(backends, keys, tasks)
    except BaseException:
        backends.close()
        raise


def _make_application(
    backends: Backends, keys: Sequence[bytes], tasks: Iterable[Task]
) -> Application:
    settings, store, clock = backends.settings, backends.store, backends.clock
    notices = make_notifications(backends, keys)
    identity = _make_registration(backends)
    login = _make_login(backends, identity, keys)
    users = _make_users(identity, login)
    quarantine = QuarantineLog(backends.metrics)
    delivery = make_delivery(backends, keys, identity, users, FIELDS)
    projects = make_projects(store, clock, notices.notifier, FIELDS, quarantine)
    audit = make_audit(backends, keys, quarantine)
    internal = (*notices.tasks(), *delivery.tasks.tasks(), *projects.tasks.tasks())
    children = make_children(backends)
    registry = _make_tasks(backends, children, internal, tasks)
    definitions = _make_definitions(backends, registry)
    sessions = SessionService(store=store, clock=clock, actor_cache=login.actor_cache)
    queues = tuple(sorted({"default", *(t.queue for t in registry.all()), *settings.queues}))
    return Application(
        settings=settings,
        closing=backends.closing,
        folder=backends.folder,
        store=store,
        clock=clock,
        anchor=backends.anchor,
        waker=backends.waker,
        changes=backends.changes,
        ids=backends.ids,
        files=backends.files,
        mailer=backends.mailer,
        metrics=backends.metrics,
        cache=backends.cache,
        rate_limits=backends.rate_limits,
        webhook_client=backends.webhook_client,
        tasks=registry,
        serializer=definitions.serializer,
        definitions=definitions,
        parameter_check=ParameterCheck(store=store, clock=clock, definitions=definitions),
        schedules=_make_schedules(backends, definitions, queues),
        jobs=_make_jobs(backends, definitions, queues),
        goals=GoalService(store=store, clock=clock, serializer=FIELDS),
        engine_metrics=EngineMetrics(backends.metrics, registry),
        summaries=_make_summaries(backends),
        reminders=notices.reminders,
        notices=notices,
        ticker=_make_ticker(backends, registry, quarantine),
        execution=_make_execution(backends, definitions, delivery, children, quarantine, keys),
        retention=_make_retention(
            backends, sessions, delivery, notices, projects, audit, quarantine
        ),
        identity=identity,
        login=login,
        users=evolve(users, on_change=follow_users(definitions)),
        sessions=sessions,
        audit=audit,
        delivery=delivery,
        projects=projects,
        queues=settings.queues or queues,
    )


def _make_ticker(backends: Backends, tasks: Tasks, quarantine: QuarantineLog) -> Ticker:
    return Ticker(
        store=backends.store,
        clock=backends.clock,
        randomness=SystemRandomness(),
        tasks=tasks,
        require_verified_email=requires_verified_email(backends.settings),
        reporter=quarantine,
    )


def _make_summaries(backends: Backends) -> SummaryService:
    return SummaryService(
        store=backends.store,
        clock=backends.clock,
        cache=backends.cache,
        cache_seconds=backends.settings.summary_cache_seconds,
    )


def _make_tasks(
    backends: Backends, children: ChildPool, internal: Iterable[Task], own: Iterable[Task]
) -> Tasks:
    general = built_in_tasks(
        store=backends.store,
        files=backends.files,
        mailer=backends.mailer,
        webhook_client=backends.webhook_client,
        input_dirs=backends.settings.input_dirs,
        backup_dirs=backends.settings.backup_dirs,
    )
    tasks = Tasks()
    for task in (*general, *internal):
        tasks.add(task)
    default = backends.settings.task_isolation
    for task in own:
        isolated = evolve(task, isolation=task.isolation or default)
        if isolated.isolation is Isolation.PROCESS:
            children.check(isolated)
        tasks.add(isolated)
    return tasks


def _make_schedules(
    backends: Backends, definitions: TaskDefinitionService, queues: Sequence[str]
) -> ScheduleService:
    return ScheduleService(
        store=backends.store,
        clock=backends.clock,
        tasks=definitions.tasks,
        definitions=definitions,
        serializer=FIELDS,
        active_limit=backends.settings.max_active_schedules,
        max_waiting=backends.settings.max_waiting_jobs,
        queues=queues,
    )


def _make_jobs(
    backends: Backends, definitions: TaskDefinitionService, queues: Sequence[str]
) -> JobService:
    return JobService(
        store=backends.store,
        clock=backends.clock,
        definitions=definitions,
        files=backends.files,
        max_waiting=backends.settings.max_waiting_jobs,
        known_queues=queues,
        follow_up=closing_job,
    )


def _make_execution(
    backends: Backends,
    definitions: TaskDefinitionService,
    delivery: DeliveryServices,
    children: ChildPool,
    quarantine: QuarantineLog,
    keys: Sequence[bytes],
) -> ExecutionService[BuiltInTasksTx]:
    return ExecutionService(
        store=backends.store,
        clock=backends.clock,
        randomness=SystemRandomness(),
        definitions=definitions,
        files=backends.files,
        lease=timedelta(seconds=backends.settings.lease_seconds),
        children=children,
        on_settled=[
            RunOutcomes(clock=backends.clock),
            delivery.outcomes,
        ],
        failures=Failures([*secret_values(backends.settings), *(key.decode() for key in keys)]),
        reporter=quarantine,
        owners=make_owner_check(backends),
    )


def _make_users(identity: RegistrationService, login: LoginService) -> UserAdministration:
    return UserAdministration(
        codes=identity.codes, mailer=identity.mailer, actor_cache=login.actor_cache
    )


def _make_definitions(backends: Backends, registry: Tasks) -> TaskDefinitionService:
    return TaskDefinitionService(
        store=backends.store, clock=backends.clock, tasks=registry, serializer=JsonSerializer()
    )


def _make_retention(
    backends: Backends,
    sessions: SessionService,
    delivery: DeliveryServices,
    notices: NotificationServices,
    projects: ProjectServices,
    audit: AuditServices,
    quarantine: QuarantineLog,
) -> RetentionService:
    settings = backends.settings
    schedules = ScheduleRetention(
        store=backends.store,
        clock=backends.clock,
        max_age=timedelta(days=settings.retention_schedule_days),
    )
    failed = timedelta(days=settings.retention_failed_days)
    return RetentionService(
        store=backends.store,
        clock=backends.clock,
        files=backends.files,
        max_age={
            JobState.SUCCEEDED: timedelta(days=settings.retention_succeeded_days),
            JobState.SKIPPED: timedelta(days=settings.retention_skipped_days),
            JobState.FAILED: failed,
            JobState.CANCELLED: failed,
        },
        max_age_scheduled=timedelta(days=settings.retention_schedule_days),
        extra_prunes={
            "sessions_and_codes": sessions.prune,
            "rate_limit_counters": backends.rate_limits.prune,
            "events_and_deliveries": delivery.retention.prune,
            "notices": notices.inbox.prune,
            "work_items": projects.retention.prune,
            "schedules": schedules.prune,
            "audit_entries": audit.retention.prune,
            "emails": partial(_prune_emails, backends),
            "incomplete_files": partial(_prune_incomplete_files, backends),
        },
        reporter=quarantine,
    )


def _prune_emails(backends: Backends) -> int:
    if not isinstance(backends.mailer, FolderMailer):
        return 0
    age = timedelta(days=backends.settings.retention_mail_days)
    return backends.mailer.prune(backends.clock.now() - age)


def _prune_incomplete_files(backends: Backends) -> int:
    return backends.files.prune_temporary(backends.clock.now() - timedelta(days=1))


def _make_registration(backends: Backends) -> RegistrationService:
    settings, mailer = backends.settings, backends.mailer
    return RegistrationService(
        store=backends.store,
        clock=backends.clock,
        randomness=SystemRandomness(),
        hasher=Argon2Hasher.from_profile(settings.password_hashing, slots=max_parallel_hashes()),
        mailer=mailer,
        background_mailer=BackgroundMailer(mailer) if settings.smtp_url is not None else mailer,
        code_life=timedelta(minutes=settings.otp_minutes),
        self_service_tier=settings.self_service_tier,
        min_duration=min_duration,
    )


def _make_login(
    backends: Backends, registration: RegistrationService, keys: Sequence[bytes]
) -> LoginService:
    settings, clock = backends.settings, backends.clock
    # without a key, tokens are valid in this process only
    keys = keys or [secrets.token_bytes(32)]
    return LoginService(
        store=backends.store,
        clock=clock,
        ids=backends.ids,
        hasher=registration.hasher,
        tokens=JwtTokens.create(keys, clock, issuer=settings.public_url),
        access_life=timedelta(minutes=settings.access_token_minutes),
        refresh_life=timedelta(minutes=settings.refresh_token_minutes),
        session_life=timedelta(days=settings.session_token_days),
        require_verified_email=settings.require_verified_email is VerifiedEmail.ALL,
        rate_limits=backends.rate_limits,
        totp=PyotpTotp(),
        factor_keys=FactorKeys.of(keys),
        second_factor_policy=settings.require_second_factor,
        min_duration=min_duration,
    )


def max_parallel_hashes() -> int:
    """Return the maximum of concurrent password hashes: the CPUs, or half of the API threads."""
    cpus = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(cpus, API_THREADS // 2)


def import_task_modules(modules: Sequence[str]) -> None:
    """
    Import the modules that declare the user's own tasks.

    Raises:
        Invalid: A module cannot be imported.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise Invalid(f"WORKBELL_TASKS: {module!r} cannot be imported: {error}") from error
