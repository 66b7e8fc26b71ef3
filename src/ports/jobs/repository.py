"""Jobs as the store keeps them: rows that move by guarded statements."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from workbell.domain.identity.actor import Scope
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.attempt import Artifact, Attempt, Claim, LogLine, Settlement
from workbell.domain.jobs.job import Job, JobId, JobOrigin, JobState, Progress, Status
from workbell.domain.jobs.task import Task
from workbell.domain.schedules.ticks import FastPathStep
from workbell.ports.audit import AuditRepository
from workbell.ports.identity.users import UserRepository
from workbell.ports.jobs.queues import QueueRepository, StatisticsRepository, WorkerRepository
from workbell.ports.jobs.task_definitions import TaskDefinitionRepository


@frozen(kw_only=True)
class JobFilter:
    """
    Which jobs a list shows; None leaves a matter open.

    Times from and to are both included. `search` looks in name, task and
    description, regardless of case.
    """

    statuses: Sequence[Status] | None = None
    task: str | None = None
    queue: str | None = None
    origins: Sequence[JobOrigin] | None = None
    schedule_id: int | None = None
    owner: UserId | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    due_from: datetime | None = None
    due_to: datetime | None = None
    search: str | None = None
    before_id: JobId | None = None


class JobRepository(Protocol):
    """
    Every piece of work.

    Rows that become ready get their fair tag in the same statement, and their
    queue is woken after the commit. Every way out of READY or RUNNING
    releases the next row of its concurrency key (priority, due time, id). Locks are
    taken in the order concurrency keys by key, jobs by id. `queued_at` is when a row last
    became READY. A concurrency key's limit is that of the last job added to it. A task
    without a definition counts as active.
    """

    def add(self, jobs: Sequence[Job], now: datetime) -> Sequence[Job | None]:
        """
        Keep new jobs and return them with ids, in their order.

        A job in an ended state (a skipped tick) is kept as it is; of the
        others the store decides by `placed` whether it is READY, HELD or
        SCHEDULED, counting its concurrency key under the concurrency key's lock. None stands for a
        job whose (schedule_id, tick) or (owner, idempotency_key) is taken:
        nothing was kept for it.
        """
        ...

    def add_ticks(
        self, task: Task, steps: Sequence[FastPathStep], now: datetime
    ) -> Sequence[FastPathStep]:
        """
        Keep the jobs of due ticks of one task, as `add` would, in the common case.

        Return the steps that are accounted for: their jobs are READY, or were
        kept already. The others are left for `add`: their schedule has
        changed or is no longer active, their task is inactive, an earlier run
        is not over or their concurrency key not free, or this store has no short way.
        """
        ...

    def get(self, scope: Scope, job_id: JobId) -> Job:
        """
        Return one job that whoever asks may see.

        Raises:
            NotFound: There is none within the scope, or it is hidden.
        """
        ...

    def get_for_update(self, scope: Scope, job_id: JobId) -> Job:
        """
        Return one job and lock its row (and first its concurrency key's).

        Raises:
            NotFound: There is none within the scope, or it is hidden.
        """
        ...

    def replace(self, before: Job, after: Job) -> bool:
        """
        Write a job that a command has moved, if it still stands as before.

        Guarded by id, state and token; False if it has moved since. Writes
        state, due_at, token, max_attempts, cancel_requested, reason, result,
        progress, ended_at, hidden; an `after` that waits and is due is placed
        (`placed`, by the store's own time), so it may end up READY or HELD.
        """
        ...

    def find(
        self,
        scope: Scope,
        filters: JobFilter,
        *,
        ordering: Sequence[str] = ("-id",),
        offset: int = 0,
        limit: int = 20,
    ) -> Sequence[Job]:
        """
        Return a part of a list; hidden jobs are left out.

        `ordering` holds names of `id, created_at, scheduled_time, status,
        priority, task, name, queue`, a minus before descending ones; id breaks
        ties, descending where the first name is.
        """
        ...

    def count(self, scope: Scope, filters: JobFilter) -> int:
        """Return how many jobs the list has, counting no further than one above `COUNT_CAP`."""
        ...

    def by_idempotency_key(self, owner: UserId, key: str) -> Job | None:
        """Return the job that an owner has made under a key."""
        ...

    def count_waiting(self, owner: UserId, *, limit: int) -> int:
        """Return how many jobs of an owner wait, counting no further than `at_most`."""
        ...

    def unfinished(self, schedule_ids: Sequence[int]) -> Mapping[int, Sequence[Job]]:
        """Return the waiting and running jobs of some schedules, by schedule, oldest first."""
        ...

    def attempts(self, job_id: JobId) -> Sequence[Attempt]:
        """Return the closed attempts of a job, oldest first."""
        ...

    # the engine's own statements

    def stage(self, now: datetime, *, limit: int = 500) -> int:
        """
        Move due SCHEDULED jobs to READY, or to HELD where the concurrency key is full
        or the task inactive; oldest due first. Return how many were moved.
        """
        ...

    def claim(
        self,
        queue: str,
        *,
        worker: str,
        now: datetime,
        lease_until: datetime,
        limit: int,
        free_threads: int,
    ) -> Sequence[Claim]:
        """
        Take ready rows of a queue that is not paused: priority (higher
        first), fair tag, id; cut by `pick`. Raises attempt and token by one.
        """
        ...

    def settle(self, settlements: Sequence[Settlement]) -> set[JobId]:
        """
        Write outcomes and their attempts; return the ids that were accepted.

        Accepted is a row that is RUNNING under the settlement's token (and,
        where `lease_before` is set, whose lease ended before it). A state of
        SCHEDULED becomes CANCELLED where cancelling was asked for; one that
        is due already by `ended_at` is placed at once, behind the rows that
        its concurrency key holds longer. The job's reason becomes the error, or none.
        """
        ...

    def settle_and_claim(
        self,
        settlements: Sequence[Settlement],
        queue: str,
        *,
        worker: str,
        now: datetime,
        lease_until: datetime,
        limit: int,
        free_threads: int,
    ) -> tuple[Sequence[Claim], set[JobId]]:
        """Settle, then claim: what both would return, by one statement where a store can."""
        ...

    def renew_leases(
        self, claims: Sequence[tuple[JobId, int]], lease_until: datetime
    ) -> Mapping[JobId, bool]:
        """
        Renew the leases of (id, token) pairs that are still RUNNING; return
        for each renewed one whether its cancelling was asked for.
        """
        ...

    def release(self, claims: Sequence[tuple[JobId, int]]) -> set[JobId]:
        """
        Return unstarted claims to READY with attempt - 1 and token + 1, or to
        CANCELLED where cancelling was asked for; return the accepted ids.
        """
        ...

    def expired(self, now: datetime, *, limit: int = 500) -> Sequence[Claim]:
        """Return running rows whose lease ended before now, oldest first, unlocked."""
        ...

    def release_concurrency_keys(self, now: datetime) -> int:
        """Ready held rows whose concurrency key has room and whose task is active; return how many."""
        ...

    def waiting_queues(self) -> Sequence[str]:
        """Return the queues, neither paused nor draining, in which ready rows wait."""
        ...

    def hold_task(self, key: str) -> int:
        """Move the READY rows of a task to HELD; return how many."""
        ...

    def release_task(self, key: str, now: datetime) -> int:
        """Move the HELD rows of a task to READY as far as concurrency keys allow; return how many."""
        ...

    def record_progress(self, notes: Sequence[tuple[JobId, int, Progress]]) -> None:
        """Write the progress of (id, token) pairs that are still running."""
        ...

    def next_due(self) -> datetime | None:
        """Return when the earliest SCHEDULED job is due."""
        ...

    def has_held(self) -> bool:
        """Whether any row is HELD: one index probe."""
        ...

    def prune(self, states: Sequence[JobState], before: datetime, *, limit: int) -> Sequence[str]:
        """
        Delete ended jobs without a schedule, older than `before`, with their
        attempts, logs and artifacts; return the file keys set free, at least
        one empty text per deleted job without files. See also
        `prune_scheduled`.
        """
        ...

    def prune_scheduled(self, before: datetime, *, limit: int) -> Sequence[str]:
        """Delete ended jobs of schedules, the same way."""
        ...


class JobLogRepository(Protocol):
    """What attempts log, and the files they make."""

    def append(
        self, job_id: JobId, lines: Sequence[LogLine], *, keep_head: int, keep_tail: int
    ) -> None:
        """Add lines of one attempt, keeping its first and its last ones only."""
        ...

    def lines(
        self, job_id: JobId, *, attempt: int | None = None, after: int = 0, limit: int = 1000
    ) -> Sequence[LogLine]:
        """Return lines in order of attempt and seq; `after` skips seqs up to it."""
        ...

    def reserve_file_key(self, job_id: JobId, key: str) -> None:
        """Keep the key of a file that may be made: on no list, but `prune` returns it."""
        ...

    def add_artifact(self, job_id: JobId, artifact: Artifact) -> str | None:
        """Keep a file's row; return the key of one of the same name, now announced again."""
        ...

    def artifacts(self, job_id: JobId) -> Sequence[Artifact]:
        """Return a job's files by name."""
        ...


class JobsTx(Protocol):
    """The repositories that jobs and the engine use within one transaction."""

    @property
    def users(self) -> UserRepository:
        """The owners."""
        ...

    @property
    def definitions(self) -> TaskDefinitionRepository:
        """The task definitions."""
        ...

    @property
    def jobs(self) -> JobRepository:
        """The jobs."""
        ...

    @property
    def logs(self) -> JobLogRepository:
        """Log lines and artifacts."""
        ...

    @property
    def queues(self) -> QueueRepository:
        """The queues' switches."""
        ...

    @property
    def workers(self) -> WorkerRepository:
        """The running processes."""
        ...

    @property
    def statistics(self) -> StatisticsRepository:
        """Counts."""
        ...

    @property
    def audit(self) -> AuditRepository:
        """The audit trail."""
        ...


class Waker(Protocol):
    """Tells workers that a queue has work; a lost call costs only time."""

    def wake(self, queue: str) -> None:
        """Wake some worker; never raises and takes at most 50 ms."""
        ...
