"""The job worker: coordinates the threads that claim, run and settle jobs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from threading import Event
from time import monotonic
from typing import Any

from attrs import define, field, frozen
from structlog.contextvars import bound_contextvars

from workbell.adapters.dramatiq.attempt_log import log_attempt
from workbell.adapters.dramatiq.attempt_watch import BODY, AttemptWatch, ClosedAttempt
from workbell.adapters.dramatiq.claim_gate import ClaimGate
from workbell.adapters.dramatiq.claim_queue import ClaimQueue
from workbell.adapters.dramatiq.group_commit import CommitGroup, GroupCommit
from workbell.adapters.dramatiq.held_claims import HeldClaims
from workbell.adapters.dramatiq.job_context import JobContext
from workbell.adapters.dramatiq.metrics import EngineMetrics
from workbell.adapters.dramatiq.settlement_buffer import SettlementBuffer
from workbell.adapters.dramatiq.thread_slots import ThreadSlots
from workbell.adapters.dramatiq.unknown_tasks import UnknownTasks
from workbell.adapters.dramatiq.wakeups import Wakeups
from workbell.adapters.fork_detection import end_if_forked, fork_count
from workbell.adapters.logs import get_logger
from workbell.adapters.observability.tracing import span
from workbell.domain.jobs.attempt import Claim, Settlement
from workbell.domain.jobs.claim_limits import ClaimLimits
from workbell.domain.jobs.job import ClaimMode, JobId
from workbell.domain.jobs.task import Cancelled, OwnershipLost
from workbell.ports.jobs.queues import WorkerInfo
from workbell.ports.system import Clock
from workbell.services.jobs.execution import ExecutionService

TURN_SECONDS = 1.0
FINISH_DELAY = 0.02
BATCH_WAIT_SECONDS = 0.01
UNSTARTED_SECONDS = 0.25

log = get_logger()


@frozen(kw_only=True)
class WorkerProcess:
    """The process of a worker, as it registers in the store."""

    id: str
    host: str
    pid: int
    started_at: datetime
    threads: int
    queues: Sequence[str]

    def info(
        self, *, now: datetime, busy_threads: int, written_off: int, tasks: UnknownTasks
    ) -> WorkerInfo:
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
            knows=sorted(task.key for task in tasks.tasks.all()),
            excluded=tasks.excluded(),
        )


@define(eq=False)
class JobWorker:
    """
    Runs the jobs of some queues in threads that wake-ups start.

    Threads share the claims of their process. Settlements of batch tasks wait
    up to 20 ms for others; all others are committed in the transaction that
    claims the thread's next row, which the threads of a queue share (group
    commit). `owner_threads` and `owner_running` limit the jobs of one owner that
    run at once: in this process, and in all of them; None is unlimited. An attempt whose body does not end at its deadline, or after a
    cancellation and `cancel_grace` seconds, is closed without it.
    `log_attempts` logs the end of each attempt, except of batch tasks.
    """

    execution: ExecutionService[Any]
    clock: Clock
    metrics: EngineMetrics
    process: WorkerProcess
    log_attempts: bool = False
    owner_threads: int | None = None
    owner_running: int | None = None
    cancel_grace: float = 10.0
    cancel_poll: float = 0.5
    wakeups: Wakeups = field(init=False)
    threads: ThreadSlots = field(init=False)
    queues: dict[str, ClaimQueue] = field(init=False)
    group_commits: dict[str, GroupCommit] = field(init=False)
    held: HeldClaims = field(init=False)
    unknown: UnknownTasks = field(init=False)
    gate: ClaimGate = field(init=False)
    claimed: int = 0
    attempts: AttemptWatch = field(init=False)
    settlements: SettlementBuffer = field(factory=SettlementBuffer)
    stopping: Event = field(factory=Event)
    _polled_at: float = 0.0
    _forks: int = field(factory=fork_count, init=False)

    def __attrs_post_init__(self) -> None:
        """Create the queues, group commits and metric series of the worker."""
        names = self.process.queues
        self.threads = ThreadSlots(self.process.threads)
        self.queues = {name: ClaimQueue() for name in names}
        self.group_commits = {
            name: GroupCommit(partial(self._commit_group, name)) for name in names
        }
        self.held = HeldClaims(self.execution, self.clock)
        self.gate = ClaimGate(self.owner_threads)
        self.unknown = UnknownTasks(self.execution.definitions.tasks, self.clock)
        self.attempts = AttemptWatch(self.cancel_grace)
        self.metrics.bind_worker(self.threads, self.held, lambda: self.attempts.written_off)

    # the threads

    def drain(self, queue: str) -> None:
        """
        Run ready jobs of a queue for about a second.

        Raises:
            KeyboardInterrupt: Ctrl-C; see `release_interrupted`.
        """
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
        if claim is None and self.unknown.excluded() and waiting.allows_passing_on():
            self.wakeups.wake_other_process(queue)
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
            if self.log_attempts and settlement is not None:
                log_attempt(claim, settlement)
        self.held.store_last_notes(context)
        if settlement is None:
            self.held.release_lost(context)
            log.warning("lease_lost", job=claim.id, attempt=claim.attempt)
        return settlement

    def _run_body(self, context: JobContext) -> Settlement | None:
        """Run the body of an attempt, unless it must stop already."""
        if context.lost:
            return None
        if context.is_cancelled:
            return self.execution.settle_interrupted(context.claim, Cancelled)
        self.attempts.begin(context)
        try:
            return self.execution.run(context.claim, context)
        finally:
            end_if_forked(self._forks)  # a body that has forked returns in both processes
            self.attempts.finish(context)

    # claims

    def enqueue_claims(self, queue: str, claims: Sequence[Claim]) -> None:
        """Hold claims and queue them for the threads."""
        self.claimed += len(claims)
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
        """
        Commit all waiting settlements and claim rows in one transaction.

        Claim again if the rows were of unknown tasks, or if others may be behind
        those of an owner who has reached a limit.
        """
        settlements = self.settlements.drain() + group.settlements
        free = self.threads.available(group.threads)
        claimed: list[Claim] = []
        try:
            while self._claim(queue, settlements, free, claimed):
                settlements = []
        finally:
            if claimed:
                self._wake_others(queue, claimed, free, group)

    def _claim(
        self, queue: str, settlements: list[Settlement], free: int, claimed: list[Claim]
    ) -> bool:
        """Append claims to those for the free threads; return whether to claim again."""
        free -= sum(claim.mode is not ClaimMode.BATCH for claim in claimed)
        if free <= 0:
            return False
        waiting = self.queues[queue]
        limit = waiting.batch_size(free)
        count = partial(self.held.count_by_fairness_key, settlements)
        with self.gate.admit(min(limit, free), count) as running:
            limits = self._limits(running)
            try:
                claims, accepted = self.execution.claim(
                    queue,
                    worker=self.process.id,
                    limit=limit,
                    free_threads=free,
                    finished=settlements,
                    limits=limits,
                )
            except BaseException:
                self.settlements.requeue(settlements)
                raise
            unknown = self.unknown.set_aside(claims)
            known = [claim for claim in claims if claim not in unknown] if unknown else claims
            if known:
                self.metrics.record_claims(known)
                self.enqueue_claims(queue, known)
                claimed += known
        self._forget_settled(settlements, accepted)
        waiting.adapt_batch_size(claims, limit)
        if unknown:
            self._exclude(unknown)
            return True
        return self._may_be_hidden(waiting, len(claims), limit, limits)

    def _may_be_hidden(
        self, waiting: ClaimQueue, found: int, limit: int, limits: ClaimLimits
    ) -> bool:
        """Whether rows may wait behind those of an owner who has just reached a limit."""
        if found >= limit:
            waiting.reset_exhausted()
            return False
        if limits.owner_running is not None and found:
            return True
        if limits.owner_threads is None:
            return False
        after = self._limits(self.held.count_by_fairness_key(()))
        keys = (frozenset(each.saturated_keys) for each in (limits, after))
        return not waiting.is_exhausted(*keys)

    def _limits(self, running: Mapping[str, int]) -> ClaimLimits:
        return ClaimLimits(
            excluded_tasks=tuple(self.unknown.excluded()),
            owner_threads=self.owner_threads,
            running=running,
            owner_running=self.owner_running,
        )

    def _exclude(self, unknown: Sequence[Claim]) -> None:
        """Return claims of unknown tasks to the store, and report the tasks."""
        self.held.add(unknown)  # renews their leases until they are returned
        for claim in unknown:
            self.metrics.record_unknown_claim(claim.task)
        log.warning("unknown_tasks_excluded", tasks=sorted({claim.task for claim in unknown}))
        self.return_unknown()

    def return_unknown(self) -> None:
        """Return claims of unknown tasks to the store, for other processes."""
        if not (unknown := self.unknown.drain()):
            return
        try:
            self.execution.release(unknown)
        except BaseException:
            self.unknown.requeue(unknown)
            raise
        self.held.release(claim.id for claim in unknown)
        for queue in {claim.queue for claim in unknown}:
            self.wakeups.wake_other_process(queue)

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
        self.return_unknown()
        for name, queue in self.queues.items():
            if unstarted := queue.pop_older_than(older_than):
                self.execution.release(unstarted)
                self.held.release(claim.id for claim in unstarted)
                self.wakeups.wake(name)

    def renew_leases(self) -> None:
        """Renew the leases of all claims, and the worker's row."""
        info = self.process.info(
            now=self.clock.now(),
            busy_threads=self.threads.busy,
            written_off=self.written_off,
            tasks=self.unknown,
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
            settlement = self.execution.settle_interrupted(context.claim, why)
            self.settlements.add(settlement)
            if self.log_attempts:
                log_attempt(context.claim, settlement)

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

    def release_interrupted(self) -> None:
        """
        Commit what has ended, and return the other claims uncharged.

        For a worker in the main thread that Ctrl-C has interrupted.
        """
        self.flush()
        claims = self.held.claims()
        self.execution.release(claims)
        self.held.release(claim.id for claim in claims)
        for queue in self.queues.values():
            queue.pop_older_than(0.0)

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
