"""Attempts: claims, task results, and the outcomes that follow from them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from math import isfinite
from typing import Any

from attrs import evolve, field, frozen

from workbell.domain.identity.user import SYSTEM_ID, UserId
from workbell.domain.jobs.job import ClaimMode, JobId, JobState
from workbell.domain.jobs.task import MAX_DELAY_SECONDS, MIN_DELAY_SECONDS, Isolation

LOST_RETRY_DELAY = timedelta(seconds=1)
RETRY_BASE = 10.0
RETRY_CAP = 3600.0
MAX_TIMEOUT = timedelta(days=366)
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
    time, also of manual runs and backfills. `unreadable` is why the row could not
    be decoded: only the id and the token of such a claim are the row's.
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
    uncharged: int = 0
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
    unreadable: str | None = None

    @classmethod
    def of_unreadable(cls, job_id: JobId, token: int, reason: str, now: datetime) -> "Claim":
        """Return the claim of a row that cannot be decoded."""
        return cls(
            id=job_id,
            token=token,
            task="",
            owner=SYSTEM_ID,
            parameters={},
            queue="",
            mode=ClaimMode.ORDINARY,
            fail_when_lost=False,
            concurrency_key=None,
            attempt=0,
            max_attempts=0,
            timeout_seconds=0,
            due_at=now,
            queued_at=None,
            started_at=now,
            schedule_id=None,
            tick=None,
            unreadable=reason,
        )

    @property
    def deadline(self) -> datetime:
        """When the attempt times out, for a process that has only the row; saturates."""
        seconds = min(max(0, self.timeout_seconds), MAX_TIMEOUT.total_seconds())
        return self.started_at + timedelta(seconds=seconds)

    @property
    def tries(self) -> int:
        """How many of the maximum of attempts are used up, with this one."""
        return self.attempt - self.uncharged


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
    becomes a cancellation if cancellation was requested. `uncharged` is the job's
    new number of attempts that use up none of its maximum. `data` is for hooks (see
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
    uncharged: int = 0
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
    where the task failed, without values of variables and settings. `isolation`
    is None if the worker did not report the end of the attempt.
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


def retry_delay(tries: int, random_fraction: float) -> timedelta:
    """
    Return the delay after a failed attempt: exponential with full jitter.

    `tries` counts from 1, `random_fraction` is in [0, 1]. The upper bound
    doubles from 10 s to one hour.
    """
    bound = min(RETRY_CAP, RETRY_BASE * 2.0 ** min(tries - 1, 16))
    return timedelta(seconds=bound * random_fraction)


def _retry_delay(claim: Claim, requested: float | None, random_fraction: float) -> timedelta:
    """Return the delay that the error requests, from 1 s to 366 days, or the usual one."""
    if requested is None or not isfinite(requested):
        return retry_delay(claim.tries, random_fraction)
    return timedelta(seconds=min(max(MIN_DELAY_SECONDS, requested), MAX_DELAY_SECONDS))


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
    state, due_at, uncharged = JobState.FAILED, None, 0
    match task_result.outcome:
        case Outcome.SUCCEEDED:
            state = JobState.SUCCEEDED
        case Outcome.CANCELLED:
            state = JobState.CANCELLED
        case Outcome.SNOOZED | Outcome.INTERRUPTED:
            state, uncharged = JobState.SCHEDULED, 1
            due_at = now + timedelta(seconds=task_result.retry_after or 0.0)
        case _ if claim.cancel_requested:
            state = JobState.CANCELLED
        case Outcome.TIMED_OUT | Outcome.CRASHED if claim.fail_when_lost:
            pass  # its body may still run, so a retry could be a second effect
        case _ if not task_result.permanent and claim.tries < claim.max_attempts:
            state = JobState.SCHEDULED
            due_at = now + _retry_delay(claim, task_result.retry_after, random_fraction)
    return _make_settlement(claim, task_result, state, now, due_at=due_at, uncharged=uncharged)


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
    uncharged = 1 if claim.mode is ClaimMode.BATCH else 0
    state, due_at = JobState.FAILED, None
    if claim.cancel_requested:
        state = JobState.CANCELLED
    elif not claim.fail_when_lost and claim.tries < claim.max_attempts + uncharged:
        state, due_at = JobState.SCHEDULED, now + LOST_RETRY_DELAY
    task_result = TaskResult(outcome=outcome, error=error)
    settlement = _make_settlement(
        claim, task_result, state, now, due_at=due_at, uncharged=uncharged
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
    uncharged: int,
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
        uncharged=claim.uncharged + uncharged,
        mode=claim.mode,
        error=task_result.error,
        traceback=task_result.traceback,
        result=task_result.result,
        schedule_id=claim.schedule_id,
        worker=claim.worker,
        isolation=task_result.isolation,
        data=task_result.data,
    )
