"""Jobs: states and transitions, claim order and fairness."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import IntEnum, StrEnum
from math import inf
from typing import Any, NewType, Self, SupportsFloat

from attrs import Factory, evolve, frozen

from workbell.domain.errors import Conflict, Invalid, LimitReached
from workbell.domain.identity.user import SYSTEM_ID, UserId
from workbell.domain.jobs.task import OnLost, Task

JobId = NewType("JobId", int)

MAX_JSON_BYTES = 64 * 1024
FIRST_ROWS = 5_000
"""Ready jobs of a queue that are read to hold those of parked tasks."""


class JobState(IntEnum):
    """
    The state of a job; the numbers are stored.

    Waiting states are SCHEDULED (due later, or waiting for a retry), HELD (due,
    but its concurrency key is full or its task inactive) and READY. The last four
    are final.
    """

    SCHEDULED = 0
    HELD = 1
    READY = 2
    RUNNING = 3
    SUCCEEDED = 4
    FAILED = 5
    CANCELLED = 6
    SKIPPED = 7

    @property
    def ended(self) -> bool:
        """Whether the state is final."""
        return self >= JobState.SUCCEEDED

    @property
    def waiting(self) -> bool:
        """Whether the job is waiting to run."""
        return self <= JobState.READY


WAITING = (JobState.SCHEDULED, JobState.HELD, JobState.READY)
UNFINISHED = (*WAITING, JobState.RUNNING)
ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.SKIPPED)


class Status(StrEnum):
    """The state as the API presents it."""

    PENDING = "pending"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class ClaimMode(IntEnum):
    """How a job is claimed: in batches, up to the free threads, or alone."""

    BATCH = 0
    ORDINARY = 1
    EXCLUSIVE = 2


class JobOrigin(StrEnum):
    """What created a job."""

    SCHEDULE = "schedule"
    RUN_NOW = "run_now"
    BACKFILL = "backfill"
    API = "api"
    LIBRARY = "library"
    DELIVERY = "delivery"
    MAIL = "mail"
    SLA = "sla"
    REMINDER = "reminder"
    SYSTEM = "system"


@frozen
class Progress:
    """Progress of a job; `total` is None if it is unknown."""

    done: float
    total: float | None = None
    note: str = ""


MAX_PROGRESS = 1e15


def make_progress(done: object, total: object, note: object) -> Progress:
    """Return progress that every store can hold; raise Invalid for other values."""
    if not isinstance(note, str):
        raise Invalid.field("note", f"must be a text, not {note!r}")
    number = _progress_number("done", done)
    return Progress(number, None if total is None else _progress_number("total", total), note)


def _progress_number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, SupportsFloat):
        raise Invalid.field(name, f"must be a number, not {value!r}")
    try:
        number = float(value)
    except (OverflowError, ValueError, TypeError):
        number = inf
    if not -MAX_PROGRESS < number < MAX_PROGRESS:  # also NaN
        raise Invalid.field(name, "must be finite and below 10^15")
    return value if type(value) is int else number


@frozen
class MissedTicks:
    """A range of ticks that one row accounts for."""

    first: datetime
    last: datetime
    count: int


@frozen(kw_only=True)
class Job:
    """
    A unit of work, due at a time.

    The id is 0 until the store assigns one. `token` is the fencing token: every
    claim increments it, and only outcomes with the current one are accepted.
    `due_at` = tick + jitter + delay. `tick` is set only on the one job that the
    schedule creates for it, `for_tick` on its manual runs and backfills.
    `fail_when_lost`: do not retry after a crash of the worker. `uncharged` counts
    the attempts that use up none of `max_attempts`: snoozes, stops of the worker,
    and the extra attempt of a batch job whose worker crashed.
    """

    id: JobId = JobId(0)
    owner: UserId = SYSTEM_ID
    task: str
    name: str = ""
    description: str = ""
    parameters: Mapping[str, Any] = Factory(dict[str, Any])
    state: JobState = JobState.SCHEDULED
    due_at: datetime
    queue: str = "default"
    priority: int = 0
    weight: float = 1.0
    fair_key: str = ""
    fair_tag: float = 0.0
    concurrency_key: str | None = None
    concurrency_limit: int = 1
    mode: ClaimMode = ClaimMode.ORDINARY
    fail_when_lost: bool = False
    attempt: int = 0
    uncharged: int = 0
    max_attempts: int = 3
    timeout_seconds: int = 300
    token: int = 0
    lease_until: datetime | None = None
    worker: str | None = None
    cancel_requested: bool = False
    progress: Progress | None = None
    result: Any = None
    reason: str | None = None
    origin: JobOrigin = JobOrigin.API
    schedule_id: int | None = None
    tick: datetime | None = None
    for_tick: datetime | None = None
    missed: MissedTicks | None = None
    rerun_of: JobId | None = None
    idempotency_key: str | None = None
    request_hash: str | None = None
    hidden: bool = False
    created_at: datetime
    queued_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def status(self) -> Status:
        """The state as the API presents it."""
        return public_status(self.state, self.attempt)

    @property
    def tries(self) -> int:
        """How many of the maximum of attempts are used up."""
        return self.attempt - self.uncharged

    @property
    def fairness_key(self) -> str:
        """The key that shares the workers fairly: by default the owner."""
        return self.fair_key or str(self.owner)

    def cancel(self, now: datetime, reason: str = "cancelled on request") -> Self:
        """Cancel a waiting job, or request it of a running one; Conflict if ended."""
        if self.state.ended:
            raise Conflict(f"The job has already {_describe_end(self.state)}.")
        if self.state is JobState.RUNNING:
            return evolve(self, cancel_requested=True)
        return evolve(self, state=JobState.CANCELLED, reason=reason, ended_at=now)

    def skip(self, now: datetime, reason: str) -> Self:
        """Return the job of a tick as skipped."""
        return evolve(self, state=JobState.SKIPPED, reason=reason, ended_at=now)

    def supersede(self, now: datetime) -> Self:
        """Return a held tick as skipped, because a newer tick replaces it."""
        return self.skip(now, "superseded")

    def retry(self, now: datetime) -> Self:
        """
        Return a failed or cancelled job, due now, with one more attempt.

        Raises:
            Conflict: The job is in another state.
        """
        if self.state not in (JobState.FAILED, JobState.CANCELLED):
            raise Conflict(f"A job that is {self.status} cannot be retried.")
        return evolve(
            self,
            state=JobState.SCHEDULED,
            due_at=now,
            token=self.token + 1,
            max_attempts=max(self.max_attempts, self.tries) + 1,
            cancel_requested=False,
            reason=None,
            result=None,
            progress=None,
            ended_at=None,
            hidden=False,
        )

    def rerun(self, now: datetime) -> "Job":
        """Return a new job with the same task and parameters, due now."""
        return Job(
            owner=self.owner,
            task=self.task,
            name=self.name,
            description=self.description,
            parameters=self.parameters,
            due_at=now,
            queue=self.queue,
            priority=self.priority,
            weight=self.weight,
            fair_key=self.fair_key,
            concurrency_key=self.concurrency_key,
            concurrency_limit=self.concurrency_limit,
            mode=self.mode,
            fail_when_lost=self.fail_when_lost,
            max_attempts=self.max_attempts,
            timeout_seconds=self.timeout_seconds,
            origin=self.origin,
            schedule_id=self.schedule_id,
            for_tick=self.tick or self.for_tick,
            rerun_of=self.id,
            created_at=now,
        )


def _describe_end(state: JobState) -> str:
    words = {JobState.CANCELLED: "been cancelled", JobState.SKIPPED: "been skipped"}
    return words.get(state, state.name.lower())


_STATUS = {
    JobState.RUNNING: Status.RUNNING,
    JobState.SUCCEEDED: Status.SUCCEEDED,
    JobState.FAILED: Status.FAILED,
    JobState.CANCELLED: Status.CANCELLED,
    JobState.SKIPPED: Status.SKIPPED,
}


def public_status(state: JobState, attempt: int) -> Status:
    """Return the status of a state; waiting jobs with attempts are retrying."""
    return _STATUS.get(state) or (Status.RETRYING if attempt else Status.PENDING)


def initial_state(
    job: Job, now: datetime, *, task_active: bool, concurrency_key_free: bool
) -> JobState:
    """Return the state in which a waiting job is stored."""
    if job.due_at > now:
        return JobState.SCHEDULED
    return JobState.READY if task_active and concurrency_key_free else JobState.HELD


def fair_tag(lowest: float | None, highest: float | None, nth: int, weight: float) -> float:
    """
    Return a job's position in fair queueing, as virtual time (ENGINE.md).

    `lowest` is the lowest tag of READY jobs with the same queue and priority,
    `highest` the highest tag of its fairness key among them; `nth` counts the
    jobs of this key in the same statement, from 1.
    """
    # A row with another weight must not stop the jobs that become ready with it.
    divisor = weight if weight > 0 else 1.0
    return max(lowest or 0.0, highest or 0.0) + nth / divisor


def select_claimable(modes: Sequence[ClaimMode], free_threads: int) -> int:
    """
    Return how many of the rows, from the first, one claim may include.

    Batch rows are unlimited, ordinary ones are limited by the free threads, and
    an exclusive row must be the only one.
    """
    ordinary = 0
    for n, mode in enumerate(modes):
        if mode is ClaimMode.EXCLUSIVE:
            return max(n, 1)
        if mode is ClaimMode.ORDINARY:
            if ordinary >= free_threads:
                return n
            ordinary += 1
    return len(modes)


def check_waiting_limit(waiting: int, adding: int, limit: int) -> None:
    """Raise LimitReached if an owner would exceed the limit on waiting jobs."""
    if waiting + adding > limit:
        raise LimitReached(
            f"You have {waiting} of {limit} waiting jobs.", used=waiting, limit=limit
        )


def claim_mode(task: Task | None) -> ClaimMode:
    """Return how a task's jobs are claimed."""
    if task is not None and task.on_lost is OnLost.FAIL:
        return ClaimMode.EXCLUSIVE
    return ClaimMode.BATCH if task is not None and task.batch else ClaimMode.ORDINARY
