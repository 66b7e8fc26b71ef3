"""The runtime of a process: worker, heartbeat, sweeper, scheduler."""

from collections.abc import Callable
from datetime import datetime, timedelta
from math import inf
from threading import Event, Thread
from time import monotonic
from typing import Any

import structlog
from attrs import define, field

from workbell.adapters.dramatiq.metrics import EngineMetrics
from workbell.adapters.dramatiq.wakeups import Wakeups
from workbell.adapters.dramatiq.worker import FINISH_DELAY, UNSTARTED_SECONDS, JobWorker
from workbell.domain.errors import WorkbellError
from workbell.ports.jobs.repository import Waker
from workbell.ports.schedules.repository import SchedulesTx
from workbell.ports.system import Clock
from workbell.services.jobs.execution import ExecutionService
from workbell.services.jobs.retention import RetentionService
from workbell.services.schedules.overdue_alerts import OverdueAlerts
from workbell.services.schedules.ticker import BATCH as TICK_BATCH
from workbell.services.schedules.ticker import Ticker

SWEEP_SECONDS = 1.0
NOTE_SECONDS = 1.0
PRUNE_SECONDS = 3600.0
JUDGE_SECONDS = 10.0
SHORTEST = 0.005
SILENCE_SECONDS = 30.0
"""A loop that has not come round for longer is not well."""

log = structlog.get_logger()


@define(eq=False)
class PeriodicThread:
    """A thread that repeats a turn, with the pause that it returns, until it is stopped."""

    name: str
    turn: Callable[[], float]
    done_at: float = field(factory=monotonic)
    _stop: Event = field(factory=Event)
    _trigger: Event = field(factory=Event)
    _thread: Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def trigger(self) -> None:
        """Start the next turn at once."""
        self._trigger.set()

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self, timeout: float = 5.0) -> None:
        """Let the turn end and wait for the thread."""
        self._stop.set()
        self._trigger.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                pause = self.turn()
                self.done_at = monotonic()
            except WorkbellError as error:
                log.warning("turn failed", loop=self.name, error=error.detail)
                pause = 1.0
            except Exception:
                log.exception("turn failed", loop=self.name)
                pause = 1.0
            self._trigger.wait(pause)
            self._trigger.clear()


