"""Attempts: claims, task results, and the outcomes that follow from them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from attrs import evolve, field, frozen

from workbell.domain.identity.user import UserId
from workbell.domain.jobs.job import ClaimMode, JobId, JobState
from workbell.domain.jobs.task import Isolation

LOST_RETRY_DELAY = timedelta(seconds=1)
RETRY_BASE = 10.0
RETRY_CAP = 3600.0
MAX_REQUESTED_DELAY = timedelta(days=366)
TIMEOUT_GRACE = timedelta(seconds=5)
"""Only for the reaper: a live worker closes its own attempts by monotonic time."""


class Outcome(StrEnum):
    """How one attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    LOST = "lost"
    CRASHED = "crashed"
    SNOOZED = "snoozed"
    INTERRUPTED = "interrupted"


@frozen(kw_only=True)
class Claim:
    """
    A job that a worker has claimed, with all that running it requires.

    `token` is the fencing token that the claim incremented. `tick` is the nominal
    time, also of manual runs and backfills.
    """

    id: JobId
    token: int
    task: str
    owner: UserId
    parameters: Mapping[str, Any]
    queue: str
    mode: ClaimMode
    fail_when_lost: bool
    concurrency_key: str | None
    attempt: int
    max_attempts: int
    timeout_seconds: int
    due_at: datetime
    queued_at: datetime | None
    started_at: datetime
    schedule_id: int | None
    tick: datetime | None
    fairness_key: str = ""
    cancel_requested: bool = False
    lease_until: datetime | None = None
    worker: str | None = None

    @property
    def deadline(self) -> datetime:
        """When the attempt times out, for a process that has only the row."""
        return self.started_at + timedelta(seconds=self.timeout_seconds)


@frozen(kw_only=True)
class TaskResult:
    """How the task ended, before the outcome of the attempt is decided."""

    outcome: Outcome
    result: Any = None
    error: str | None = None
    traceback: str | None = None
    permanent: bool = False
    retry_after: float | None = None
    isolation: Isolation | None = None
    data: object = field(default=None, repr=False)


@frozen(kw_only=True)
class Settlement:
    """
    The outcome of an attempt, to be written under the claim's token.

    The store accepts it only while the job is running under that token. A retry
    becomes a cancellation if cancellation was requested. `data` is for hooks (see
    `ResultForHook`), and is not stored with the job.
    """

    id: JobId
    token: int
    attempt: int
    state: JobState
    outcome: Outcome
    concurrency_key: str | None
    queued_at: datetime | None
    started_at: datetime
    ended_at: datetime
    due_at: datetime | None = None
    max_attempts: int
    mode: ClaimMode
    error: str | None = None
    traceback: str | None = None
    result: Any = None
    schedule_id: int | None = None
    worker: str | None = None
    isolation: Isolation | None = None
    lease_before: datetime | None = None
    data: object = field(default=None, repr=False)


@frozen(kw_only=True)
class Attempt:
    """
    One attempt of a job, written when it ends.

    `queued_at` is when the job became ready to be claimed. `traceback` shows
    where the task failed, without values of variables and settings. `isolation` is None if the worker did not report the end of the attempt.
    """

    job_id: JobId
    number: int
    queued_at: datetime | None
    started_at: datetime
    ended_at: datetime | None
    outcome: Outcome | None
    worker: str | None
    error: str | None
    traceback: str | None
    isolation: Isolation | None = None

    @property
    def queue_wait(self) -> timedelta | None:
        """How long the job was ready before a worker claimed it, if known."""
        return queue_wait(self.queued_at, self.started_at)

    @property
    def duration(self) -> timedelta | None:
        """How long the attempt took; None until it ends."""
        return None if self.ended_at is None else self.ended_at - self.started_at


@frozen
class LogLine:
    """One line of an attempt's log; `seq` counts from 1 within the attempt."""

    attempt: int
    seq: int
    at: datetime
    level: str
    text: str


@frozen
class Artifact:
    """A file that a job created; its size is in bytes, `key` is its address."""

    name: str
    media_type: str
    size: int
    sha256: str
    key: str


def queue_wait(queued_at: datetime | None, started_at: datetime) -> timedelta | None:
    """Return how long a job was ready before it was claimed; at least 0."""
    return None if queued_at is None else max(started_at - queued_at, timedelta())


