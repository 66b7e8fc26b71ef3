"""All engine services on a memory store with a manual clock."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from attrs import Factory, define, evolve, frozen

from tests.contract.factories import NOON, ManualClock, a_user
from workbell.adapters.file_store import LocalFileStore
from workbell.adapters.memory.store import MemoryStore
from workbell.adapters.serialization.serializer import JsonSerializer
from workbell.domain.identity.actor import ALL_OWNERS, Actor
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.attempt import Claim, Outcome, TaskResult, settle
from workbell.domain.jobs.job import Job, JobId, JobState
from workbell.domain.jobs.task import Task, TaskContext, Tasks
from workbell.domain.schedules.schedule import Schedule
from workbell.ports.jobs.views import JobFilter
from workbell.services.jobs.commands import JobService
from workbell.services.jobs.execution import ExecutionService
from workbell.services.jobs.requests import NewJob
from workbell.services.jobs.retention import RetentionService
from workbell.services.jobs.task_definitions import TaskDefinitionService
from workbell.services.schedules.commands import ScheduleService
from workbell.services.schedules.overdue_alerts import OverdueAlerts
from workbell.services.schedules.parameter_check import ParameterCheck
from workbell.services.schedules.requests import NewSchedule
from workbell.services.schedules.run_outcomes import RunOutcomes
from workbell.services.schedules.ticker import Ticker


@frozen
class Email:
    """Parameters of the task 'email'."""

    to: str
    copies: int = 1


@define
class FixedRandomness:
    """Randomness that always returns the same share of the range."""

    share: float = 0.5

    def randbelow(self, bound: int) -> int:
        """Return the share of the bound."""
        return int(bound * self.share)

    def uniform(self, low: float, high: float) -> float:
        """Return the value at this share between low and high."""
        return low + (high - low) * self.share


@define
class CountingIds:
    """Consecutive ids."""

    _numbers: Iterator[int] = Factory(count)

    def new(self) -> str:
        """Return the next id."""
        return f"id-{next(self._numbers)}"


@define(eq=False)
class RecordingContext:
    """A task context that records its log lines."""

    claim: Claim
    clock: ManualClock
    lines: list[str] = Factory(list[str])

    @property
    def job_id(self) -> int:
        return self.claim.id

    @property
    def attempt(self) -> int:
        return self.claim.attempt

    @property
    def owner(self) -> UserId:
        return self.claim.owner

    @property
    def schedule_id(self) -> int | None:
        return self.claim.schedule_id

    @property
    def tick(self) -> datetime | None:
        return self.claim.tick

    @property
    def idempotency_key(self) -> str:
        return f"job-{self.claim.id}"

    @property
    def log(self) -> "RecordingContext":
        return self

    def now(self) -> datetime:
        return self.clock.now()

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        pass

    def check(self) -> None:
        pass

    def artifact(self, name: str, source: Any, media_type: str = "") -> None:
        pass

    def debug(self, event: str, **values: object) -> None:
        self.lines.append(event)

    info = warning = error = debug


@frozen(kw_only=True)
class EngineFixture:
    """All engine services over one memory store."""

    clock: ManualClock
    store: MemoryStore
    randomness: FixedRandomness
    tasks: Tasks
    files: LocalFileStore
    definitions: TaskDefinitionService
    parameter_check: ParameterCheck
    schedules: ScheduleService
    jobs: JobService
    ticker: Ticker
    execution: ExecutionService[Any]
    retention: RetentionService
    overdue_alerts: OverdueAlerts

    # users

    def add_user(self, name: str = "alice", **fields: Any) -> Actor:
        """Add a user and return its actor."""
        with self.store.begin() as tx:
            return Actor.of(tx.users.add(a_user(name, **fields)))

    def change(self, actor: Actor, **fields: Any) -> Actor:
        """Change a user's row and return the new actor."""
        with self.store.begin() as tx:
            tx.users.replace(evolve(tx.users.get(actor.user_id), **fields))
            return Actor.of(tx.users.get(actor.user_id))

    # schedules and jobs

    def schedule(self, actor: Actor, cron: str = "* * * * *", **fields: Any) -> Schedule:
        """Create a schedule of the task 'echo'."""
        values: dict[str, Any] = {"task_definition": "echo", "cron_expression": cron}
        return self.schedules.create(actor, NewSchedule(**values | fields)).schedule

    def reload(self, schedule: Schedule) -> Schedule:
        """Return the stored schedule."""
        with self.store.view() as tx:
            return tx.schedules.get(ALL_OWNERS, schedule.id)

    def replace(self, schedule: Schedule) -> None:
        """Store a schedule."""
        with self.store.begin() as tx:
            tx.schedules.replace(schedule)

    def enqueue(self, actor: Actor, **fields: Any) -> Job:
        """Enqueue a job of the task 'echo'."""
        return self.jobs.create(actor, NewJob(**fields))[0]

    def list_jobs(self, schedule: Schedule | None = None) -> list[Job]:
        """Return all jobs, or a schedule's, oldest first."""
        filters = JobFilter(schedule_id=None if schedule is None else schedule.id)
        with self.store.view() as tx:
            return list(tx.jobs.find(ALL_OWNERS, filters, ordering=["id"], limit=100_000))

    def reload_job(self, job: Job | Claim) -> Job:
        """Return the stored job."""
        with self.store.view() as tx:
            return tx.jobs.get(ALL_OWNERS, JobId(job.id))

    def states(self, schedule: Schedule | None = None) -> list[JobState]:
        """Return the states of all jobs, or a schedule's, oldest first."""
        return [job.state for job in self.list_jobs(schedule)]

    def actions(self) -> list[str]:
        """Return the actions in the audit trail, oldest first."""
        with self.store.view() as tx:
            entries = tx.audit.latest(limit=1000)
        return [f"{entry.action} {entry.model_name}" for entry in reversed(entries)]

    # time and jobs

    def advance(self, seconds: float = 0, **spans: float) -> datetime:
        """Advance the clock."""
        self.clock.at += timedelta(seconds=seconds, **spans)
        return self.clock.at

    def tick(self, seconds: float = 0, **spans: float) -> int:
        """Advance the clock, then process due ticks."""
        self.advance(seconds, **spans)
        return self.ticker.tick()

    def claim(self, queue: str = "default") -> list[Claim]:
        """Claim all claimable jobs of a queue."""
        claims, _ = self.execution.claim(queue, worker="w", limit=100, free_threads=100)
        return list(claims)

    def settle(self, claim: Claim, outcome: Outcome = Outcome.SUCCEEDED, **fields: Any) -> bool:
        """Commit an outcome; return whether it was accepted."""
        ending = TaskResult(outcome=outcome, **fields)
        settlement = settle(claim, ending, self.clock.now(), 0.5)
        return claim.id in self.execution.settle([settlement])

    def run(self, claim: Claim) -> RecordingContext:
        """Run a claimed job and commit its settlement."""
        recorder = RecordingContext(claim, self.clock)
        context: TaskContext = recorder
        settlement = self.execution.run(claim, context)
        if settlement is not None:
            self.execution.settle([settlement])
        return recorder

    def run_and_fail(self, schedule: Schedule, times: int = 1) -> None:
        """Run a schedule's task now and let it fail, this many times."""
        for _ in range(times):
            job = self.schedules.run_now(_SUPER, schedule.id)
            (claim,) = (each for each in self.claim() if each.id == job.id)
            assert self.settle(claim, Outcome.FAILED, error="no", permanent=True)

    def run_and_succeed(self, schedule: Schedule) -> None:
        """Run a schedule's task now and let it succeed."""
        job = self.schedules.run_now(_SUPER, schedule.id)
        (claim,) = (each for each in self.claim() if each.id == job.id)
        assert self.settle(claim)

    def messages(self) -> list[Mapping[str, Any]]:
        """Return the parameters of the enqueued emails."""
        return [job.parameters for job in self.list_jobs() if job.task == "email.send"]