@define(eq=False)
class Runtime:
    """
    Everything of the engine that runs by itself in one process.

    Give it a worker, a scheduler (`ticking`), both, or neither: then it only
    keeps the clock. `anchor` re-reads the store's clock and returns by how
    many seconds it moved; `waker` tells other processes what a sweep has
    found; `on_stuck` is called once when half of the threads no longer answer.
    """

    execution: ExecutionService[SchedulesTx]
    clock: Clock
    lease: timedelta
    metrics: EngineMetrics
    worker: JobWorker | None = None
    wakeups: Wakeups | None = None
    waker: Waker | None = None
    ticking: Ticker | None = None
    retention: RetentionService | None = None
    expectations: OverdueAlerts | None = None
    anchor: Callable[[], float] = lambda: 0.0
    on_stuck: Callable[[], None] = lambda: None
    _due: datetime | None = None
    _reap_from: float = 0.0
    _noted: float = 0.0
    _pruned: float = -inf
    _judged: float = -inf
    _loops: list[PeriodicThread] = field(factory=list[PeriodicThread])
    _stuck: bool = False
    _stopping: bool = False

    def start(self) -> None:
        """Start every thread."""
        loops = [PeriodicThread("heartbeat", self.beat)]
        if self.worker is not None:
            loops.append(PeriodicThread("settler", self._settle))
        if self.ticking is not None:
            loops.append(PeriodicThread("scheduler", self._tick))
        if self.worker is not None or self.ticking is not None:
            loops.append(PeriodicThread("sweeper", self.sweep))
        if self.wakeups is not None:
            self.wakeups.start()
        self._loops = loops
        for loop in loops:
            loop.start()

    def stop(self, grace: float) -> bool:
        """
        Stop claiming, let bodies end within the grace, give back the rest.

        Return whether everything came to rest.
        """
        self._stopping = True
        by_name = {loop.name: loop for loop in self._loops}
        for name in ("scheduler", "sweeper"):
            if name in by_name:
                by_name[name].stop()
        rested = self.worker is None or _best_effort(self.worker.shut_down, grace)
        for name in ("settler", "heartbeat"):
            if name in by_name:
                by_name[name].stop()
        if self.wakeups is not None:
            self.wakeups.stop(timeout=1.0)
        if self.worker is not None:
            _best_effort(self.execution.unregister_worker, self.worker.process.id)
        return rested

    def health_problems(self) -> list[str]:
        """Return what prevents it from working, or an empty list."""
        if self._stopping:
            return ["The process is stopping."]
        wrong = ["Half of the threads are stuck."] if self._stuck else []
        longest = max(SILENCE_SECONDS, self.lease.total_seconds(), 3 * SWEEP_SECONDS)
        for loop in self._loops:
            silence = monotonic() - loop.done_at
            if not loop.alive or silence > longest:
                wrong.append(f"The {loop.name} has not come round for {silence:.0f} s.")
        return wrong

    def sweep(self) -> float:
        """Sweep once and wake where work waits; return the pause until the next, in seconds."""
        swept = self.execution.sweep(reaping=monotonic() >= self._reap_from)
        self.metrics.staged.inc(swept.staged)
        self.metrics.reaped.inc(swept.reaped)
        for queue in swept.queues:
            if self.wakeups is not None:
                self.wakeups.stir(queue)
            elif self.waker is not None:
                self.waker.wake(queue)
        self._judge()
        self._prune()
        return self._until(self.execution.next_due())

    def _tick(self) -> float:
        assert self.ticking is not None
        now, due = self.clock.now(), self._due
        if due is not None and due <= now:
            self.metrics.tick_lateness.observe((now - due).total_seconds())
        more = True
        while more:
            ticked = self.ticking.tick()
            self.metrics.ticked.inc(ticked)
            more = ticked >= TICK_BATCH
        self._due = self.ticking.next_due()
        return self._until(self._due)

    def _until(self, due: datetime | None) -> float:
        if due is None:
            return SWEEP_SECONDS
        return min(SWEEP_SECONDS, max(SHORTEST, (due - self.clock.now()).total_seconds()))

    def _settle(self) -> float:
        """Commit what waited long enough; return claims that nobody started."""
        assert self.worker is not None
        self.worker.flush(older_than=FINISH_DELAY)
        self.worker.give_back(older_than=UNSTARTED_SECONDS)
        if monotonic() - self._noted > NOTE_SECONDS:
            self._noted = monotonic()
            self.worker.held.store_notes()
        return FINISH_DELAY / 2 if self.worker.held else FINISH_DELAY * 5

    def beat(self) -> float:
        """Renew the leases, and look to the clock and the threads; return the pause."""
        moved = abs(self.anchor())
        if moved > 2.0:
            log.warning("the store's clock moved", seconds=moved)
            self.metrics.clock_jumps.inc()
            self._reap_from = monotonic() + self.lease.total_seconds()
        if self.worker is not None:
            self._beat_of(self.worker)
        return self.lease.total_seconds() / 3

    def _beat_of(self, worker: JobWorker) -> None:
        stuck = worker.beat()
        if stuck * 2 >= worker.threads.total and not self._stuck:
            self._stuck = True
            log.critical("half of the threads are stuck", stuck=stuck)
            worker.stop_claiming()
            self.on_stuck()

    def _judge(self) -> None:
        if self.expectations is None or monotonic() - self._judged < JUDGE_SECONDS:
            return
        self._judged = monotonic()
        if told := self.expectations.evaluate_due():
            log.warning("schedules became overdue or recovered", owners_told=told)

    def _prune(self) -> None:
        if self.retention is None or monotonic() - self._pruned < PRUNE_SECONDS:
            return
        self._pruned = monotonic()
        if gone := self.retention.prune():
            log.info("history pruned", jobs=gone)


def _best_effort(step: Callable[[Any], object], argument: Any) -> bool:
    """Take a step of stopping, whether or not the store answers; return its word, if it has one."""
    try:
        return step(argument) is not False
    except WorkbellError as error:
        log.warning("stopping without the store", error=error.detail)
        return False
