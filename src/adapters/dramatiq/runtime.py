"""Periodic threads of a process: heartbeat, settler, sweeper, scheduler."""

from collections.abc import Callable
from datetime import datetime, timedelta
from math import inf
from threading import Event, Thread
from time import monotonic
from typing import Any

from attrs import define, field

from workbell.adapters.dramatiq.attempt_log import log_attempt
from workbell.adapters.dramatiq.clock_guard import SAMPLE_SECONDS, ClockGuard
from workbell.adapters.dramatiq.metrics import EngineMetrics
from workbell.adapters.dramatiq.wakeups import Wakeups
from workbell.adapters.dramatiq.worker import FINISH_DELAY, UNSTARTED_SECONDS, JobWorker
from workbell.adapters.logs import get_logger
from workbell.domain.clock_check import MAX_LEAP
from workbell.domain.errors import WorkbellError
from workbell.ports.jobs.repository import Waker
from workbell.ports.system import Clock
from workbell.services.audit.sealing import AuditSealer
from workbell.services.jobs.execution import ExecutionService
from workbell.services.jobs.parking import ParkingService
from workbell.services.jobs.retention import RetentionService
from workbell.services.projects.sla.ticker import SlaTicker
from workbell.services.schedules.cancellations import CancellationService
from workbell.services.schedules.overdue_alerts import OverdueAlerts
from workbell.services.schedules.ticker import BATCH as TICK_BATCH
from workbell.services.schedules.ticker import Ticker

SWEEP_SECONDS = 1.0
STORE_NOTES_SECONDS = 1.0
PRUNE_SECONDS = 3600.0
OVERDUE_SECONDS = 10.0
SEAL_SECONDS = 10.0
PARK_CHECK_SECONDS = 5.0
MIN_PAUSE_SECONDS = 0.005
RETRY_SECONDS = 1.0
MAX_SILENCE_SECONDS = 30.0
"""A periodic thread without a completed turn for longer is a health problem."""

log = get_logger()


