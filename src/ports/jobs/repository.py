"""Repositories of jobs, their logs and artifacts; the transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias

from attrs import frozen

from workbell.domain.identity.actor import Scope
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.attempt import Artifact, Attempt, Claim, LogLine, Settlement
from workbell.domain.jobs.claim_limits import UNLIMITED, ClaimLimits
from workbell.domain.jobs.job import Job, JobId, JobState, Progress
from workbell.domain.jobs.task import Task
from workbell.domain.schedules.ticks import FastPathStep
from workbell.ports.audit import AuditTx
from workbell.ports.identity.users import UserRepository
from workbell.ports.jobs.cancellations import CancellationRepository
from workbell.ports.jobs.queues import QueueRepository, StatisticsRepository, WorkerRepository
from workbell.ports.jobs.task_definitions import TaskDefinitionRepository
from workbell.ports.jobs.views import JobFilter, JobPage

JobRef: TypeAlias = tuple[JobId, int]
"""The id and the token of a job."""


@frozen(kw_only=True)
class Releasable:
    """
    Held jobs that may be released.

    `keys` are concurrency keys below their limit, `tasks` runnable tasks with held
    jobs that have no key. `last_key` is where to continue; empty at the end.
    """

    keys: Sequence[str]
    tasks: Sequence[str]
    last_key: str = ""


class JobRepository(Protocol):
    """
    All jobs.

    * Rows that become READY get their fair tag in the same statement, and their
      queue is woken after the commit. `queued_at` is when this last happened.
    * Every transition out of READY or RUNNING releases the next row of its
      concurrency key, ordered by priority, due time and id. The limit of a key is
      that of the last job added to it.
    * Lock order: concurrency keys by name, then jobs by id.
    * A task without a definition counts as active.
    """

    def add(self, jobs: Sequence[Job], now: datetime) -> Sequence[Job | None]:
        """
        Insert jobs and return them with ids, in the same order.

        A job that has ended (a skipped tick) is inserted unchanged. The state of the
        others is decided by `initial_state`, while their concurrency key is locked.
        None means that no row was inserted, because a job with the same
        (schedule_id, tick) or (owner, idempotency_key) exists.
        """

    def add_ticks(
        self, task: Task, steps: Sequence[FastPathStep], now: datetime
    ) -> Sequence[FastPathStep]:
        """
        Insert the jobs of due ticks of one task; the fast path of `add`.

        Returns the steps whose jobs are READY or existed already. Pass the others to
        `add`: their schedule has changed or is inactive, their task is inactive, an
        earlier run is unfinished, their concurrency key is full, or this store has no
        fast path.
        """

    def get(self, scope: Scope, job_id: JobId) -> Job:
        """Return a visible job in the scope, or raise NotFound."""

    def get_for_update(self, scope: Scope, job_id: JobId) -> Job:
        """Return a job as `get`, and lock its concurrency key, then its row."""

    def replace(self, before: Job, after: Job) -> bool:
        """
        Update a job unless it has changed since; return whether it was updated.

        Guarded by id, state and token of `before`. Writes state, due_at, token,
        max_attempts, cancel_requested, reason, result, progress, ended_at and hidden.
        If `after` is waiting and due, `initial_state` decides by the store's time
        whether it becomes READY or HELD. If it is RUNNING and to be cancelled, its
        worker is notified after the commit.
        """

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
        Return one page of jobs, without hidden ones.

        `ordering` holds `id`, `created_at`, `scheduled_time`, `status`, `priority`,
        `task`, `name` or `queue`, with a leading minus for descending; ties are ordered
        by id, descending if the first name is. See `JobFilter.needs_window`.
        """

    def list_page(
        self,
        scope: Scope,
        filters: JobFilter,
        *,
        ordering: Sequence[str] = ("-id",),
        offset: int = 0,
        limit: int = 20,
        is_counted: bool = True,
    ) -> JobPage:
        """Return one page as `find`, with the count and the end of its window."""

    def count(self, scope: Scope, filters: JobFilter) -> int:
        """Return how many jobs match, counting up to `COUNT_CAP` + 1."""

    def by_idempotency_key(self, owner: UserId, key: str) -> Job | None:
        """Return the job that the owner created with this key, or None."""

    def count_waiting(self, owner: UserId, *, limit: int) -> int:
        """Return how many jobs of an owner are waiting, counting up to `limit`."""

    def unfinished(self, schedule_ids: Sequence[int]) -> Mapping[int, Sequence[Job]]:
        """Return waiting and running jobs by schedule, oldest first."""

    def attempts(self, job_id: JobId) -> Sequence[Attempt]:
        """Return the ended attempts of a job, oldest first."""

    # statements of the job engine

    def stage(self, now: datetime, *, limit: int = 500, only: JobId | None = None) -> int:
        """
        Move due SCHEDULED jobs to READY or HELD, oldest first; return how many.

        `only` limits it to one job.
        """

    def claim(
        self,
        queue: str,
        *,
        worker: str,
        now: datetime,
        lease_until: datetime,
        limit: int,
        free_threads: int,
        limits: ClaimLimits = UNLIMITED,
        row_by_row: bool = False,
    ) -> Sequence[Claim]:
        """
        Claim READY jobs of a running queue, incrementing attempt and token.

        Ordered by priority (highest first), fair tag and id. `limits` leaves out
        tasks and fairness keys; of the first `limit` others, `select_within_limits`
        and then `select_claimable` decide which are claimed. It may raise for a row that cannot be decoded; with
        `row_by_row`, which is slower, the claim of such a row is `unreadable`.
        """

    def settle(self, settlements: Sequence[Settlement]) -> set[JobId]:
        """
        Write outcomes and their attempts; return the ids that were accepted.

        Accepted are rows RUNNING under the settlement's token and, if `lease_before`
        is set, with a lease that ended before it. SCHEDULED becomes CANCELLED if
        cancellation was requested; if it is due by `ended_at`, it becomes READY or
        HELD at once, behind rows of its concurrency key that were held earlier. The
        job's reason is set to the error, or cleared.
        """

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
        limits: ClaimLimits = UNLIMITED,
    ) -> tuple[Sequence[Claim], set[JobId]]:
        """Settle, then claim; one statement if the store supports it."""

    def renew_leases(self, claims: Sequence[JobRef], lease_until: datetime) -> Mapping[JobId, bool]:
        """
        Renew the leases of (id, token) pairs that are still RUNNING.

        Returns, for each renewed job, whether its cancellation was requested.
        """

    def find_cancelled(self, claims: Sequence[JobRef]) -> set[JobId]:
        """Return the RUNNING ones of (id, token) pairs with a requested cancellation."""

    def shorten_leases(self, after: datetime, lease_until: datetime) -> int:
        """Set leases that end after a time to another end; return how many."""

    def hasten_retries(self, after: datetime, due_at: datetime) -> int:
        """
        Set another due time for retries of attempts that began after a time.

        Only SCHEDULED jobs that are due after that time change; returns how many.
        """

    def release(self, claims: Sequence[JobRef]) -> set[JobId]:
        """
        Return claims that were not started to READY; return the accepted ids.

        Decrements the attempt and increments the token. If cancellation was
        requested, the job becomes CANCELLED instead.
        """

    def expired(
        self, now: datetime, *, limit: int = 500, only: JobId | None = None
    ) -> Sequence[Claim]:
        """
        Return running jobs whose lease has expired, oldest first, unlocked.

        Parameters are not read: they are empty. `only` limits it to one job.
        """

    def list_due(self, now: datetime, *, limit: int = 500) -> Sequence[JobRef]:
        """Return due SCHEDULED jobs; nothing else of the rows is decoded."""

    def list_expired(self, now: datetime, *, limit: int = 500) -> Sequence[JobRef]:
        """Return the jobs of `expired`; nothing else of the rows is decoded."""

    def quarantine(
        self,
        job_id: JobId,
        reason: str,
        now: datetime,
        *,
        token: int | None = None,
        attempt: int | None = None,
    ) -> Settlement | None:
        """
        Fail a job whose row cannot be processed; no JSON of the row is decoded.

        Clears what is not needed any more: lease, progress and result. Returns what
        hooks need, or None if the job has ended, or has another token or attempt.
        """

    def find_releasable(
        self, after: str = "", *, limit: int = 500, thorough: bool = True
    ) -> Releasable:
        """
        Return what `release_held` would release, and lock nothing.

        Reads the next `limit` keys with held jobs after the key `after`. A key whose
        first held job is of an inactive or parked task is read further only if
        `thorough`: it may have many of them.
        """

    def release_held(self, found: Releasable, now: datetime, *, limit: int = 500) -> int:
        """
        Move HELD jobs to READY where key and task allow it; return how many.

        Keys that another transaction has locked are skipped. `limit` applies to the
        jobs without a concurrency key.
        """

    def remove_unused_keys(self, after: str, *, limit: int = 500) -> tuple[int, str]:
        """
        Remove keys that no unfinished job has, of the next `limit` after a key.

        Returns how many, and the last key read; it is empty after the last one.
        """

    def waiting_queues(self) -> Sequence[str]:
        """Return the running queues that have READY jobs."""

    def hold_first(self, tasks: Sequence[str], *, limit: int) -> int:
        """
        Move READY jobs of tasks to HELD; return how many, at most `limit` per queue.

        Only the first 5,000 jobs of each queue, in the order of claims, are read.
        """

    def release_task(self, key: str, now: datetime, *, limit: int) -> int:
        """
        Move HELD jobs of a task without a concurrency key to READY; return how many.

        The definition of the task is not read. `find_releasable` finds the jobs that
        have a key.
        """

    def count_held(self, key: str, *, limit: int) -> int:
        """Return how many jobs `release_task` would move, counting up to `limit`."""

    def record_progress(self, notes: Sequence[tuple[JobId, int, Progress]]) -> None:
        """Write the progress of (id, token) pairs that are still running."""

    def next_due(self) -> datetime | None:
        """Return when the earliest SCHEDULED job is due."""

    def has_held(self) -> bool:
        """Whether any job is HELD; one index lookup."""

    def prune(self, states: Sequence[JobState], before: datetime, *, limit: int) -> Sequence[str]:
        """
        Delete ended jobs without a schedule that ended before a time.

        Also deletes their attempts, logs and artifact rows. Returns the keys of files
        to delete, and one empty text for each deleted job without files.
        """

    def prune_scheduled(self, before: datetime, *, limit: int) -> Sequence[str]:
        """Delete ended jobs of schedules, as `prune` does."""


