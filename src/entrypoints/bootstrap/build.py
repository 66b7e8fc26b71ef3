"""Composition root: `build` creates an application from the settings."""

import importlib
import os
import secrets
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import TextIO

from workbell.adapters.builtin_tasks.goal_reminders import GoalReminders
from workbell.adapters.builtin_tasks.registry import built_in_tasks
from workbell.adapters.cache.metered import MeteredCache
from workbell.adapters.crypto.jwt_tokens import JwtTokens
from workbell.adapters.crypto.password_hasher import Argon2Hasher
from workbell.adapters.crypto.totp import PyotpTotp
from workbell.adapters.file_store import LocalFileStore
from workbell.adapters.mail.background import BackgroundMailer
from workbell.adapters.serialization.serializer import JsonSerializer
from workbell.adapters.system import SystemRandomness, UuidIds, min_duration
from workbell.domain.errors import Invalid
from workbell.domain.identity.second_factor import FactorKeys
from workbell.domain.jobs.job import JobState
from workbell.domain.jobs.task import Task, Tasks
from workbell.domain.notifications.unsubscribe import UnsubscribeTokens
from workbell.entrypoints.bootstrap.application import FIELDS, Application
from workbell.entrypoints.bootstrap.backends import (
    AnyStore,
    make_cache,
    make_change_counters,
    make_mailer,
    make_rate_limiting,
    make_store,
    make_store_waker,
    make_waker,
)
from workbell.entrypoints.bootstrap.metrics import make_registry
from workbell.entrypoints.config.enums import VerifiedEmail
from workbell.entrypoints.config.secret_key import signing_keys
from workbell.entrypoints.config.settings import Settings
from workbell.ports.mail import Mailer
from workbell.ports.schedules.repository import SchedulesTx
from workbell.ports.system import Clock, Ids
from workbell.services.goals.commands import GoalService
from workbell.services.goals.reminders import ReminderService
from workbell.services.goals.summaries import SummaryService
from workbell.services.identity.login import LoginService
from workbell.services.identity.registration import RegistrationService
from workbell.services.identity.sessions import SessionService
from workbell.services.identity.users import UserAdministration
from workbell.services.jobs.commands import JobService
from workbell.services.jobs.execution import ExecutionService
from workbell.services.jobs.retention import RetentionService
from workbell.services.jobs.task_definitions import TaskDefinitionService
from workbell.services.rate_limits import RateLimiting
from workbell.services.schedules.commands import ScheduleService
from workbell.services.schedules.parameter_check import ParameterCheck
from workbell.services.schedules.run_outcomes import RunOutcomes
from workbell.services.schedules.ticker import Ticker


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
        Invalid: A secret key is required and not set.
        Unavailable: The store cannot be opened.
    """
    closing = ExitStack()
    folder = _make_folder(settings, closing)
    store, clock, anchor = make_store(settings, clock)
    waker = None if settings.redis_url is None else make_waker(settings.redis_url)
    changes = make_change_counters(waker)
    store.waker = make_store_waker(changes, waker)
    ids, metrics = UuidIds(), make_registry()
    files = LocalFileStore(folder / "artifacts", ids)
    mailer = make_mailer(settings, folder, clock, ids, echo)
    keys = signing_keys(settings, required=issues_tokens)
    reminding = _make_reminding(settings, store, clock, keys)
    cache = make_cache(waker, clock, metrics)
    registry = _make_tasks(settings, store, files, mailer, reminding, tasks)
    definitions = _make_definitions(store, clock, registry)
    rate_limits = make_rate_limiting(settings, store, clock, closing)
    identity = _make_registration(settings, store, clock, mailer)
    signing_in = _make_login(settings, identity, ids, rate_limits, keys)
    sessions = SessionService(store=store, clock=clock, actor_cache=signing_in.actor_cache)
    queues = tuple(sorted({"default", *(t.queue for t in registry.all()), *settings.queues}))
    return Application(
        settings=settings,
        clock=clock,
        store=store,
        tasks=registry,
        serializer=definitions.serializer,
        ids=ids,
        files=files,
        mailer=mailer,
        definitions=definitions,
        parameter_check=ParameterCheck(store=store, clock=clock, definitions=definitions),
        schedules=_make_scheduling(settings, store, definitions, queues),
        jobs=_make_jobs(settings, definitions, files, queues),
        goals=GoalService(store=store, clock=clock, serializer=FIELDS),
        metrics=metrics,
        cache=cache,
        summaries=_make_summaries(settings, store, clock, cache),
        reminders=reminding,
        ticker=Ticker(store=store, clock=clock, randomness=SystemRandomness(), tasks=registry),
        execution=_make_execution(settings, store, definitions, files),
        retention=_make_retention(settings, store, clock, files, sessions, rate_limits),
        identity=identity,
        login=signing_in,
        users=_make_user_administration(identity, signing_in),
        sessions=sessions,
        rate_limits=rate_limits,
        queues=settings.queues or queues,
        anchor=anchor,
        changes=changes,
        waker=waker,
        closing=closing,
    )


def _make_folder(settings: Settings, closing: ExitStack) -> Path:
    """Return the folder of files; for a store in memory, a temporary one."""
    if not settings.database_url.startswith("memory"):
        return settings.data_dir
    return Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="workbell-")))


def _make_definitions(store: AnyStore, clock: Clock, tasks: Tasks) -> TaskDefinitionService:
    return TaskDefinitionService(store=store, clock=clock, tasks=tasks, serializer=JsonSerializer())


def _make_scheduling(
    settings: Settings, store: AnyStore, definitions: TaskDefinitionService, queues: Sequence[str]
) -> ScheduleService:
    return ScheduleService(
        store=store,
        clock=definitions.clock,
        tasks=definitions.tasks,
        definitions=definitions,
        serializer=FIELDS,
        active_limit=settings.max_active_schedules,
        max_waiting=settings.max_waiting_jobs,
        queues=queues,
    )


def _make_jobs(
    settings: Settings,
    definitions: TaskDefinitionService,
    files: LocalFileStore,
    queues: Sequence[str],
) -> JobService:
    return JobService(
        store=definitions.store,
        clock=definitions.clock,
        definitions=definitions,
        files=files,
        max_waiting=settings.max_waiting_jobs,
        known_queues=queues,
    )


def _make_execution(
    settings: Settings, store: AnyStore, definitions: TaskDefinitionService, files: LocalFileStore
) -> ExecutionService[SchedulesTx]:
    return ExecutionService(
        store=store,
        clock=definitions.clock,
        randomness=SystemRandomness(),
        definitions=definitions,
        files=files,
        lease=timedelta(seconds=settings.lease_seconds),
        on_settled=[RunOutcomes(clock=definitions.clock)],
    )


def _make_tasks(
    settings: Settings,
    store: AnyStore,
    files: LocalFileStore,
    mailer: Mailer,
    reminding: ReminderService,
    others: Iterable[Task],
) -> Tasks:
    general = built_in_tasks(
        store=store,
        files=files,
        mailer=mailer,
        input_dirs=settings.input_dirs,
        backup_dirs=settings.backup_dirs,
    )
    tasks = Tasks()
    for task in (*general, *GoalReminders(reminding, mailer).tasks(), *others):
        tasks.add(task)
    return tasks


def _make_summaries(
    settings: Settings, store: AnyStore, clock: Clock, cache: MeteredCache
) -> SummaryService:
    return SummaryService(
        store=store, cache=cache, clock=clock, cache_seconds=settings.summary_cache_seconds
    )


def _make_reminding(
    settings: Settings, store: AnyStore, clock: Clock, keys: Sequence[bytes]
) -> ReminderService:
    return ReminderService(
        store=store,
        clock=clock,
        tokens=UnsubscribeTokens(keys),
        public_url=settings.public_url.rstrip("/"),
        inactive_days=settings.inactive_days,
    )


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


def _make_retention(
    settings: Settings,
    store: AnyStore,
    clock: Clock,
    files: LocalFileStore,
    sessions: SessionService,
    rate_limits: RateLimiting,
) -> RetentionService:
    failed = timedelta(days=settings.retention_failed_days)
    return RetentionService(
        store=store,
        clock=clock,
        files=files,
        max_age={
            JobState.SUCCEEDED: timedelta(days=settings.retention_succeeded_days),
            JobState.SKIPPED: timedelta(days=settings.retention_skipped_days),
            JobState.FAILED: failed,
            JobState.CANCELLED: failed,
        },
        max_age_scheduled=timedelta(days=settings.retention_schedule_days),
        extra_prunes=(sessions.prune, rate_limits.prune),
    )


def max_parallel_hashes() -> int:
    """Return the maximum of concurrent password hashes: half of the CPUs."""
    # a hash occupies a CPU for about 20 ms; the other half stays free for requests
    cpus = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, cpus // 2)


def _make_registration(
    settings: Settings, store: AnyStore, clock: Clock, mailer: Mailer
) -> RegistrationService:
    return RegistrationService(
        store=store,
        clock=clock,
        randomness=SystemRandomness(),
        hasher=Argon2Hasher.from_profile(settings.password_hashing, slots=max_parallel_hashes()),
        mailer=mailer,
        background_mailer=BackgroundMailer(mailer) if settings.smtp_url is not None else mailer,
        code_life=timedelta(minutes=settings.otp_minutes),
        self_service_tier=settings.self_service_tier,
        min_duration=min_duration,
    )


def _make_login(
    settings: Settings,
    registration: RegistrationService,
    ids: Ids,
    rate_limits: RateLimiting,
    keys: Sequence[bytes],
) -> LoginService:
    # without a key, tokens are valid in this process only
    keys = keys or [secrets.token_bytes(32)]
    return LoginService(
        store=registration.store,
        clock=registration.clock,
        ids=ids,
        hasher=registration.hasher,
        tokens=JwtTokens.create(keys, registration.clock, issuer=settings.public_url),
        access_life=timedelta(minutes=settings.access_token_minutes),
        refresh_life=timedelta(minutes=settings.refresh_token_minutes),
        session_life=timedelta(days=settings.session_token_days),
        require_verified_email=settings.require_verified_email is VerifiedEmail.ALL,
        rate_limits=rate_limits,
        totp=PyotpTotp(),
        factor_keys=FactorKeys.of(keys),
        second_factor_policy=settings.require_second_factor,
        min_duration=min_duration,
    )


def _make_user_administration(
    registration: RegistrationService, login: LoginService
) -> UserAdministration:
    return UserAdministration(
        codes=registration.codes, mailer=registration.mailer, actor_cache=login.actor_cache
    )
