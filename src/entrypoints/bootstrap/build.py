"""Wiring: one plain function that builds everything from the settings."""

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
    signs: bool = True,
) -> Application:
    """
    Build everything that the settings ask for; nothing is started.

    `echo` is a stream to which mails are written besides their folder;
    `signs` is whether the process issues tokens, which needs a secret key.

    Raises:
        Invalid: A module of TASKS cannot be imported.
        Unavailable: The store cannot be opened.
    """
    folder, scratch = _make_folder(settings)
    store, clock, anchor = make_store(settings, clock)
    waker = None if settings.redis_url is None else make_waker(settings.redis_url)
    changes = make_change_counters(waker)
    store.waker = make_store_waker(changes, waker)
    serializer, ids, chance, metrics = (
        JsonSerializer(),
        UuidIds(),
        SystemRandomness(),
        make_registry(),
    )
    files = LocalFileStore(folder / "artifacts", ids)
    mailer = make_mailer(settings, folder, clock, ids, echo)
    keys = signing_keys(settings, required=signs)
    reminding = _make_reminding(settings, store, clock, keys)
    cache = make_cache(waker, clock, metrics)
    registry = Tasks()
    for task in (*_make_built_in_tasks(settings, store, files, mailer, reminding), *tasks):
        registry.add(task)
    definitions = TaskDefinitionService(
        store=store, clock=clock, tasks=registry, serializer=serializer
    )
    closing = ExitStack()
    rate_limits = make_rate_limiting(settings, store, clock, closing)
    identity, signing_in = _make_identity(settings, store, clock, ids, mailer, rate_limits, keys)
    sessions = SessionService(store=store, clock=clock, recent=signing_in.recent)
    queues = tuple(sorted({"default", *(t.queue for t in registry.all()), *settings.queues}))
    return Application(
        settings=settings,
        clock=clock,
        store=store,
        tasks=registry,
        serializer=serializer,
        ids=ids,
        files=files,
        mailer=mailer,
        definitions=definitions,
        parameter_check=ParameterCheck(store=store, clock=clock, definitions=definitions),
        scheduling=_make_scheduling(settings, store, definitions, queues),
        jobs=_make_jobs(settings, definitions, files, queues),
        goals=GoalService(store=store, clock=clock, serializer=FIELDS),
        metrics=metrics,
        cache=cache,
        summaries=_make_summaries(settings, store, clock, cache),
        reminding=reminding,
        ticking=Ticker(store=store, clock=clock, chance=chance, tasks=registry),
        execution=_make_execution(settings, store, definitions, files, chance),
        retention=_make_retention(settings, store, clock, files, sessions, rate_limits),
        identity=identity,
        signing_in=signing_in,
        people=UserAdministration(
            codes=identity.codes, mailer=identity.mailer, recent=signing_in.recent
        ),
        sessions=sessions,
        rate_limits=rate_limits,
        queues=settings.queues or queues,
        anchor=anchor,
        changes=changes,
        waker=waker,
        scratch=scratch,
        closing=closing,
    )


def _make_folder(settings: Settings) -> tuple[Path, tempfile.TemporaryDirectory[str] | None]:
    """Return the folder of files; a store in memory has one for this run only."""
    if not settings.database_url.startswith("memory"):
        return settings.data_dir, None
    scratch = tempfile.TemporaryDirectory(prefix="workbell-")
    return Path(scratch.name), scratch


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
        queues_known=queues,
    )


def _make_execution(
    settings: Settings,
    store: AnyStore,
    definitions: TaskDefinitionService,
    files: LocalFileStore,
    chance: SystemRandomness,
) -> ExecutionService[SchedulesTx]:
    return ExecutionService(
        store=store,
        clock=definitions.clock,
        chance=chance,
        definitions=definitions,
        files=files,
        lease=timedelta(seconds=settings.lease_seconds),
        on_settled=[RunOutcomes(clock=definitions.clock)],
    )


def _make_built_in_tasks(
    settings: Settings,
    store: AnyStore,
    files: LocalFileStore,
    mailer: Mailer,
    reminding: ReminderService,
) -> Sequence[Task]:
    general = built_in_tasks(
        store=store,
        files=files,
        mailer=mailer,
        input_dirs=settings.input_dirs,
        backup_dirs=settings.backup_dirs,
    )
    return (*general, *GoalReminders(reminding, mailer).tasks())


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


def user_tasks(modules: Sequence[str]) -> None:
    """
    Import the modules that declare the user's own tasks.

    Raises:
        Invalid: One of them cannot be imported.
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
        keep={
            JobState.SUCCEEDED: timedelta(days=settings.retention_succeeded_days),
            JobState.SKIPPED: timedelta(days=settings.retention_skipped_days),
            JobState.FAILED: failed,
            JobState.CANCELLED: failed,
        },
        keep_scheduled=timedelta(days=settings.retention_schedule_days),
        also=(sessions.prune, rate_limits.prune),
    )


def parallel_hashes() -> int:
    """Return how many password hashes may run at a time: half of the CPUs, at least one."""
    # a hash occupies a CPU for some 20 ms; the other half answers requests during a login storm
    cpus = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, cpus // 2)


def _make_identity(
    settings: Settings,
    store: AnyStore,
    clock: Clock,
    ids: Ids,
    mailer: Mailer,
    rate_limits: RateLimiting,
    keys: Sequence[bytes],
) -> tuple[RegistrationService, LoginService]:
    hasher = Argon2Hasher.from_profile(settings.password_hashing, slots=parallel_hashes())
    # without a key, tokens are valid in this process only
    keys = keys or [secrets.token_bytes(32)]
    tokens = JwtTokens.create(keys, clock, issuer=settings.public_url)
    identity = RegistrationService(
        store=store,
        clock=clock,
        randomness=SystemRandomness(),
        hasher=hasher,
        mailer=mailer,
        quiet_mailer=BackgroundMailer(mailer) if settings.smtp_url is not None else mailer,
        code_life=timedelta(minutes=settings.otp_minutes),
        self_service_tier=settings.self_service_tier,
        evened=min_duration,
    )
    signing_in = LoginService(
        store=store,
        clock=clock,
        ids=ids,
        hasher=hasher,
        tokens=tokens,
        access_life=timedelta(minutes=settings.access_token_minutes),
        refresh_life=timedelta(minutes=settings.refresh_token_minutes),
        session_life=timedelta(days=settings.session_token_days),
        require_verified_email=settings.require_verified_email is VerifiedEmail.ALL,
        rate_limits=rate_limits,
        totp=PyotpTotp(),
        factor_keys=FactorKeys.of(keys),
        second_factor_duty=settings.require_second_factor,
        evened=min_duration,
    )
    return identity, signing_in
