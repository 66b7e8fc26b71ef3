"""Execution: claim jobs, run their bodies and commit the outcomes."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any, BinaryIO, Final, Generic, TypeVar

from attrs import Factory, evolve, field, frozen

from workbell.domain.errors import Invalid, NotAllowed, NotFound, Throttled, Unavailable
from workbell.domain.identity.actor import ALL_OWNERS
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
    Interrupted,
    Isolation,
    OwnershipLost,
    ResultForHook,
    ShuttingDown,
    Snooze,
    Task,
    TaskContext,
    TimedOut,
)
from workbell.ports.files import FileStore
from workbell.ports.jobs.isolation import ChildProcesses
from workbell.ports.jobs.queues import WorkerInfo
from workbell.ports.jobs.repository import JobsTx
from workbell.ports.quarantine import NO_REPORTER, QuarantineReporter
from workbell.ports.store import Store
from workbell.ports.system import Clock, Randomness
from workbell.services.faults import describe_fault
from workbell.services.jobs.engine_rows import EngineRows
from workbell.services.jobs.failures import MAX_ERROR, Failures, call_task
from workbell.services.jobs.held_jobs import MOVE_LIMIT, HeldJobsWalk
from workbell.services.jobs.owner_check import OwnerCheck, OwnerRefused
from workbell.services.jobs.quarantine import JobQuarantine
from workbell.services.jobs.settlement_hooks import SettlementHook
from workbell.services.jobs.task_definitions import TaskDefinitionService
from workbell.services.jobs.tracebacks import clean_text
from workbell.services.transaction_retry import retry_on_contention

UNKNOWN_TASK_DELAY = 1.0

TxT = TypeVar("TxT", bound=JobsTx)


_INTERRUPTED: Final[Mapping[type[Interrupted], TaskResult]] = {
    Cancelled: TaskResult(outcome=Outcome.CANCELLED, error="cancelled on request"),
    TimedOut: TaskResult(outcome=Outcome.TIMED_OUT, error="the time limit was exceeded"),
    ShuttingDown: TaskResult(outcome=Outcome.INTERRUPTED, error="the worker was stopped"),
}


@frozen(kw_only=True)
class SweepResult:
    """
    Counts of staged, reaped and released rows; queues with work.

    `lost` has the claims that were reaped, with their settlements. `has_more`
    if the next sweep should follow at once.
    """

    staged: int
    reaped: int
    released: int
    queues: Sequence[str]
    lost: Sequence[tuple[Claim, Settlement]] = ()
    has_more: bool = False


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
    children: ChildProcesses | None = None
    on_settled: Sequence[SettlementHook[TxT]] = ()
    failures: Failures = Factory(Failures)
    reporter: QuarantineReporter = NO_REPORTER
    _walk: HeldJobsWalk = field(factory=HeldJobsWalk, init=False, eq=False, repr=False)

    @property
    def quarantine(self) -> JobQuarantine[TxT]:
        """The quarantine of jobs that cannot be processed."""
        return JobQuarantine(
            store=self.store, clock=self.clock, reporter=self.reporter, hooks=self.on_settled
        )

    @property
    def rows(self) -> EngineRows[TxT]:
        """The operations on many jobs."""
        return EngineRows(store=self.store, quarantine=self.quarantine)

    owners: OwnerCheck = field(
        default=Factory(
            lambda self: OwnerCheck(store=self.store, clock=self.clock), takes_self=True
        )
    )

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
            claims, accepted = self._settle_and_claim(finished, request)
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - of a hook, or of one of the rows
            accepted = self.settle(finished)
            claims = self._claim_row_by_row(request)
        return self.quarantine.remove_unreadable(claims), accepted

    @retry_on_contention
    def settle(self, settlements: Sequence[Settlement]) -> set[JobId]:
        """
        Commit outcomes; return the jobs whose claim was still valid.

        If that fails for one of them, each is committed by itself. An attempt fails
        if hooks cannot store its data, and a job is quarantined if its row cannot be
        written.
        """
        try:
            with self.store.begin() as tx:
                return self._record(tx, settlements)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - of a hook, or of one of the rows
            if len(settlements) == 1:
                return self._settle_faulty(settlements[0], error)
        return {job_id for each in settlements for job_id in self.settle([each])}

    def release(self, claims: Sequence[Claim]) -> set[JobId]:
        """Release claims whose jobs were never started."""
        return self.rows.release([(claim.id, claim.token) for claim in claims])

    def heartbeat(self, claims: Sequence[Claim], worker: WorkerInfo) -> Mapping[JobId, bool]:
        """
        Renew leases and the worker's own row.

        Returns for each claim that is still owned whether its job should stop.
        """
        until = self.clock.now() + self.lease
        return self.rows.heartbeat(worker, [(claim.id, claim.token) for claim in claims], until)

    def find_cancelled(self, claims: Sequence[Claim]) -> set[JobId]:
        """Return the jobs of valid claims whose cancellation was requested."""
        with self.store.view() as tx:
            return tx.jobs.find_cancelled([(claim.id, claim.token) for claim in claims])

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

    def record_progress(
        self,
        progress: Sequence[tuple[Claim, Progress]],
        lines: Mapping[JobId, Sequence[LogLine]],
    ) -> None:
        """Store progress and log lines of running attempts."""
        self.rows.record_progress(progress, lines)

    @retry_on_contention
    def sweep(self, *, reaping: bool = True) -> SweepResult:
        """
        Stage due jobs, reap lost ones, release held ones and finish drains.

        Reads up to 500 concurrency keys with held jobs, from where the last sweep
        of this process has stopped.
        """
        now = self.clock.now()
        staged, released = self.rows.stage(now), 0
        expired = self.rows.expired(now) if reaping else ()
        lost = [(claim, reap(claim, now)) for claim in expired]
        if lost:
            accepted = self.settle([settlement for _, settlement in lost])
            lost = [each for each in lost if each[0].id in accepted]
        with self.store.view() as tx:
            held = self._walk.find_releasable(tx) if tx.jobs.has_held() else None
            draining = tx.queues.any_draining()
            queues = tx.jobs.waiting_queues()
            inactive = tx.definitions.inactive() if queues else ()
        is_releasable = held is not None and (held.keys or held.tasks)
        if is_releasable or draining:
            with self.store.begin() as tx:
                if held is not None:
                    released = tx.jobs.release_held(held, now)
                tx.queues.finish_drains(now)
                queues = tx.jobs.waiting_queues()
        has_more = self._walk.hold_inactive(self.store, inactive) or released >= MOVE_LIMIT
        return SweepResult(
            staged=staged,
            reaped=len(lost),
            released=released,
            queues=queues,
            lost=lost,
            has_more=has_more,
        )

    def run(self, claim: Claim, context: TaskContext) -> Settlement | None:
        """
        Run a claimed job's body and return its settlement.

        Returns None if the claim was lost: nothing may be written then.

        Raises:
            KeyboardInterrupt: Ctrl-C, in the main thread; the caller releases the claim.
        """
        try:
            result = self._run_body(claim, context)
        except OwnershipLost:
            return None
        except OwnerRefused as refusal:
            result = TaskResult(outcome=Outcome.CANCELLED, error=sanitise_text(str(refusal)))
        return self._settle_result(claim, result)

    def settle_interrupted(self, claim: Claim, why: type[Interrupted]) -> Settlement:
        """Return the settlement of an attempt that ends without its body."""
        return self._settle_result(claim, _INTERRUPTED[why])

    def _settle_result(self, claim: Claim, result: TaskResult) -> Settlement:
        succeeded = result.outcome is Outcome.SUCCEEDED
        spread = 0.0 if succeeded else self.randomness.uniform(0.0, 1.0)
        result = evolve(result, isolation=self.isolation_of(claim))
        return settle(claim, result, self.clock.now(), spread)

    def interrupt_child(self, job_id: JobId, why: type[Interrupted]) -> None:
        """Interrupt the body of a job if it runs in a child process."""
        if self.children is not None:
            self.children.interrupt(job_id, why)

    def _run_body(self, claim: Claim, context: TaskContext) -> TaskResult:
        try:
            task = self.definitions.tasks.get(claim.task)
        except NotFound as error:  # workers return such claims before they run them
            delay = UNKNOWN_TASK_DELAY
            return TaskResult(outcome=Outcome.INTERRUPTED, error=error.detail, retry_after=delay)
        try:
            self.owners.check(claim.owner, task)
            return self._to_task_result(self._call_body(task, claim, context))
        except Snooze as snooze:
            return TaskResult(outcome=Outcome.SNOOZED, retry_after=snooze.seconds)
        except (Cancelled, TimedOut, ShuttingDown) as stop:
            # where the time went is worth knowing; other stops are no failures
            trace = self.failures.traceback(stop) if isinstance(stop, TimedOut) else None
            return evolve(_INTERRUPTED[type(stop)], traceback=trace)
        except (Invalid, NotAllowed, NotFound) as error:
            return self.failures.result(error, error.detail, permanent=True)
        except (Throttled, Unavailable) as error:
            failed = self.failures.result(error, error.detail, retry_after=error.retry_after)
            _log_error(context, failed.error or "")
            return failed
        except (OwnershipLost, OwnerRefused):
            raise
        except BaseException as error:  # also SystemExit
            if isinstance(error, KeyboardInterrupt) and current_thread() is main_thread():
                raise  # Ctrl-C: Python raises it in the main thread only
            failed = self.failures.result(error, self.failures.describe(error))
            _log_error(context, failed.error or "")
            return failed

    def _call_body(self, task: Task, claim: Claim, context: TaskContext) -> Any:
        parameters = self._load_parameters(claim, task)
        if task.isolation is not Isolation.PROCESS:
            return call_task(task.body, context, parameters)
        if self.children is None:
            raise Unavailable("This process runs no child processes.")
        return self.children.run(task, claim, context)

    def isolation_of(self, claim: Claim) -> Isolation:
        """Return where the body of a claimed job runs."""
        task = self.definitions.tasks.find(claim.task)
        return (task and task.isolation) or Isolation.THREAD

    def _load_parameters(self, claim: Claim, task: Task) -> Any:
        value = self.definitions.parse_parameters(task, claim.parameters)
        self.owners.check_permission(claim.owner, task, value)
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

    def _claim_row_by_row(self, request: "_ClaimRequest") -> Sequence[Claim]:
        with self.store.begin() as tx:
            return tx.jobs.claim(
                request.queue,
                worker=request.worker,
                now=request.now,
                lease_until=request.lease_until,
                limit=request.limit,
                free_threads=request.free_threads,
                row_by_row=True,
            )

    def _settle_faulty(self, settlement: Settlement, error: Exception) -> set[JobId]:
        """Settle one outcome that could not be stored, without what may be the fault."""
        if settlement.data is not None:
            return self.settle([fail_settlement(settlement, self.failures.describe(error))])
        try:
            with self.store.begin() as tx:
                accepted = tx.jobs.settle([settlement])
        except Unavailable:
            raise
        except Exception as fault:  # noqa: BLE001 - of the row
            self.quarantine.fail(settlement.id, describe_fault(fault), token=settlement.token)
            return set()
        self.reporter.report("hook", settlement.id, describe_fault(error))
        return accepted

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


def _log_error(context: TaskContext, text: str) -> None:
    """Log the error of a body, unless the attempt must stop."""
    with suppress(Interrupted):
        context.log.error(text)


def sanitise_text(text: str) -> str:
    """Remove NUL and surrogates from a text, and truncate it."""
    return clean_text(text)[:MAX_ERROR]


def _lock_if_owned(tx: JobsTx, claim: Claim) -> None:
    """Lock the job's row; raise OwnershipLost if the claim is invalid."""
    job = tx.jobs.get_for_update(ALL_OWNERS, claim.id)
    if job.token != claim.token or job.state is not JobState.RUNNING:
        raise OwnershipLost
