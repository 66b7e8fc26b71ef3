"""The job worker: threads that claim, run and settle, and their batches."""

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from threading import Condition, Event, Lock
from time import monotonic
from typing import NamedTuple

import structlog
from attrs import define, field
from structlog.contextvars import bound_contextvars

from workbell.adapters.dramatiq.group_commit import Meeting, Round
from workbell.adapters.dramatiq.job_context import JobContext, LogBuffer
from workbell.adapters.dramatiq.metrics import Counts
from workbell.adapters.dramatiq.wakeups import Wakeups
from workbell.adapters.observability.tracing import span
from workbell.domain.jobs.attempt import TIMEOUT_GRACE, Claim, Settlement
from workbell.domain.jobs.job import JobId, Mode
from workbell.ports.jobs.queues import WorkerInfo
from workbell.ports.schedules.repository import SchedulesTx
from workbell.ports.system import Clock
from workbell.services.jobs.execution import Execution

BATCH = 100
TURN_SECONDS = 1.0
FINISH_DELAY = 0.02
GATHER_SECONDS = 0.01
SPREAD_SECONDS = 0.05
"""How often one who goes on working may tell others that there is more than enough."""
UNSTARTED_SECONDS = 0.25

log = structlog.get_logger()


class _Waiting(NamedTuple):
    since: float
    claim: Claim


class _Finished(NamedTuple):
    since: float
    settlement: Settlement


