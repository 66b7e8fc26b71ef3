"""Wiring: one plain function that builds everything from the settings."""

import importlib
import secrets
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import TextIO

from workbell.adapters.builtin_tasks.goal_reminders import GoalReminders
from workbell.adapters.builtin_tasks.registry import built_in
from workbell.adapters.change_counters.local import Announcer
from workbell.adapters.cpu_affinity import PROCESSORS
from workbell.adapters.crypto.password_hasher import Argon2Hasher, JwtTokens
from workbell.adapters.file_store import FolderFiles
from workbell.adapters.mail.background import BackgroundMailer
from workbell.adapters.serialization.serializer import JsonShapes
from workbell.adapters.system import SystemRandomness, UuidIds, evened
from workbell.domain.errors import Invalid
from workbell.domain.identity.second_factor import FactorKeys
from workbell.domain.jobs.job import JobState
from workbell.domain.jobs.task import Task, Tasks
from workbell.entrypoints.bootstrap.application import House
from workbell.entrypoints.bootstrap.backends import (
    AnyStore,
    changes_of,
    mailer_of,
    open_store_of,
    throttling_of,
    waker_of,
)
from workbell.entrypoints.bootstrap.goals import cache_of, reminding_of, summaries_of
from workbell.entrypoints.config.enums import VerifiedEmail
from workbell.entrypoints.config.secret_key import signing_keys
from workbell.entrypoints.config.settings import Settings
from workbell.ports.mail import Mailer
from workbell.ports.system import Clock, Ids
from workbell.services.goals.goal_services import GoalKeeping
from workbell.services.identity.account_services import Membership
from workbell.services.identity.login import SigningIn
from workbell.services.identity.registration import Identity
from workbell.services.jobs.commands import JobCommands
from workbell.services.jobs.execution import Execution
from workbell.services.jobs.retention import Housekeeping
from workbell.services.jobs.task_definitions import Definitions
from workbell.services.rate_limits import Throttling
from workbell.services.schedules.commands import Scheduling
from workbell.services.schedules.ticker import Ticking

FIELDS = JsonShapes("is not a known field")
"""How bodies are read; parameters of tasks have a word of their own."""


def build(
    settings: Settings,
    *,
    tasks: Iterable[Task] = (),
    clock: Clock | None = None,
    echo: TextIO | None = None,
    signs: bool = True,
) -> House:
    """
    Build everything that the settings ask for; nothing is started.

    `echo` is a stream to which mails are written besides their folder;
    `signs` is whether the process issues tokens, which needs a secret key.

    Raises:
        Invalid: A module of TASKS cannot be imported.
        Unavailable: The store cannot be opened.
    """
    scratch, folder = None, settings.data_dir
    if settings.database_url.startswith("memory"):
        scratch = tempfile.TemporaryDirectory(prefix="workbell-")
        folder = Path(scratch.name)
    store, clock, anchor = open_store_of(settings, clock)
    waker = None if settings.redis_url is None else waker_of(settings.redis_url)
    changes = changes_of(waker)
    store.waker = Announcer(changes, waker)
    shapes, ids, chance = JsonShapes(), UuidIds(), SystemRandomness()
    files = FolderFiles(folder / "artifacts", ids)
    mailer, registry = mailer_of(settings, folder, clock, ids, echo), Tasks()
    definitions = Definitions(store=store, clock=clock, tasks=registry, shapes=shapes)
    keys = signing_keys(settings, required=signs)
    reminding, cache = reminding_of(settings, store, clock, keys), cache_of(waker, clock)
    reminders = GoalReminders(reminding, mailer).tasks()
    for task in (*_built_in(settings, store, files, mailer), *reminders, *tasks):
        registry.add(task)
    closing = ExitStack()
    throttling = throttling_of(settings, store, clock, closing)
    identity, signing_in = _identity(settings, store, clock, ids, mailer, throttling, keys)
    queues = tuple(sorted({"default", *(t.queue for t in registry.all()), *settings.queues}))
    return House(
        settings=settings,
        clock=clock,
        store=store,
        tasks=registry,
        shapes=shapes,
        ids=ids,
        files=files,
        mailer=mailer,
        definitions=definitions,
        scheduling=_scheduling(settings, definitions, queues),
        jobs=_jobs(settings, definitions, files, queues),
        goals=GoalKeeping.of(store, clock, FIELDS),
        cache=cache,
        summaries=summaries_of(settings, store, clock, cache),
        reminding=reminding,
        ticking=Ticking(store=store, clock=clock, chance=chance, tasks=registry),
        execution=_execution(settings, definitions, files, chance),
        housekeeping=_housekeeping(
            settings, store, clock, files, Membership.of(identity, signing_in), throttling
        ),
        identity=identity,
        signing_in=signing_in,
        throttling=throttling,
        queues=settings.queues or queues,
        anchor=anchor,
        changes=changes,
        waker=waker,
        scratch=scratch,
        closing=closing,
    )


