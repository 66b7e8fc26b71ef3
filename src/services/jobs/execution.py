"""Execution: claim jobs, run their bodies and commit the outcomes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Generic, Protocol, TypeVar

from attrs import frozen

from workbell.domain.errors import Invalid, NotAllowed, NotFound, Throttled, Unavailable
from workbell.domain.identity.actor import ALL_OWNERS, SYSTEM, Actor
from workbell.domain.jobs.attempt import (
    Artifact,
    Claim,
    LogLine,
    Outcome,
    Settlement,
    TaskResult,
    fail_settlement,
    reap,
    settle,
)
from workbell.domain.jobs.claim_limits import UNLIMITED, ClaimLimits
from workbell.domain.jobs.job import MAX_JSON_BYTES, JobId, JobState, Progress
from workbell.domain.jobs.task import (
    Cancelled,
    OwnershipLost,
    ResultForHook,
    ShuttingDown,
    Snooze,
    Task,
    TaskContext,
    TimedOut,
)
from workbell.ports.files import FileStore
from workbell.ports.jobs.queues import WorkerInfo
from workbell.ports.jobs.repository import JobsTx
from workbell.ports.store import Store
from workbell.ports.system import Clock, Randomness
from workbell.services.jobs.task_definitions import TaskDefinitionService
from workbell.services.transaction_retry import retry_on_contention

MAX_ERROR = 4000
LOG_HEAD = 200
LOG_TAIL = 800
UNKNOWN_TASK_DELAY = 1.0

TxT = TypeVar("TxT", bound=JobsTx)
TxT_contra = TypeVar("TxT_contra", contravariant=True)


@frozen(kw_only=True)
class SweepResult:
    """Counts of staged, reaped and released rows; queues with work."""

    staged: int
    reaped: int
    released: int
    queues: Sequence[str]


class SettlementHook(Protocol[TxT_contra]):
    """Reaction of another context to outcomes, in their transaction."""

    def applies_to(self, settlement: Settlement) -> bool:
        """Whether the other context needs to see the outcome."""
        ...

    def prepare(
        self, tx: TxT_contra, settlements: Sequence[Settlement]
    ) -> Callable[[Sequence[Settlement]], None]:
        """
        Lock the other context's rows before the job rows are written.

        Returns a function that is called in the same transaction with the
        settlements that the store has accepted.
        """
        ...


@frozen(kw_only=True)
class ExecutionService(Generic[TxT]):
    """
    Use cases of a worker: each method is one transaction, or a read.

    Threads, batches and wake-ups are the caller's responsibility. `on_settled`
    are the hooks of other contexts, called in this order.
    """

    store: Store[TxT]
    clock: Clock
    randomness: Randomness
    definitions: TaskDefinitionService
    files: FileStore
    lease: timedelta
    on_settled: Sequence[SettlementHook[TxT]] = ()

    @retry_on_contention
    def claim(
        self,
        queue: str,
        *,
        worker: str,
        limit: int,
        free_threads: int,
        finished: Sequence[Settlement] = (),
        limits: ClaimLimits = UNLIMITED,
    ) -> tuple[Sequence[Claim], set[JobId]]:
        """Commit outcomes and claim the next jobs in one transaction."""
        now = self.clock.now()
        request = _ClaimRequest(queue, worker, now, now + self.lease, limit, free_threads, limits)
        try:
            return self._settle_and_claim(finished, request)
        except Unavailable:
            raise
        except Exception:
            if not _has_data(finished):
                raise
        accepted = self.settle(finished)
        return self._settle_and_claim((), request)[0], accepted

    @retry_on_contention
    def settle(self, settlements: Sequence[Settlement]) -> set[JobId]:
        """
        Commit outcomes; return the jobs whose claim was still valid.

        If hooks cannot store the data of some, each is committed by itself, and
        those fail.
        """
        try:
            with self.store.begin() as tx:
                return self._record(tx, settlements)
        except Unavailable:
            raise
        except Exception as error:
            if not _has_data(settlements):
                raise
            if len(settlements) == 1:
                return self.settle([fail_settlement(settlements[0], _describe(error))])
        return {job_id for each in settlements for job_id in self.settle([each])}

    @retry_on_contention
    def release(self, claims: Sequence[Claim]) -> set[JobId]:
        """Release claims whose jobs were never started."""
        with self.store.begin() as tx:
            return tx.jobs.release([(claim.id, claim.token) for claim in claims])

    @retry_on_contention
    def heartbeat(self, claims: Sequence[Claim], worker: WorkerInfo) -> Mapping[JobId, bool]:
        """
        Renew leases and the worker's own row.

        Returns for each claim that is still owned whether its job should stop.
        """
        until = self.clock.now() + self.lease
        with self.store.begin() as tx:
            tx.workers.heartbeat(worker)
            if not claims:
                return {}
            return tx.jobs.renew_leases([(claim.id, claim.token) for claim in claims], until)

    def next_due(self) -> datetime | None:
        """Return when the earliest scheduled job is due."""
        with self.store.view() as tx:
            return tx.jobs.next_due()

    def store_artifact(
        self, claim: Claim, name: str, media_type: str, source: BinaryIO | Path | bytes
    ) -> None:
        """
        Store a file that a job produced, replacing one of the same name.

        The file key is reserved before the file is written, so that a file left
        by a crash is deleted with its job.

        Raises:
            OwnershipLost: The claim is no longer valid.
            Unavailable: The file store is full.
        """
        key = self.files.new_key()
        self._reserve_file_key(claim, key)
        stored = self.files.save(key, source)
        artifact = Artifact(name, media_type, stored.size, stored.sha256, key)
        if (replaced := self._store_artifact(claim, artifact)) is not None:
            self.files.delete(replaced)

    @retry_on_contention
    def unregister_worker(self, worker_id: str) -> None:
        """Delete the row of a worker that stops."""
        with self.store.begin() as tx:
            tx.workers.remove(worker_id)

    @retry_on_contention
    def record_progress(
        self,
        progress: Sequence[tuple[Claim, Progress]],
        lines: Mapping[JobId, Sequence[LogLine]],
    ) -> None:
        """Store progress and log lines of running attempts."""
        with self.store.begin() as tx:
            if progress:
                tx.jobs.record_progress([(claim.id, claim.token, at) for claim, at in progress])
            for job_id, job_lines in lines.items():
                tx.logs.append(job_id, job_lines, keep_head=LOG_HEAD, keep_tail=LOG_TAIL)

    @retry_on_contention
    def sweep(self, *, reaping: bool = True, thorough: bool = True) -> SweepResult:
        """
        Stage due jobs, reap lost ones, release keys and finish drains.

        `thorough` is that of `release_concurrency_keys`.
        """
        now = self.clock.now()
        with self.store.view() as tx:
            due = tx.jobs.next_due()
            lost = tx.jobs.expired(now) if reaping else ()
        staged = reaped = released = 0
        if due is not None and due <= now:
            with self.store.begin() as tx:
                staged = tx.jobs.stage(now)
        if lost:
            reaped = len(self.settle([reap(claim, now) for claim in lost]))
        with self.store.view() as tx:
            held = tx.jobs.has_held()
            draining = tx.queues.any_draining()
            queues = tx.jobs.waiting_queues()
        if held or draining:
            with self.store.begin() as tx:
                released = tx.jobs.release_concurrency_keys(now, thorough=thorough)
                tx.queues.finish_drains(now)
                queues = tx.jobs.waiting_queues()
        return SweepResult(staged=staged, reaped=reaped, released=released, queues=queues)

    def run(self, claim: Claim, context: TaskContext) -> Settlement | None:
        """
        Run a claimed job's body and return its settlement.

        Returns None if the claim was lost: nothing may be written then.
        """
        try:
            result = self._run_body(claim, context)
        except OwnershipLost:
            return None
        succeeded = result.outcome is Outcome.SUCCEEDED
        spread = 0.0 if succeeded else self.randomness.uniform(0.0, 1.0)
        return settle(claim, result, self.clock.now(), spread)

    def _run_body(self, claim: Claim, context: TaskContext) -> TaskResult:
        try:
            task = self.definitions.tasks.get(claim.task)
        except NotFound as error:  # workers return such claims before they run them
            delay = UNKNOWN_TASK_DELAY
            return TaskResult(outcome=Outcome.INTERRUPTED, error=error.detail, retry_after=delay)
        try:
            return self._to_task_result(task.body(context, self._load_parameters(claim, task)))
        except Snooze as snooze:
            return TaskResult(outcome=Outcome.SNOOZED, retry_after=snooze.seconds)
        except Cancelled:
            return TaskResult(outcome=Outcome.CANCELLED, error="cancelled on request")
        except TimedOut:
            return TaskResult(outcome=Outcome.TIMEOUT, error="the time limit was exceeded")
        except ShuttingDown:
            return TaskResult(outcome=Outcome.INTERRUPTED, error="the worker was stopped")
        except (Invalid, NotAllowed, NotFound) as error:
            text = sanitise_text(error.detail)
            return TaskResult(outcome=Outcome.FAILED, error=text, permanent=True)
        except (Throttled, Unavailable) as error:
            text, delay = sanitise_text(error.detail), error.retry_after
            context.log.error(text)
            return TaskResult(outcome=Outcome.FAILED, error=text, retry_after=delay)
        except OwnershipLost:
            raise
        except BaseException as error:  # noqa: BLE001 - also SystemExit
            text = _describe(error)
            context.log.error(text)
            return TaskResult(outcome=Outcome.FAILED, error=text)

    def _load_parameters(self, claim: Claim, task: Task) -> Any:
        value = self.definitions.parse_parameters(task, claim.parameters)
        if task.check is not None:
            task.check(self._load_owner(claim), value)
        return value

    @retry_on_contention
    def _reserve_file_key(self, claim: Claim, key: str) -> None:
        with self.store.begin() as tx:
            _lock_if_owned(tx, claim)
            tx.logs.reserve_file_key(claim.id, key)

    @retry_on_contention
    def _store_artifact(self, claim: Claim, artifact: Artifact) -> str | None:
        with self.store.begin() as tx:
            _lock_if_owned(tx, claim)
            return tx.logs.add_artifact(claim.id, artifact)

    def _load_owner(self, claim: Claim) -> Actor:
        if claim.owner == SYSTEM.user_id:
            return SYSTEM
        with self.store.view() as tx:
            try:
                return Actor.of(tx.users.get(claim.owner))
            except NotFound:
                return Actor(user_id=claim.owner)

    def _to_task_result(self, result: Any) -> TaskResult:
        data = None
        if isinstance(result, ResultForHook):
            result, data = result.result, result.data
        serializer = self.definitions.serializer
        json_result = serializer.unstructure(result)
        if serializer.size(json_result) > MAX_JSON_BYTES:
            text = f"The result is larger than {MAX_JSON_BYTES} bytes; store it as an artifact."
            return TaskResult(outcome=Outcome.FAILED, error=text, permanent=True)
        return TaskResult(outcome=Outcome.SUCCEEDED, result=json_result, data=data)

    def _settle_and_claim(
        self, finished: Sequence[Settlement], request: "_ClaimRequest"
    ) -> tuple[Sequence[Claim], set[JobId]]:
        single = not any(map(self._has_hook, finished))
        with self.store.begin(single_statement=single) as tx:
            recorded = set[JobId]() if single else self._record(tx, finished)
            claims, accepted = tx.jobs.settle_and_claim(
                finished if single else (),
                request.queue,
                worker=request.worker,
                now=request.now,
                lease_until=request.lease_until,
                limit=request.limit,
                free_threads=request.free_threads,
                limits=request.limits,
            )
        return claims, accepted | recorded

    def _record(self, tx: TxT, settlements: Sequence[Settlement]) -> set[JobId]:
        """Write outcomes and call the hooks of other contexts."""
        reactions = [hook.prepare(tx, settlements) for hook in self.on_settled]
        accepted = tx.jobs.settle(settlements)
        stored = [settlement for settlement in settlements if settlement.id in accepted]
        for react in reactions:
            react(stored)
        return accepted

    def _has_hook(self, settlement: Settlement) -> bool:
        return any(hook.applies_to(settlement) for hook in self.on_settled)


@frozen
class _ClaimRequest:
    """The arguments of a claim."""

    queue: str
    worker: str
    now: datetime
    lease_until: datetime
    limit: int
    free_threads: int
    limits: ClaimLimits


def _has_data(settlements: Sequence[Settlement]) -> bool:
    """Whether a hook has to store data of a settlement."""
    return any(each.data is not None for each in settlements)


def _describe(error: BaseException) -> str:
    return sanitise_text(f"{type(error).__name__}: {_error_text(error)}")


def _error_text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - str() of the body's exception may fail
        return "the error has no text"


def sanitise_text(text: str) -> str:
    """Remove NUL and surrogates from a text, and truncate it."""
    clean = text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    return clean[:MAX_ERROR]


def _lock_if_owned(tx: JobsTx, claim: Claim) -> None:
    """Lock the job's row; raise OwnershipLost if the claim is invalid."""
    job = tx.jobs.get_for_update(ALL_OWNERS, claim.id)
    if job.token != claim.token or job.state is not JobState.RUNNING:
        raise OwnershipLost