@define(eq=False)
class JobWorker:
    """
    Runs the jobs of some queues in the threads that wake-ups wake.

    A batch belongs to the process: idle threads take from it. Outcomes of
    batch tasks wait up to 20 ms for company, all others are committed in the
    transaction that claims the thread's next row; threads that come while one
    is under way share the next. `log_attempts` has each end of an attempt,
    batch tasks apart, be a line of the process's log.
    """

    execution: Execution[SchedulesTx]
    clock: Clock
    id: str
    host: str
    pid: int
    queues: Sequence[str]
    threads: int
    log_attempts: bool = False
    wakeups: Wakeups = field(init=False)
    batches: dict[str, deque[_Waiting]] = field(init=False)
    meetings: dict[str, Meeting] = field(init=False)
    spread: dict[str, float] = field(factory=dict[str, float])
    running: dict[JobId, JobContext] = field(factory=dict)
    finished: list[_Finished] = field(factory=list)
    busy: int = 0
    called: int = 0
    gathering: set[str] = field(factory=set[str])
    batching: set[str] = field(factory=set[str])
    plenty: set[str] = field(factory=set[str])
    stopping: Event = field(factory=Event)
    claiming: bool = True
    counts: Counts = field(factory=Counts)
    done: int = 0
    lock: Lock = field(factory=Lock)
    quiet: Condition = field(factory=Condition)
    started_at: datetime = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Give every queue its batch."""
        self.batches = {queue: deque() for queue in self.queues}
        self.meetings = {queue: Meeting(partial(self._serve, queue)) for queue in self.queues}
        self.started_at = self.clock.now()

    def drain(self, queue: str) -> None:
        """Run what the queue has ready, for about a second; never raises."""
        with self.quiet:
            self.busy += 1
            self.called = max(0, self.called - 1)
        try:
            self._work(queue)
        except Exception:
            log.exception("worker turn failed", queue=queue)
        finally:
            with self.quiet:
                self.busy -= 1
                self.quiet.notify_all()

    def wait_idle(self, seconds: float) -> bool:
        """Wait until a thread is idle, for at most so many seconds; return whether one is."""
        with self.quiet:
            return self.quiet.wait_for(self._has_idle, seconds)

    def take_idle(self) -> bool:
        """Have an idle thread expect a call of `drain`; False if none is idle."""
        with self.quiet:
            if not self._has_idle():
                return False
            self.called += 1
            return True

    def _has_idle(self) -> bool:
        return self.claiming and self.busy + self.called < self.threads

    def _work(self, queue: str) -> None:
        turn = monotonic()
        self.wakeups.clear(queue)
        if not self.claiming:
            self.wakeups.pass_on(queue)
            return
        settlement: Settlement | None = None
        claim = self._take(queue, None, turn, begins=True)
        while claim is not None:
            settlement = self.run(claim)
            if settlement is not None and claim.mode is Mode.BATCH:
                with self.lock:
                    self.finished.append(_Finished(monotonic(), settlement))
                settlement = None
                if not self.batches[queue] and not self._gather(queue):
                    return
            claim = self._take(queue, settlement, turn)

    def _gather(self, queue: str) -> bool:
        """
        Let batch work and outcomes come together before the next claim.

        One thread waits for a queue; False tells any other to leave it to
        that one, whose claim comes later and so misses nothing. Where the last
        claim came back full there is nothing to wait for.
        """
        if queue in self.plenty:
            return True
        with self.lock:
            if queue in self.gathering:
                return False
            self.gathering.add(queue)
        self.stopping.wait(GATHER_SECONDS)
        with self.lock:
            self.gathering.discard(queue)
        return True

    def _take(
        self, queue: str, settlement: Settlement | None, turn: float, *, begins: bool = False
    ) -> Claim | None:
        """Commit an outcome and return the next claim, or None to end the turn."""
        over = monotonic() - turn > TURN_SECONDS or not self.claiming
        if over:
            self._settle([settlement] if settlement else [])
            self.flush()
            if self.claiming:
                self.wakeups.wake(queue)
            else:
                self.wakeups.pass_on(queue)
            return None
        if settlement is None:
            if (claim := self._pop(queue)) is not None:
                return claim
            if queue in self.gathering:
                return None
            if queue in self.batching:  # a hundred at a time: one claim while others run theirs
                return self.meetings[queue].pass_by(begins=begins)
        return self.meetings[queue].join(settlement, begins=begins)

    def _serve(self, queue: str, round_: Round) -> list[Claim]:
        """Commit the outcomes of a round; return a claim for each of its threads, if there are."""
        if len(self.batches[queue]) >= round_.threads:
            self._settle(round_.settlements)
        else:
            self._claim(queue, round_)
        claims = (self._pop(queue) for _ in range(round_.threads))
        return [claim for claim in claims if claim is not None]

    def _pop(self, queue: str) -> Claim | None:
        try:
            return self.batches[queue].popleft().claim
        except IndexError:
            return None

    def adopt(self, queue: str, claims: Sequence[Claim]) -> None:
        """Put claims into the batch of their queue, to be started or given back."""
        now = monotonic()
        for claim in claims:
            self.running[claim.id] = self._context(claim)
        self.batches[queue].extend(_Waiting(now, claim) for claim in claims)

    def _claim(self, queue: str, round_: Round) -> None:
        """Commit the outcomes of a round and of batch tasks, and claim what can be run."""
        finished = self._take_finished() + round_.settlements
        free = max(1, self.threads - self.busy + round_.threads)
        limit = max(BATCH, free) if queue in self.batching else free
        try:
            claims, accepted = self.execution.claim(
                queue, worker=self.id, limit=limit, free_threads=free, finished=finished
            )
        except BaseException:
            self._keep(finished)
            raise
        self._forget(finished, accepted)
        self._learn(queue, claims, limit)
        if claims:
            self.counts.took(claims)
            self.adopt(queue, claims)
            self._wake_others(queue, claims, free, round_)

    def _learn(self, queue: str, claims: Sequence[Claim], limit: int) -> None:
        """Note what the next claim of a queue should ask for: every row asked for is locked."""
        has_more = len(claims) >= limit
        (self.plenty.add if has_more else self.plenty.discard)(queue)
        if claims:
            batch = any(claim.mode is Mode.BATCH for claim in claims)
            (self.batching.add if batch else self.batching.discard)(queue)

    def _wake_others(self, queue: str, claims: Sequence[Claim], free: int, round_: Round) -> None:
        ordinary = sum(claim.mode is not Mode.BATCH for claim in claims)
        if (queue in self.plenty or ordinary >= free) and self._may_spread(queue, round_):
            self.wakeups.wake(queue)
        with self.quiet:
            idle = max(0, self.threads - self.busy - self.called)
            wanted = max(0, min(idle, ordinary, len(claims) - round_.threads))
            self.called += wanted
        for _ in range(wanted):
            self.wakeups.wake_one_more(queue)

    def _may_spread(self, queue: str, round_: Round) -> bool:
        """
        Whether to tell other processes of work that is left.

        Whoever was woken always tells; so a wake-up goes on until threads or
        work are used up. Who is at it already need not say it again each time.
        """
        now = monotonic()
        if not round_.begins and now - self.spread.get(queue, 0.0) < SPREAD_SECONDS:
            return False
        self.spread[queue] = now
        return True

    def run(self, claim: Claim) -> Settlement | None:
        """Run one claimed job; its log and progress are kept before its outcome."""
        context = self.running.get(claim.id)
        if context is None or context.lost:
            return None
        told: dict[str, str | int] = {"job": claim.id, "attempt": claim.attempt, "task": claim.task}
        with bound_contextvars(**told), span(f"run {claim.task}", **told):
            settlement = self.execution.run(claim, context)
            if self.log_attempts and settlement is not None and claim.mode is not Mode.BATCH:
                log.info("attempt ended", outcome=str(settlement.outcome), error=settlement.error)
        self.done += 1
        self._keep_notes(context)
        if settlement is None:
            self.running.pop(claim.id, None)
            log.warning("lease lost, outcome dropped", job=claim.id, attempt=claim.attempt)
        return settlement

    def _context(self, claim: Claim) -> JobContext:
        return JobContext(
            claim=claim,
            clock=self.clock,
            keep=self.execution.keep,
            buffer=LogBuffer(self.clock, claim.attempt),
            claimed=monotonic(),
        )

    def _keep_notes(self, context: JobContext) -> None:
        progress, lines = context.take_progress(), context.buffer.take()
        if progress is None and not lines:
            return
        try:
            self.execution.note(
                [(context.claim, progress)] if progress else [], {context.claim.id: lines}
            )
        except Exception:
            log.exception("log lines were not kept", job=context.claim.id)

    # outcomes

    def flush(self, *, older_than: float = 0.0) -> None:
        """Commit the outcomes that wait for company."""
        with self.lock:
            if not self.finished or monotonic() - self.finished[0].since < older_than:
                return
        self._settle(self._take_finished())

    def _take_finished(self) -> list[Settlement]:
        with self.lock:
            finished, self.finished = self.finished, []
        return [one.settlement for one in finished]

    def _keep(self, settlements: Sequence[Settlement]) -> None:
        """Keep outcomes that could not be committed, to try again."""
        now = monotonic()
        with self.lock:
            self.finished += [_Finished(now, settlement) for settlement in settlements]

    def _settle(self, settlements: list[Settlement]) -> None:
        if not settlements:
            return
        try:
            accepted = self.execution.settle(settlements)
        except BaseException:
            self._keep(settlements)
            raise
        self._forget(settlements, accepted)

    def _forget(self, settlements: Sequence[Settlement], accepted: set[JobId]) -> None:
        self.counts.finished(settlements, accepted)
        for settlement in settlements:
            context = self.running.get(settlement.id)
            if context is not None and context.claim.token == settlement.token:
                self.running.pop(settlement.id, None)
            if settlement.id not in accepted:
                log.warning("stale outcome refused", job=settlement.id, attempt=settlement.attempt)

    # what the timers ask

    def give_back(self, *, older_than: float = 0.0) -> None:
        """Return claims that were not started in time."""
        for queue, batch in self.batches.items():
            late: list[Claim] = []
            while batch and monotonic() - batch[0].since >= older_than:
                try:
                    late.append(batch.popleft().claim)
                except IndexError:
                    break
            if late:
                self.execution.give_back(late)
                for claim in late:
                    self.running.pop(claim.id, None)
                self.wakeups.wake(queue)

    def beat(self) -> int:
        """Renew the leases of what is not overdue; return how many threads are stuck."""
        now = self.clock.now()
        contexts = list(self.running.values())
        owned = [c for c in contexts if now <= c.claim.deadline + TIMEOUT_GRACE]
        stop = self.execution.beat([c.claim for c in owned], self.info())
        for context in owned:
            asked = stop.get(context.claim.id)
            if asked is None and self.running.get(context.claim.id) is context:
                context.lose()
            elif asked:
                context.cancel()
        return len(contexts) - len(owned)

    def note(self) -> None:
        """Keep the progress and the log lines of everything that runs."""
        contexts = list(self.running.values())
        progress = [(c.claim, p) for c in contexts if (p := c.take_progress()) is not None]
        lines = {c.claim.id: taken for c in contexts if (taken := c.buffer.take())}
        if progress or lines:
            self.execution.note(progress, lines)

    def info(self) -> WorkerInfo:
        """Return what the process tells of itself."""
        return WorkerInfo(
            id=self.id,
            host=self.host,
            pid=self.pid,
            started_at=self.started_at,
            seen_at=self.clock.now(),
            threads=self.threads,
            running=self.busy,
            queues=self.queues,
        )

    def shut_down(self, grace: float) -> bool:
        """
        Claim nothing more, have bodies stop, and wait for them.

        Return whether every thread came to rest within the grace, in seconds.
        """
        self.claiming = False
        self.stopping.set()
        self.give_back()
        for context in list(self.running.values()):
            context.shut_down()
        with self.quiet:
            rested = self.quiet.wait_for(lambda: self.busy == 0, timeout=grace)
        self.give_back()
        self.flush()
        return rested