def _scheduling(settings: Settings, definitions: Definitions, queues: Sequence[str]) -> Scheduling:
    return Scheduling(
        store=definitions.store,
        clock=definitions.clock,
        tasks=definitions.tasks,
        definitions=definitions,
        shapes=FIELDS,
        active_limit=settings.max_active_schedules,
        max_waiting=settings.max_waiting_jobs,
        queues=queues,
    )


def _jobs(
    settings: Settings, definitions: Definitions, files: FolderFiles, queues: Sequence[str]
) -> JobCommands:
    return JobCommands(
        store=definitions.store,
        clock=definitions.clock,
        definitions=definitions,
        files=files,
        max_waiting=settings.max_waiting_jobs,
        queues_known=queues,
    )


def _execution(
    settings: Settings, definitions: Definitions, files: FolderFiles, chance: SystemRandomness
) -> Execution:
    return Execution(
        store=definitions.store,
        clock=definitions.clock,
        chance=chance,
        definitions=definitions,
        files=files,
        lease=timedelta(seconds=settings.lease_seconds),
    )


def _built_in(
    settings: Settings, store: AnyStore, files: FolderFiles, mailer: Mailer
) -> Sequence[Task]:
    return built_in(
        store=store,
        files=files,
        mailer=mailer,
        input_dirs=settings.input_dirs,
        backup_dirs=settings.backup_dirs,
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


def _housekeeping(
    settings: Settings,
    store: AnyStore,
    clock: Clock,
    files: FolderFiles,
    members: Membership,
    throttling: Throttling,
) -> Housekeeping:
    failed = timedelta(days=settings.retention_failed_days)
    return Housekeeping(
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
        also=(members.access.prune, throttling.prune),
    )


def _identity(
    settings: Settings,
    store: AnyStore,
    clock: Clock,
    ids: Ids,
    mailer: Mailer,
    throttling: Throttling,
    keys: Sequence[bytes],
) -> tuple[Identity, SigningIn]:
    # half of the processors are left to everybody else, however many sign in
    slots = max(1, len(PROCESSORS.hashing))
    hasher = Argon2Hasher.of(settings.password_hashing, slots=slots)
    # without a key, tokens are valid in this process only
    keys = keys or [secrets.token_bytes(32)]
    tokens = JwtTokens.create(keys, clock, issuer=settings.public_url)
    identity = Identity(
        store=store,
        clock=clock,
        randomness=SystemRandomness(),
        hasher=hasher,
        mailer=mailer,
        quiet_mailer=BackgroundMailer(mailer) if settings.smtp_url is not None else mailer,
        code_life=timedelta(minutes=settings.otp_minutes),
        self_service_tier=settings.self_service_tier,
        evened=evened,
    )
    signing_in = SigningIn(
        store=store,
        clock=clock,
        ids=ids,
        hasher=hasher,
        tokens=tokens,
        access_life=timedelta(minutes=settings.access_token_minutes),
        refresh_life=timedelta(minutes=settings.refresh_token_minutes),
        session_life=timedelta(days=settings.session_token_days),
        require_verified_email=settings.require_verified_email is VerifiedEmail.ALL,
        throttling=throttling,
        factor_keys=FactorKeys.of(keys),
        second_factor_duty=settings.require_second_factor,
        evened=evened,
    )
    return identity, signing_in