_SUPER = Actor(user_id=UserId(999), is_super_user=True)

MAX_AGE = {
    JobState.SUCCEEDED: timedelta(days=7),
    JobState.SKIPPED: timedelta(days=7),
    JobState.FAILED: timedelta(days=30),
    JobState.CANCELLED: timedelta(days=30),
}


def make_engine(
    folder: Path, *tasks: Task, limit: int = 5, max_waiting: int = 10_000
) -> EngineFixture:
    """Return a fixture with the tasks 'echo', 'email' and the given ones."""
    clock, randomness = ManualClock(NOON), FixedRandomness()
    store, serializer = MemoryStore(clock), JsonSerializer()
    files = LocalFileStore(folder, CountingIds())
    registry = Tasks()
    registry.add(Task(key="echo", body=lambda _, parameters: parameters))
    registry.add(Task(key="email", body=lambda *_: None, parameters=Email))
    for task in tasks:
        registry.add(task)
    definitions = TaskDefinitionService(
        store=store, clock=clock, tasks=registry, serializer=serializer
    )
    definitions.synchronise()
    return EngineFixture(
        clock=clock,
        store=store,
        randomness=randomness,
        tasks=registry,
        files=files,
        definitions=definitions,
        parameter_check=ParameterCheck(store=store, clock=clock, definitions=definitions),
        schedules=ScheduleService(
            store=store,
            clock=clock,
            tasks=registry,
            definitions=definitions,
            serializer=JsonSerializer("is not a known field"),
            active_limit=limit,
            max_waiting=max_waiting,
            queues=("default", "slow"),
        ),
        jobs=JobService(
            store=store,
            clock=clock,
            definitions=definitions,
            files=files,
            max_waiting=max_waiting,
            known_queues=("default", "slow"),
        ),
        ticker=Ticker(store=store, clock=clock, randomness=randomness, tasks=registry),
        execution=ExecutionService(
            store=store,
            clock=clock,
            randomness=randomness,
            definitions=definitions,
            files=files,
            lease=timedelta(seconds=30),
            on_settled=[RunOutcomes(clock=clock)],
        ),
        retention=RetentionService(
            store=store,
            clock=clock,
            files=files,
            max_age=MAX_AGE,
            max_age_scheduled=timedelta(days=30),
        ),
        overdue_alerts=OverdueAlerts(store=store, clock=clock),
    )