def to_seconds(time: timedelta | None) -> float | None:
    """Return a length of time in seconds."""
    return None if time is None else time.total_seconds()


def retry_delay(attempt: int, random_fraction: float) -> timedelta:
    """
    Return the delay after a failed attempt: exponential with full jitter.

    `attempt` counts from 1, `random_fraction` is in [0, 1]. The upper bound
    doubles from 10 s to one hour.
    """
    bound = min(RETRY_CAP, RETRY_BASE * 2.0 ** min(attempt - 1, 16))
    return timedelta(seconds=bound * random_fraction)


def _requested_delay(seconds: float) -> timedelta:
    """Clamp the delay that a task requests to between 0 and 366 days."""
    return timedelta(seconds=min(max(0.0, seconds), MAX_REQUESTED_DELAY.total_seconds()))


def fail_settlement(settlement: Settlement, error: str) -> Settlement:
    """Return the outcome of an attempt whose data for a hook cannot be stored."""
    return evolve(
        settlement,
        state=JobState.FAILED,
        outcome=Outcome.FAILED,
        error=error,
        traceback=None,
        result=None,
        due_at=None,
        data=None,
    )


def settle(
    claim: Claim, task_result: TaskResult, now: datetime, random_fraction: float
) -> Settlement:
    """Decide the outcome of an ended attempt."""
    state, due_at, extra = JobState.FAILED, None, 0
    match task_result.outcome:
        case Outcome.SUCCEEDED:
            state = JobState.SUCCEEDED
        case Outcome.CANCELLED:
            state = JobState.CANCELLED
        case Outcome.SNOOZED | Outcome.INTERRUPTED:
            state, extra = JobState.SCHEDULED, 1
            due_at = now + _requested_delay(task_result.retry_after or 0.0)
        case _ if claim.cancel_requested:
            state = JobState.CANCELLED
        case Outcome.TIMED_OUT | Outcome.CRASHED if claim.fail_when_lost:
            pass  # its body may still run, so a retry could be a second effect
        case _ if not task_result.permanent and claim.attempt < claim.max_attempts:
            state = JobState.SCHEDULED
            due_at = now + (
                retry_delay(claim.attempt, random_fraction)
                if task_result.retry_after is None
                else _requested_delay(task_result.retry_after)
            )
    return _make_settlement(claim, task_result, state, now, due_at=due_at, extra=extra)


def reap(claim: Claim, now: datetime) -> Settlement:
    """
    Decide the outcome of a claim whose lease has expired.

    It counts as an attempt. If the job was claimed in a batch, another job may
    have crashed the worker: it gets one extra attempt, once, and is claimed
    exclusively from then on.
    """
    late = now > claim.deadline + TIMEOUT_GRACE
    outcome = Outcome.TIMED_OUT if late else Outcome.LOST
    error = "the time limit was exceeded" if late else "the worker was lost"
    extra = 1 if claim.mode is ClaimMode.BATCH else 0
    state, due_at = JobState.FAILED, None
    if claim.cancel_requested:
        state = JobState.CANCELLED
    elif not claim.fail_when_lost and claim.attempt < claim.max_attempts + extra:
        state, due_at = JobState.SCHEDULED, now + LOST_RETRY_DELAY
    settlement = _make_settlement(
        claim, TaskResult(outcome=outcome, error=error), state, now, due_at=due_at, extra=extra
    )
    mode = ClaimMode.EXCLUSIVE if claim.mode is ClaimMode.BATCH else claim.mode
    return evolve(settlement, mode=mode, lease_before=now)


def _make_settlement(
    claim: Claim,
    task_result: TaskResult,
    state: JobState,
    now: datetime,
    *,
    due_at: datetime | None,
    extra: int,
) -> Settlement:
    return Settlement(
        id=claim.id,
        token=claim.token,
        attempt=claim.attempt,
        state=state,
        outcome=task_result.outcome,
        concurrency_key=claim.concurrency_key,
        queued_at=claim.queued_at,
        started_at=claim.started_at,
        ended_at=max(now, claim.started_at),
        due_at=due_at,
        max_attempts=claim.max_attempts + extra,
        mode=claim.mode,
        error=task_result.error,
        traceback=task_result.traceback,
        result=task_result.result,
        schedule_id=claim.schedule_id,
        worker=claim.worker,
        isolation=task_result.isolation,
        data=task_result.data,
    )