@define(eq=False)
class PeriodicThread:
    """A thread that repeats `turn`, which returns a pause in seconds."""

    name: str
    turn: Callable[[], float]
    last_turn_at: float = field(factory=monotonic)
    _stop: Event = field(factory=Event)
    _thread: Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self, timeout: float = 5.0) -> None:
        """Stop after the current turn, and wait for the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.is_set():
            pause = RETRY_SECONDS
            try:
                pause = self.turn()
                self.last_turn_at = monotonic()
            except WorkbellError as error:
                log.warning("periodic_turn_failed", thread=self.name, error=error.detail)
            except Exception:
                log.exception("periodic_turn_failed", thread=self.name)
            self._stop.wait(pause)


@define(eq=False)
class Runtime:
    """
    The periodic threads of a process, for its worker and scheduler.

    `anchor` re-reads the store's clock and returns the correction in seconds, or
    None for a leap that is not confirmed; without a `clock_guard` the scheduler
    trusts the clock, as with the manual one of a test. `waker` wakes other
    processes for work that a sweep has found. When `max_written_off` threads are
    written off, the worker stops claiming, and `on_stuck` is called once.
    `log_attempts` logs the attempts that the sweeper closes.
    """

    execution: ExecutionService[Any]
    clock: Clock
    lease: timedelta
    metrics: EngineMetrics
    worker: JobWorker | None = None
    wakeups: Wakeups | None = None
    waker: Waker | None = None
    ticker: Ticker | None = None
    sealer: AuditSealer | None = None
    sla_ticker: SlaTicker | None = None
    retention: RetentionService | None = None
    overdue_alerts: OverdueAlerts | None = None
    parking: ParkingService | None = None
    cancellations: CancellationService | None = None
    max_written_off: int = 8
    anchor: Callable[[], float | None] = lambda: 0.0
    clock_guard: ClockGuard | None = None
    log_attempts: bool = False
    on_stuck: Callable[[], None] = lambda: None
    _next_tick: datetime | None = None
    _reap_from: float = 0.0
    _notes_stored_at: float = 0.0
    _pruned_at: float = -inf
    _alerts_at: float = -inf
    _park_from: float = -inf
    _threads: list[PeriodicThread] = field(factory=list[PeriodicThread])
    _stuck: bool = False
    _stopping: bool = False

    def start(self) -> None:
        """Start every thread."""
        turns = [("heartbeat", self.heartbeat)]
        if self.worker is not None:
            turns.append(("settler", self._settle))
        if self.ticker is not None:
            turns.append(("scheduler", self._tick))
        if self.sealer is not None:
            turns.append(("sealer", self._seal))
        if self.sla_ticker is not None:
            turns.append(("sla ticker", self._tick_sla))
        if self.worker is not None or self.ticker is not None:
            turns.append(("sweeper", self.sweep))
        if self.wakeups is not None:
            self.wakeups.start()
        self._threads = [PeriodicThread(name, turn) for name, turn in turns]
        for thread in self._threads:
            thread.start()

    def stop(self, grace: float) -> bool:
        """
        Stop claiming, wait up to `grace` seconds for jobs, release the others.

        Return whether every job ended in time.
        """
        self._stopping = True
        self._stop_threads("scheduler", "sealer", "sla ticker", "sweeper")
        is_idle = self.worker is None or _best_effort(self.worker.shut_down, grace)
        if self.worker is not None and self.worker.written_off:
            is_idle = False  # their threads still run bodies
        self._stop_threads("settler", "heartbeat")
        if self.wakeups is not None:
            self.wakeups.stop(timeout=1.0)
        if self.worker is not None:
            _best_effort(self.execution.unregister_worker, self.worker.process.id)
        return is_idle

    def _stop_threads(self, *names: str) -> None:
        for thread in self._threads:
            if thread.name in names:
                thread.stop()

    def health_problems(self) -> list[str]:
        """Return why the process cannot work; empty if it can."""
        if self._stopping:
            return ["The process is stopping."]
        problems = ["Too many threads run bodies whose time is over."] if self._stuck else []
        limit = max(MAX_SILENCE_SECONDS, self.lease.total_seconds(), 3 * SWEEP_SECONDS)
        for thread in self._threads:
            silence = monotonic() - thread.last_turn_at
            if not thread.alive or silence > limit:
                problems.append(f"The {thread.name} has completed no turn for {silence:.0f} s.")
        return problems

    def sweep(self) -> float:
        """Sweep once and wake threads for ready work; return the pause in seconds."""
        started = monotonic()
        swept = self.execution.sweep(reaping=started >= self._reap_from)
        self.metrics.staged.inc(swept.staged)
        self.metrics.reaped.inc(swept.reaped)
        self.metrics.record_attempts([(claim.task, settled) for claim, settled in swept.lost])
        for claim, settled in swept.lost if self.log_attempts else ():
            log_attempt(claim, settled)
        for queue in swept.queues:
            if self.wakeups is not None:
                self.wakeups.wake_local(queue)
            elif self.waker is not None:
                self.waker.wake(queue)
        has_more = self._continue_cancellations() or swept.has_more
        self._park()
        self._send_overdue_alerts()
        self._prune()
        return MIN_PAUSE_SECONDS if has_more else self._pause_until(self.execution.next_due())

    def _tick(self) -> float:
        assert self.ticker is not None
        if self.clock_guard is not None and not self.clock_guard.allows_pass():
            return SWEEP_SECONDS
        now, due = self.clock.now(), self._next_tick
        if due is not None and due <= now:
            self.metrics.tick_lateness.observe((now - due).total_seconds())
        has_more = True
        while has_more:
            ticked = self.ticker.tick()
            self.metrics.ticked.inc(ticked)
            has_more = ticked >= TICK_BATCH
        self._next_tick = self.ticker.next_due()
        return self._pause_until(self._next_tick)

    def _pause_until(self, due: datetime | None) -> float:
        if due is None:
            return SWEEP_SECONDS
        seconds = (due - self.clock.now()).total_seconds()
        return min(SWEEP_SECONDS, max(MIN_PAUSE_SECONDS, seconds))

    def _settle(self) -> float:
        """
        Close overdue attempts, return unstarted claims, store logs.

        Also commit buffered settlements and look for cancelled jobs.
        """
        assert self.worker is not None
        self._watch(self.worker)  # first, because it also works without the store
        self.worker.flush(older_than=FINISH_DELAY)
        self.worker.return_unstarted(older_than=UNSTARTED_SECONDS)
        if monotonic() - self._notes_stored_at > STORE_NOTES_SECONDS:
            self._notes_stored_at = monotonic()
            self.worker.held.store_notes()
        self.worker.poll_cancelled()
        return FINISH_DELAY / 2 if self.worker.held else FINISH_DELAY * 5

    def _watch(self, worker: JobWorker) -> None:
        try:
            worker.expire()
        finally:
            if worker.written_off >= self.max_written_off and not self._stuck:
                self._stuck = True
                log.critical("too_many_threads_written_off", written_off=worker.written_off)
                self.on_stuck()
                worker.stop_claiming()

    def _seal(self) -> float:
        """Seal new audit entries."""
        assert self.sealer is not None
        self.sealer.seal()
        return SEAL_SECONDS

    def _tick_sla(self) -> float:
        """Report one batch of SLA clocks, or wait for the next."""
        assert self.sla_ticker is not None
        due = self.sla_ticker.next_due()
        if due is not None and due <= self.clock.now() and self.sla_ticker.tick_batch():
            return 0.0
        return self._pause_until(due)

    def heartbeat(self) -> float:
        """Renew leases, anchor the clock."""
        pause, moved = self.lease.total_seconds() / 3, self.anchor()
        if moved is None:
            log.warning("clock_leap_refused")
            self.metrics.clock_refused.inc()
            pause = min(pause, SAMPLE_SECONDS)
        elif abs(moved) > 2.0:
            self._follow_clock(moved)
        if self.worker is not None:
            self.worker.renew_leases()
        return pause

    def _follow_clock(self, moved: float) -> None:
        """Note that the store's clock has moved by some seconds."""
        log.warning("store_clock_moved", seconds=abs(moved))
        self.metrics.clock_jumps.inc()
        self._reap_from = monotonic() + self.lease.total_seconds()
        if self.clock_guard is not None and abs(moved) > MAX_LEAP.total_seconds():
            self.clock_guard.clock_moved()

    def _continue_cancellations(self) -> bool:
        return self.cancellations is not None and self.cancellations.sweep()

    def _park(self) -> None:
        """Park and release tasks: once a second while any is parked, else every 5 s."""
        if self.parking is None or monotonic() < self._park_from:
            return
        result = self.parking.sweep()
        self._park_from = monotonic() + (SWEEP_SECONDS if result.is_active else PARK_CHECK_SECONDS)
        if result.parked or result.released:
            log.warning("tasks_parked", parked=result.parked, released=result.released)

    def _send_overdue_alerts(self) -> None:
        if self.overdue_alerts is None or monotonic() - self._alerts_at < OVERDUE_SECONDS:
            return
        evaluated = self.overdue_alerts.evaluate_due()
        if not evaluated.has_more:  # otherwise the next sweep continues
            self._alerts_at = monotonic()
        if evaluated.emails:
            log.warning("overdue_alerts_sent", owners=evaluated.emails)

    def _prune(self) -> None:
        if self.retention is None or monotonic() - self._pruned_at < PRUNE_SECONDS:
            return
        self._pruned_at = monotonic()
        if pruned := self.retention.prune():
            log.info("history_pruned", **pruned)


def _best_effort(step: Callable[[Any], object], argument: Any) -> bool:
    """Call a step of stopping; return False if it fails."""
    try:
        return step(argument) is not False
    except WorkbellError as error:
        log.warning("stop_without_store", error=error.detail)
        return False
