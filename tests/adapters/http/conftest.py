"""Fixtures: the HTTP application on the memory store, with a manual clock."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import falcon.testing
import pytest
from attrs import define, evolve, field, frozen
from pyotp.totp import TOTP

from tests.adapters.http.workspace import Workspace
from tests.response_validation import JSON_TYPES, response_validator
from tests.services.accounts import AccountServiceSet
from tests.services.delivery_accounts import RecordingWebhookClient
from workbell.adapters.cache.memory import MemoryCache
from workbell.adapters.cache.metered import MeteredCache
from workbell.adapters.checkpoint_log import FileCheckpointLog
from workbell.adapters.crypto.jwt_tokens import JwtTokens
from workbell.adapters.crypto.password_hasher import Argon2Hasher
from workbell.adapters.crypto.secret_box import SodiumSecretBox
from workbell.adapters.crypto.totp import PyotpTotp
from workbell.adapters.file_store import LocalFileStore
from workbell.adapters.http.app import AppDependencies, build_app, make_operations
from workbell.adapters.http.projects.api import ProjectsApi
from workbell.adapters.http.web.mapping import copy_fields
from workbell.adapters.http.web.middleware import HttpSettings
from workbell.adapters.http.web.operations import AnyOperation
from workbell.adapters.memory.store import MemoryStore
from workbell.adapters.observability.metrics import MetricsRegistry
from workbell.adapters.serialization.serializer import JsonSerializer
from workbell.adapters.system import SystemRandomness, UuidIds
from workbell.domain.audit.checkpoint import CheckpointSigner
from workbell.domain.delivery.delivery import Delivery, DeliveryId, DeliveryState
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.second_factor import (
    STEP,
    FactorKeys,
    SecondFactorPolicy,
    base32_secret,
)
from workbell.domain.identity.user import Role, User
from workbell.domain.jobs.attempt import Artifact, Outcome, Settlement
from workbell.domain.jobs.job import JobId, JobState
from workbell.domain.jobs.task import Task, Tasks
from workbell.domain.notifications.unsubscribe import UnsubscribeTokens
from workbell.entrypoints.bootstrap.audit import administered_projects
from workbell.entrypoints.bootstrap.projects import make_projects
from workbell.ports.mail import Email
from workbell.services.audit.log import AuditLog
from workbell.services.audit.verification import AuditVerifier
from workbell.services.delivery.accounts import AccountService
from workbell.services.delivery.destinations import DestinationService
from workbell.services.delivery.log import DeliveryLog
from workbell.services.delivery.members import MemberService
from workbell.services.delivery.publish import PublishService
from workbell.services.delivery.replay import ReplayService
from workbell.services.delivery.secrets import DeliverySecrets
from workbell.services.delivery.users import AccountUserService
from workbell.services.goals.commands import GoalService
from workbell.services.goals.preferences import PreferenceService
from workbell.services.goals.progress import ProgressService
from workbell.services.goals.summaries import SummaryService
from workbell.services.goals.timers import TimerService
from workbell.services.identity.login import LoginService
from workbell.services.identity.registration import RegistrationService
from workbell.services.jobs.commands import JobService
from workbell.services.jobs.task_definitions import TaskDefinitionService
from workbell.services.notifications.dispatch import Notifier
from workbell.services.notifications.inbox import NotificationService
from workbell.services.schedules.commands import ScheduleService

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
PASSWORD = "correct horse 7"
A_SCHEDULE = {
    "task_definition": 1,
    "cron_expression": "0 9 * * *",
    "parameters": {"email": "eve@example.org"},
}


@define
class ManualClock:
    """A clock that moves only when a test sets `at`."""

    at: datetime = NOON

    def now(self) -> datetime:
        return self.at


@define
class RecordingMailer:
    """A mailer that records emails."""

    messages: list[Email] = field(factory=list[Email])

    def send(self, message: Email) -> None:
        self.messages.append(message)

    def code(self) -> str:
        """Return the code in the last email."""
        words = self.messages[-1].text.split()
        return next(word for word in words if len(word) == 6 and word.isdigit())


@frozen
class Mail:
    """Parameters of the task `mail`."""

    email: str
    delay: int = 0
    weight: float = 1.0


@define
class ApiFixture:
    """The HTTP application with its services, store and clients."""

    clock: ManualClock
    mail: RecordingMailer
    store: MemoryStore
    deps: AppDependencies
    files: LocalFileStore
    client: falcon.testing.TestClient
    hashed: str
    tokens: dict[str, str] = field(factory=dict[str, str])
    users: dict[str, User] = field(factory=dict[str, User])

    def join(self, name: str, **facts: Any) -> User:
        """Add a user and sign in."""
        facts = {"is_email_verified": True, **facts}
        with self.store.begin() as tx:
            user = tx.users.add(
                User(
                    username=name,
                    email=f"{name}@example.org",
                    password_hash=self.hashed,
                    created_at=self.clock.now(),
                    **facts,
                )
            )
        self.users[name] = user
        self.tokens[name] = self.deps.login.login(name, PASSWORD).access
        return user

    def call(
        self, method: str, path: str, caller: str | None = None, json: Any = None, **more: Any
    ) -> falcon.testing.Result:
        """Send a request as a user; check JSON responses against the OpenAPI document."""
        headers = {"Host": "localhost", **more.pop("headers", {})}
        if caller:
            headers.setdefault("Authorization", f"Bearer {self.tokens[caller]}")
        if json is not None:
            more["json"] = json
        result = self.client.simulate_request(method, path, headers=headers, **more)
        media_type = result.headers.get("content-type", "")
        if method != "HEAD" and media_type.startswith(JSON_TYPES):
            validator = response_validator(self.deps)
            validator.check(method, path, result.status_code, media_type, result.json)
        return result

    def get(self, path: str, caller: str | None = "ada", **more: Any) -> falcon.testing.Result:
        return self.call("GET", path, caller, **more)

    def post(
        self, path: str, caller: str | None = "ada", json: Any = None, **more: Any
    ) -> falcon.testing.Result:
        return self.call("POST", path, caller, json, **more)

    def actor(self, name: str) -> Actor:
        return Actor.of(self.users[name])

    def schedule(self, caller: str = "ada", **facts: Any) -> dict[str, Any]:
        """Create a schedule over HTTP and return it."""
        body = {**A_SCHEDULE, **facts}
        made = self.post("/api/v1/schedules", caller, body)
        assert made.status_code == 201, made.json
        return dict(made.json)

    def job(self, caller: str = "ada", **facts: Any) -> dict[str, Any]:
        """Enqueue a job over HTTP and return it."""
        made = self.post("/api/v1/jobs", caller, {"task_definition": "echo", **facts})
        assert made.status_code == 201, made.json
        return dict(made.json)

    def goal(self, caller: str = "ada", **facts: Any) -> dict[str, Any]:
        """Create a goal over HTTP and return it."""
        body = {"goal_name": "Learn to swim", "category": "Primary", **facts}
        made = self.post("/api/v1/goals", caller, body)
        assert made.status_code == 201, made.json
        return dict(made.json)

    def log(self, goal_num: int = 1, caller: str = "ada", **facts: Any) -> dict[str, Any]:
        """Log progress over HTTP and return it."""
        body = {
            "progress": "One length",
            **({} if facts else {"logged_hours": "01:00:00"}),
            **facts,
        }
        made = self.post(f"/api/v1/goals/{goal_num}/progress", caller, body)
        assert made.status_code == 201, made.json
        return dict(made.json)

    def account(self, caller: str = "ada", **facts: Any) -> dict[str, Any]:
        """Create an account over HTTP and return it."""
        made = self.post("/api/v1/accounts", caller, {"name": "My Account", **facts})
        assert made.status_code == 201, made.json
        return dict(made.json)

    def member(self, account_id: int, name: str, role: int = 2, caller: str = "ada") -> None:
        """Add a user to an account over HTTP."""
        body = {"user": self.users[name].id, "role": role}
        added = self.post(f"/api/v1/accounts/{account_id}/members", caller, body)
        assert added.status_code == 201, added.json

    def destination(self, account_id: int, caller: str = "ada", **facts: Any) -> dict[str, Any]:
        """Create a destination over HTTP and return it."""
        body = {"url": "https://example.com/hook", **facts}
        made = self.post(f"/api/v1/accounts/{account_id}/destinations", caller, body)
        assert made.status_code == 201, made.json
        return dict(made.json)

    def publish(self, account_id: int, caller: str = "ada", **facts: Any) -> dict[str, Any]:
        """Publish an event over HTTP and return it."""
        body = {"account": account_id, "event_type": "order.paid", "data": {"n": 1}, **facts}
        made = self.post("/api/v1/events", caller, body)
        assert made.status_code == 201, made.json
        return dict(made.json)

    def set_delivery(self, delivery_id: int, state: DeliveryState, **facts: Any) -> Delivery:
        """Store a delivery in another state, as if it had been attempted."""
        with self.store.begin() as tx:
            before = tx.deliveries.get_for_update(DeliveryId(delivery_id))
            after = evolve(before, state=state, turn=before.turn + 1, **facts)
            tx.deliveries.replace(before, after)
        return after

    def end(self, job_id: int, state: JobState = JobState.SUCCEEDED, result: Any = None) -> None:
        """Finish a job as a worker would."""
        now = self.clock.now()
        with self.store.begin() as tx:
            (claim,) = [
                claim
                for claim in tx.jobs.claim(
                    "default", worker="w", now=now, lease_until=now + timedelta(minutes=1),
                    limit=100, free_threads=100,
                )
                if claim.id == job_id
            ]  # fmt: skip
            tx.jobs.settle(
                [
                    Settlement(
                        id=claim.id, token=claim.token, attempt=claim.attempt, state=state,
                        outcome=Outcome.SUCCEEDED if state is JobState.SUCCEEDED else Outcome.FAILED,
                        concurrency_key=claim.concurrency_key, queued_at=claim.queued_at, started_at=claim.started_at,
                        ended_at=now + timedelta(seconds=2), uncharged=claim.uncharged,
                        mode=claim.mode, result=result,
                        error=None if state is JobState.SUCCEEDED else "it broke",
                        traceback=None if state is JobState.SUCCEEDED else "Traceback: it broke\n",
                        schedule_id=claim.schedule_id, worker="w",
                    )
                ]
            )  # fmt: skip

    def store_artifact(self, job_id: int, name: str, content: bytes, kind: str) -> None:
        """Store a file of a job."""
        saved = self.files.save(self.files.new_key(), content)
        with self.store.begin() as tx:
            tx.logs.add_artifact(
                JobId(job_id), Artifact(name, kind, saved.size, saved.sha256, saved.key)
            )

    def factor_code(self, caller: str = "ada", steps: int = 0) -> str:
        """Return the code of a user's authenticator now, or some steps later."""
        with self.store.view() as tx:
            factor = tx.second_factors.find(self.users[caller].id)
        assert factor is not None
        secret = FACTOR_KEYS.secret(factor)
        assert secret is not None
        return TOTP(base32_secret(secret)).at(self.clock.at, counter_offset=steps)

    def enrol(self, caller: str = "ada") -> list[str]:
        """Enrol a user over HTTP, advance one step, and return the recovery codes."""
        path = "/api/v1/auth/second-factor"
        begun = self.post(path, caller, {"current_password": PASSWORD})
        assert begun.status_code == 201, begun.json
        done = self.post(f"{path}/confirm", caller, {"code": self.factor_code(caller)})
        assert done.status_code == 200, done.json
        self.clock.at += timedelta(seconds=STEP)
        return list(done.json["recovery_codes"])

    def operations(self) -> tuple[AnyOperation, ...]:
        return make_operations(self.deps)