class JobLogRepository(Protocol):
    """Log lines and artifacts of attempts."""

    def append(
        self, job_id: JobId, lines: Sequence[LogLine], *, keep_head: int, keep_tail: int
    ) -> None:
        """Insert log lines of one attempt; only its first and last are retained."""

    def lines(
        self, job_id: JobId, *, attempt: int | None = None, after: int = 0, limit: int = 1000
    ) -> Sequence[LogLine]:
        """Return lines by attempt and seq; seqs up to `after` are skipped."""

    def reserve_file_key(self, job_id: JobId, key: str) -> None:
        """Store the key of a file about to be written, so that `prune` returns it."""

    def add_artifact(self, job_id: JobId, artifact: Artifact) -> str | None:
        """Store an artifact; return the key of a replaced one, reserved again."""

    def artifacts(self, job_id: JobId) -> Sequence[Artifact]:
        """Return a job's artifacts by name."""


class JobsTx(AuditTx, Protocol):
    """The repositories that jobs and the engine use within one transaction."""

    @property
    def users(self) -> UserRepository:
        """The users."""

    @property
    def definitions(self) -> TaskDefinitionRepository:
        """The task definitions."""

    @property
    def jobs(self) -> JobRepository:
        """The jobs."""

    @property
    def cancellations(self) -> CancellationRepository:
        """The unfinished cancellations of many jobs."""

    @property
    def logs(self) -> JobLogRepository:
        """Log lines and artifacts."""

    @property
    def queues(self) -> QueueRepository:
        """The queues."""

    @property
    def workers(self) -> WorkerRepository:
        """The worker processes."""

    @property
    def statistics(self) -> StatisticsRepository:
        """Aggregate counts."""


class Waker(Protocol):
    """
    Notifies workers of work and of cancellations; never raises.

    A lost call only delays the effect.
    """

    def wake(self, queue: str) -> None:
        """Wake a worker, within 50 ms."""

    def stop_job(self, worker: str, job_id: JobId) -> None:
        """Notify the worker of a cancelled job, within 50 ms."""
