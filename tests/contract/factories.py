"""Fixtures of the contract tests: a clock, rows and helpers."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from attrs import define, evolve

from workbell.domain.cron.rule import CronRule
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.identity.user import User, UserId
from workbell.domain.jobs.attempt import Claim, Outcome, Settlement, TaskResult, reap, settle
from workbell.domain.jobs.claim_limits import UNLIMITED, ClaimLimits
from workbell.domain.jobs.job import Job, JobId, JobState
from workbell.domain.jobs.task import TaskDefinition
from workbell.domain.schedules.schedule import Schedule
from workbell.ports.delivery.repository import DeliveryTx
from workbell.ports.goals.reminders import RemindersTx
from workbell.ports.jobs.repository import Waker
from workbell.ports.projects.repository import ProjectsTx
from workbell.ports.rate_limits import RateLimitTx
from workbell.ports.store import Health, Store

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
ALICE, BOB = UserId(1), UserId(2)

CANCELLED, FAILED, HELD, READY = (
    JobState.CANCELLED,
    JobState.FAILED,
    JobState.HELD,
    JobState.READY,
)
RUNNING, SCHEDULED, SKIPPED, SUCCEEDED = (
    JobState.RUNNING,
    JobState.SCHEDULED,
    JobState.SKIPPED,
    JobState.SUCCEEDED,
)


def after(seconds: float) -> datetime:
    """Return the time some seconds after noon."""
    return NOON + timedelta(seconds=seconds)


class Tx(RemindersTx, DeliveryTx, ProjectsTx, RateLimitTx, Protocol):
    """Everything that a transaction offers."""


class AnyStore(Store[Tx], Health, Protocol):
    """A store of any kind."""

    waker: Waker | None


@define
class ManualClock:
    """A clock that changes only when it is set."""

    at: datetime = NOON

    def now(self) -> datetime:
        """Return the time it was set to."""
        return self.at


def a_job(**fields: Any) -> Job:
    """Return a job of Alice's that is due at noon."""
    values: dict[str, Any] = {"owner": ALICE, "task": "echo", "due_at": NOON, "created_at": NOON}
    return Job(**values | fields)


def in_concurrency_key(limit: int = 1, **fields: Any) -> Job:
    """Return a job in the concurrency key 'concurrency key'."""
    return a_job(**{"concurrency_key": "concurrency_key", "concurrency_limit": limit} | fields)


def a_schedule(**fields: Any) -> Schedule:
    """Return an active schedule of Alice's, next due at noon."""
    values: dict[str, Any] = {
        "owner": ALICE,
        "task": "echo",
        "cron": CronRule("0 * * * *"),
        "next_at": NOON,
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Schedule(**values | fields)


def a_definition(**fields: Any) -> TaskDefinition:
    """Return the definition of the task 'echo'."""
    values: dict[str, Any] = {"key": "echo", "name": "Echo", "created_at": NOON}
    return TaskDefinition(**values | fields)


def a_user(name: str = "alice", **fields: Any) -> User:
    """Return a person with an address of the same name."""
    values: dict[str, Any] = {
        "username": name,
        "email": f"{name}@example.com",
        "created_at": NOON,
    }
    return User(**values | fields)


def keep(store: AnyStore, *jobs: Job, now: datetime = NOON) -> list[Job]:
    """Add jobs in one transaction; none of them may be refused."""
    with store.begin() as tx:
        kept = [job for job in tx.jobs.add(jobs, now) if job is not None]
    assert len(kept) == len(jobs)
    return kept


def stand(store: AnyStore, *jobs: Job | JobId) -> list[JobState]:
    """Return in which states jobs stand now."""
    return [see(store, job).state for job in jobs]


def see(store: AnyStore, job: Job | Claim | JobId | int) -> Job:
    """Return the current state of a job."""
    number = job if isinstance(job, int) else job.id
    with store.view() as tx:
        return tx.jobs.get(ALL_OWNERS, JobId(number))


def claim(
    store: AnyStore,
    *,
    now: datetime = NOON,
    queue: str = "default",
    limit: int = 100,
    free_threads: int = 100,
    worker: str = "worker",
    lease: float = 30,
    limits: ClaimLimits = UNLIMITED,
) -> list[Claim]:
    """Claim in one transaction."""
    with store.begin() as tx:
        return list(
            tx.jobs.claim(
                queue,
                worker=worker,
                now=now,
                lease_until=now + timedelta(seconds=lease),
                limit=limit,
                free_threads=free_threads,
                limits=limits,
            )
        )


def settle_and_claim(
    store: AnyStore, settlements: Sequence[Settlement], *, limits: ClaimLimits
) -> tuple[Sequence[Claim], set[JobId]]:
    """Settle and claim as a worker with 100 free threads does."""
    with store.begin() as tx:
        return tx.jobs.settle_and_claim(
            settlements,
            "default",
            worker="worker",
            now=NOON,
            lease_until=after(30),
            limit=100,
            free_threads=100,
            limits=limits,
        )


def running(store: AnyStore, *jobs: Job, now: datetime = NOON) -> list[Claim]:
    """Add jobs and claim them all."""
    kept = keep(store, *jobs, now=now)
    claims = {each.id: each for each in claim(store, now=now)}
    return [claims[job.id] for job in kept]


def ended(
    of: Claim, outcome: Outcome = Outcome.SUCCEEDED, *, now: datetime = NOON, **fields: Any
) -> Settlement:
    """Return what the domain decides after an outcome."""
    return settle(of, TaskResult(outcome=outcome, **fields), now, 0.5)


def write(store: AnyStore, *settlements: Settlement) -> set[JobId]:
    """Settle in one transaction."""
    with store.begin() as tx:
        return tx.jobs.settle(settlements)


def sweep(store: AnyStore, now: datetime) -> int:
    """Stage in one transaction."""
    with store.begin() as tx:
        return tx.jobs.stage(now)


def reap_all(store: AnyStore, now: datetime) -> set[JobId]:
    """Close every claim whose lease has run out."""
    with store.view() as tx:
        lost = tx.jobs.expired(now)
    return write(store, *[reap(each, now) for each in lost])


def move(store: AnyStore, job: Job | Claim | JobId, to: str, *, now: datetime = NOON) -> bool:
    """Cancel, supersede or retry a job, as a service does."""
    number = job if isinstance(job, int) else job.id
    with store.begin() as tx:
        before = tx.jobs.get_for_update(ALL_OWNERS, number)
        return tx.jobs.replace(before, getattr(before, to)(now))


def release_held(tx: Any, now: datetime, *, thorough: bool = True) -> int:
    """Release held jobs, as a sweep does that reads all keys; return how many."""
    return int(tx.jobs.release_held(tx.jobs.find_releasable(thorough=thorough), now))


def switch(store: AnyStore, key: str, *, on: bool, now: datetime = NOON) -> int:
    """Activate or deactivate a task, as a service does; return how many rows moved."""
    with store.begin() as tx:
        tx.definitions.replace(evolve(tx.definitions.by_key(key), is_active=on))
        return release_held(tx, now) if on else tx.jobs.hold_first([key], limit=500)


def ids(rows: Sequence[Job] | Sequence[Claim] | Sequence[Schedule]) -> list[int]:
    """Return the ids of rows, in their order."""
    return [row.id for row in rows]