def known_tasks() -> Tasks:
    """Return two tasks: `echo` takes anything, `mail` takes three fields."""
    tasks = Tasks()
    tasks.add(Task(key="mail", name="Send Email", body=lambda _, p: p, parameters=Mail))
    tasks.add(Task(key="echo", name="Echo", body=lambda _, p: p))
    return tasks


HASHER = Argon2Hasher.create(memory_kib=8, passes=1)
HASHED = HASHER.hash(PASSWORD)
FIELDS = JsonSerializer("is not a known field")
KEY = b"k" * 32
FACTOR_KEYS = FactorKeys.of([KEY])


def checkpoint_log(folder: Path) -> FileCheckpointLog:
    """Return the checkpoint file of an application."""
    return FileCheckpointLog(folder / "audit-checkpoints.jsonl")


def build_api(
    folder: Path,
    settings: HttpSettings | None = None,
    duty: SecondFactorPolicy = SecondFactorPolicy.NONE,
) -> ApiFixture:
    """Return an application on an empty store, with two tasks and no users."""
    clock, mail = ManualClock(), RecordingMailer()
    metrics = MetricsRegistry()
    cache = MeteredCache(MemoryCache(clock), metrics)
    store = MemoryStore(clock)
    tasks = known_tasks()
    files = LocalFileStore(folder=folder, ids=UuidIds())
    definitions = TaskDefinitionService(
        store=store, clock=clock, tasks=tasks, serializer=JsonSerializer()
    )
    definitions.synchronise()
    identity = RegistrationService(
        store=store, clock=clock, randomness=SystemRandomness(), hasher=HASHER, mailer=mail
    )
    login_service = LoginService(
        store=store,
        clock=clock,
        ids=UuidIds(),
        hasher=HASHER,
        tokens=JwtTokens.create([KEY], clock, issuer="http://localhost"),
        totp=PyotpTotp(),
        factor_keys=FACTOR_KEYS,
        second_factor_policy=duty,
    )
    members = AccountServiceSet.of(identity, login_service)
    box = SodiumSecretBox.create([KEY])
    secrets = DeliverySecrets(randomness=SystemRandomness(), box=box)
    accounts = AccountService(store=store, clock=clock, secrets=secrets)
    parts = AppDependencies(
        identity=identity,
        login=login_service,
        passwords=members.passwords,
        profiles=members.profiles,
        users=members.users,
        sessions=members.sessions,
        api_keys=members.api_keys,
        second_factor=members.second_factor,
        schedules=ScheduleService(
            store=store, clock=clock, tasks=tasks, definitions=definitions, serializer=FIELDS
        ),
        jobs=JobService(store=store, clock=clock, definitions=definitions, files=files),
        definitions=definitions,
        goals=GoalService(store=store, clock=clock, serializer=FIELDS),
        progress=ProgressService(store=store, clock=clock, serializer=FIELDS),
        timers=TimerService(store=store, clock=clock),
        summaries=SummaryService(store=store, cache=cache, clock=clock),
        notifications=NotificationService(store=store, clock=clock),
        preferences=PreferenceService(store=store, clock=clock, tokens=UnsubscribeTokens([KEY])),
        projects=copy_fields(
            ProjectsApi, make_projects(store, clock, Notifier(clock=clock), FIELDS)
        ),
        accounts=accounts,
        members=MemberService(store=store, clock=clock, people=members.users),
        destinations=DestinationService(
            store=store,
            clock=clock,
            secrets=secrets,
            client=RecordingWebhookClient(),
            serializer=FIELDS,
        ),
        account_users=AccountUserService(
            store=store, registration=identity, accounts=accounts, people=members.users
        ),
        publishing=PublishService(store=store, clock=clock, ids=UuidIds(), secret_box=box),
        replays=ReplayService(store=store, clock=clock),
        delivery_log=DeliveryLog(store=store, clock=clock),
        audit_log=AuditLog(store=store, clock=clock, administered_projects=administered_projects),
        audit_verifier=AuditVerifier(
            store=store, signer=CheckpointSigner.of([KEY]), log=checkpoint_log(folder)
        ),
        metrics=metrics,
        serializer=FIELDS,
        ids=UuidIds(),
        database=store,
        settings=settings or HttpSettings(version="1.2.3", docs=False),
    )
    client = falcon.testing.TestClient(build_app(parts))
    return ApiFixture(clock, mail, store, parts, files, client, HASHED)


