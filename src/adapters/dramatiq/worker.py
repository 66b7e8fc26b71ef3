"""The job worker: coordinates the threads that claim, run and settle jobs."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from threading import Event
from time import monotonic
from typing import Any

import structlog
from attrs import define, field, frozen
from structlog.contextvars import bound_contextvars

from workbell.adapters.dramatiq.attempt_watch import BODY, AttemptWatch, ClosedAttempt
from workbell.adapters.dramatiq.claim_queue import ClaimQueue
from workbell.adapters.dramatiq.group_commit import CommitGroup, GroupCommit
from workbell.adapters.dramatiq.held_claims import HeldClaims
from workbell.adapters.dramatiq.job_context import JobContext
from workbell.adapters.dramatiq.metrics import EngineMetrics
from workbell.adapters.dramatiq.settlement_buffer import SettlementBuffer
from workbell.adapters.dramatiq.thread_slots import ThreadSlots
from workbell.adapters.dramatiq.wakeups import Wakeups
from workbell.adapters.observability.tracing import span
from workbell.domain.jobs.attempt import Claim, Settlement
from workbell.domain.jobs.job import ClaimMode, JobId
from workbell.domain.jobs.task import Cancelled, OwnershipLost
from workbell.ports.jobs.queues import WorkerInfo
from workbell.ports.system import Clock
from workbell.services.jobs.execution import ExecutionService

TURN_SECONDS = 1.0
FINISH_DELAY = 0.02
BATCH_WAIT_SECONDS = 0.01
UNSTARTED_SECONDS = 0.25

log = structlog.get_logger()


@frozen(kw_only=True)
class WorkerProcess:
    """The process of a worker, as it registers in the store."""

    id: str
    host: str
    pid: int
    started_at: datetime
    threads: int
    queues: Sequence[str]

    def info(self, *, now: datetime, busy_threads: int, written_off: int) -> WorkerInfo:
        """Return the row to store for the process."""
        return WorkerInfo(
            id=self.id,
            host=self.host,
            pid=self.pid,
            started_at=self.started_at,
            seen_at=now,
            threads=self.threads,
            running=busy_threads,
            written_off=written_off,
            queues=self.queues,
        )


@define(eq=False)
class JobWorker:
    """
    Runs the jobs of some queues in threads that wake-ups start.

    Threads share the claims of their process. Settlements of batch tasks wait
    up to 20 ms for others; all others are committed in the transaction that
    claims the thread's next row, which the threads of a queue share (group
    commit). An attempt whose body does not end at its deadline, or after a
    cancellation and `cancel_grace` seconds, is closed without it.
    `log_attempts` logs the end of each attempt, except of batch tasks.
    """

    execution: ExecutionService[Any]
    clock: Clock
    metrics: EngineMetrics
    process: WorkerProcess
    log_attempts: bool = False
    cancel_grace: float = 10.0
    cancel_poll: float = 0.5
    wakeups: Wakeups = field(init=False)
    threads: ThreadSlots = field(init=False)
    queues: dict[str, ClaimQueue] = field(init=False)
    group_commits: dict[str, GroupCommit] = field(init=False)
    held: HeldClaims = field(init=False)
    attempts: AttemptWatch = field(init=False)
    settlements: SettlementBuffer = field(factory=SettlementBuffer)
    stopping: Event = field(factory=Event)
    _polled_at: float = 0.0

    def __attrs_post_init__(self) -> None:
        """Create the queues, group commits and metric series of the worker."""
        names = self.process.queues
        self.threads = ThreadSlots(self.process.threads)
        self.queues = {name: ClaimQueue() for name in names}
        self.group_commits = {
            name: GroupCommit(partial(self._commit_group, name)) for name in names
        }
        self.held = HeldClaims(self.execution, self.clock)
        self.attempts = AttemptWatch(self.cancel_grace)
        self.metrics.bind_worker(self.threads, self.held, lambda: self.attempts.written_off)

    # the threads

    def drain(self, queue: str) -> None:
        """Run ready jobs of a queue for about a second; never raises."""
        with self.threads.turn():
            try:
                self._work(queue)
            except Exception:
                log.exception("worker_turn_failed", queue=queue)

    def _work(self, queue: str) -> None:
        started = monotonic()
        self.wakeups.reset_pending(queue)
        if not self.threads.is_open:
            self.wakeups.wake_other_process(queue)
            return
        waiting = self.queues[queue]
        claim = self._next_claim(queue, None, started, starts_turn=True)
        while claim is not None:
            settlement = self.run(claim)
            if settlement is not None and claim.mode is ClaimMode.BATCH:
                self.settlements.add(settlement)
                settlement = None
                if not waiting and not self._wait_for_batch(waiting):
                    return
            claim = self._next_claim(queue, settlement, started)

    def _wait_for_batch(self, queue: ClaimQueue) -> bool:
        """
        Wait for batch tasks to accumulate; return whether to claim.

        One thread of a queue waits and then claims; the others get False and
        end their turn, because that claim covers their work. A saturated queue
        has more rows already.
        """
        if queue.saturated:
            return True
        if not queue.start_batch():
            return False
        self.stopping.wait(BATCH_WAIT_SECONDS)
        queue.end_batch()
        return True

    def _next_claim(
        self,
        queue: str,
        settlement: Settlement | None,
        turn_started: float,
        *,
        starts_turn: bool = False,
    ) -> Claim | None:
        """Commit a settlement and return the next claim, or None to end the turn."""
        if monotonic() - turn_started > TURN_SECONDS or not self.threads.is_open:
            self._end_turn(queue, settlement)
            return None
        if settlement is None:
            waiting = self.queues[queue]
            if (claim := waiting.pop()) is not None:
                return claim
            if waiting.is_batch_pending:
                return None
            if waiting.has_batch_tasks:  # one thread claims 100 while others run
                return self.group_commits[queue].claim_alone(starts_turn=starts_turn)
        return self.group_commits[queue].commit_and_claim(settlement, starts_turn=starts_turn)

    def _end_turn(self, queue: str, settlement: Settlement | None) -> None:
        if settlement is not None:
            self.group_commits[queue].commit_without_claim(settlement)
        self.flush()
        if self.threads.is_open:
            self.wakeups.wake(queue)
        else:
            self.wakeups.wake_other_process(queue)

    def run(self, claim: Claim) -> Settlement | None:
        """Run a claimed job and store its log and progress; return its settlement."""
        context = self.held.find(claim.id)
        if context is None:
            return None
        fields = _log_fields(claim)
        with bound_contextvars(**fields), span(f"run {claim.task}", **fields):
            settlement = self._run_body(context)
            if not context.close(BODY):
                self.threads.count_again()  # the turn is over a second old, so it ends now
                log.warning("late_return_dropped")
                return None
            if settlement is not None:
                self._log_end(settlement)
        self.held.store_last_notes(context)
        if settlement is None:
            self.held.release_lost(context)
            log.warning("lease_lost", job=claim.id, attempt=claim.attempt)
        return settlement

    def _log_end(self, settlement: Settlement) -> None:
        if self.log_attempts and settlement.mode is not ClaimMode.BATCH:
            log.info("attempt_ended", outcome=str(settlement.outcome), error=settlement.error)

    def _run_body(self, context: JobContext) -> Settlement | None:
        """Run the body of an attempt, unless it must stop already."""
        if context.lost:
            return None
        if context.is_cancelled:
            return self.execution.interrupt(context.claim, Cancelled)
        self.attempts.begin(context)
        try:
            return self.execution.run(context.claim, context)
        finally:
            self.attempts.finish(context)

    # claims

    def enqueue_claims(self, queue: str, claims: Sequence[Claim]) -> None:
        """Hold claims and queue them for the threads."""
        self.held.add(claims)
        self.queues[queue].push(claims)

    def _commit_group(self, queue: str, group: CommitGroup) -> list[Claim]:
        """Commit the settlements of a group; return at most one claim per thread."""
        waiting = self.queues[queue]
        if len(waiting) >= group.threads:
            self._settle(group.settlements)
        else:
            self._settle_and_claim(queue, group)
        claims = (waiting.pop() for _ in range(group.threads))
        return [claim for claim in claims if claim is not None]

    def _settle_and_claim(self, queue: str, group: CommitGroup) -> None:
        """Commit all waiting settlements and claim rows in one transaction."""
        settlements = self.settlements.drain() + group.settlements
        free = self.threads.available(group.threads)
        limit = self.queues[queue].batch_size(free)
        try:
            claims, accepted = self.execution.claim(
                queue, worker=self.process.id, limit=limit, free_threads=free, finished=settlements
            )
        except BaseException:
            self.settlements.requeue(settlements)
            raise
        self._forget_settled(settlements, accepted)
        self.queues[queue].adapt_batch_size(claims, limit)
        if claims:
            self.metrics.record_claims(claims)
            self.enqueue_claims(queue, claims)
            self._wake_others(queue, claims, free, group)

    def _wake_others(
        self, queue: str, claims: Sequence[Claim], free: int, group: CommitGroup
    ) -> None:
        """Wake idle threads for claims, and another process for more rows."""
        waiting = self.queues[queue]
        ordinary = sum(claim.mode is not ClaimMode.BATCH for claim in claims)
        has_more = waiting.saturated or ordinary >= free
        if has_more and waiting.allows_broadcast(starts_turn=group.starts_turn):
            self.wakeups.wake(queue)
        for _ in range(self.threads.reserve(min(ordinary, len(claims) - group.threads))):
            self.wakeups.wake_local_thread(queue)

    # settlements

    def flush(self, *, older_than: float = 0.0) -> None:
        """Commit buffered settlements if the first is `older_than` seconds old."""
        if self.settlements.is_due(older_than):
            self._settle(self.settlements.drain())

    def _settle(self, settlements: list[Settlement]) -> None:
        if not settlements:
            return
        try:
            accepted = self.execution.settle(settlements)
        except BaseException:
            self.settlements.requeue(settlements)
            raise
        self._forget_settled(settlements, accepted)

    def _forget_settled(self, settlements: Sequence[Settlement], accepted: set[JobId]) -> None:
        """Release settled claims; record accepted outcomes, log refused ones."""
        attempts: list[tuple[str, Settlement]] = []
        for settlement in settlements:
            context = self.held.release_settled(settlement)
            if settlement.id in accepted:
                attempts.append((context.claim.task if context else "", settlement))
            else:
                self.metrics.stale.inc()
                log.warning("stale_outcome_refused", job=settlement.id, attempt=settlement.attempt)
        self.metrics.record_attempts(attempts)

    # the timers

    def return_unstarted(self, *, older_than: float = 0.0) -> None:
        """Return claims that were not started within `older_than` seconds."""
        for name, queue in self.queues.items():
            if unstarted := queue.pop_older_than(older_than):
                self.execution.release(unstarted)
                self.held.release(claim.id for claim in unstarted)
                self.wakeups.wake(name)

    def renew_leases(self) -> None:
        """Renew the leases of all claims, and the worker's row."""
        info = self.process.info(
            now=self.clock.now(), busy_threads=self.threads.busy, written_off=self.written_off
        )
        self.held.renew_leases(info)

    @property
    def written_off(self) -> int:
        """The number of threads whose bodies run although their attempts are closed."""
        return self.attempts.written_off

    def expire(self) -> int:
        """Close overdue attempts and replace their threads; return how many."""
        closed = self.attempts.close_overdue()
        if not closed:
            return 0
        self.held.store_last_notes(*(each.context for each in closed))
        for each in closed:
            self._write_off(each)
        for queue in {each.context.claim.queue for each in closed}:
            self.wakeups.wake_local(queue)
        self.flush()
        return len(closed)

    def _write_off(self, closed: ClosedAttempt) -> None:
        context, why = closed.context, closed.why
        self.threads.write_off()
        if context.thread is not None:
            self.wakeups.replace_thread(context.thread)
        with bound_contextvars(**_log_fields(context.claim)):
            log.warning("thread_written_off", reason=why.__name__, written_off=self.written_off)
            if why is OwnershipLost:
                self.held.release_lost(context)
                return
            settlement = self.execution.interrupt(context.claim, why)
            self.settlements.add(settlement)
            self._log_end(settlement)

    def poll_cancelled(self) -> None:
        """Interrupt attempts whose job was cancelled in another process, when due."""
        now = monotonic()
        if now - self._polled_at < self.cancel_poll:
            return
        claims = [each.claim for each in self.attempts if not each.is_cancelled]
        if not claims:
            return
        self._polled_at = now
        for job_id in self.execution.find_cancelled(claims):
            self.stop_job(job_id)

    def stop_job(self, job_id: JobId) -> bool:
        """Interrupt the attempt of a cancelled job; return False if it is not here."""
        if (context := self.held.find(job_id)) is None:
            return False
        context.interrupt(Cancelled)
        return True

    def stop_claiming(self) -> None:
        """Stop starting jobs, and return unstarted claims to the store."""
        self.threads.close()
        self.return_unstarted()

    def shut_down(self, grace: float) -> bool:
        """
        Stop claiming, ask running jobs to stop, and wait for them.

        Return whether every thread was idle within the grace, in seconds.
        """
        self.threads.close()
        self.stopping.set()
        self.return_unstarted()
        self.held.shut_down()
        is_idle = self.threads.wait_all_idle(grace)
        self.return_unstarted()
        self.flush()
        return is_idle


def _log_fields(claim: Claim) -> dict[str, str | int]:
    return {"job": claim.id, "attempt": claim.attempt, "task": claim.task}