@pytest.fixture
def empty(tmp_path: Path) -> ApiFixture:
    """An application without users."""
    return build_api(tmp_path)


def add_users(api: ApiFixture) -> ApiFixture:
    """Add the users ada and bob, una (unverified) and root (superuser)."""
    api.join("ada")
    api.join("bob")
    api.join("una", is_email_verified=False)
    api.join("root", is_super_user=True, role=Role.ADMIN)
    return api


@pytest.fixture
def api(empty: ApiFixture) -> ApiFixture:
    """An application with ada and bob, una (unverified) and root (superuser)."""
    return add_users(empty)


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> ApiFixture:
    """An application with one row of each kind, for read-only requests."""
    api = add_users(build_api(tmp_path_factory.mktemp("used")))
    api.schedule("root")
    api.job("root")
    api.goal("root")
    api.log(1, "root")
    api.account("root")
    api.member(1, "ada", caller="root")
    api.destination(1, "root")
    api.publish(1, "root")
    Workspace(api, "root").fill()
    return api


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> ApiFixture:
    """An application that serves the documentation."""
    return add_users(build_api(tmp_path_factory.mktemp("docs"), HttpSettings(version="1.2.3")))


@pytest.fixture
def make_api(tmp_path: Path) -> Callable[[HttpSettings], ApiFixture]:
    """Return a function that builds an application with other settings."""

    def make(settings: HttpSettings) -> ApiFixture:
        made = build_api(tmp_path, settings)
        made.join("ada")
        made.join("una", is_email_verified=False)
        made.join("root", is_super_user=True, role=Role.ADMIN)
        return made

    return make
