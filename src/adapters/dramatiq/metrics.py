"""The metrics of the engine: worker, sweeper and scheduler."""

from collections import Counter as Tally
from collections.abc import Callable, Sequence, Sized
from typing import Final

from attrs import define, field, frozen
from prometheus_client import Counter, Gauge, Histogram

from workbell.adapters.dramatiq.thread_slots import ThreadSlots
from workbell.adapters.observability.metrics import OTHER, LabelLimit, MetricsRegistry
from workbell.domain.jobs.attempt import Claim, Outcome, Settlement, queue_wait, to_seconds
from workbell.domain.jobs.task import Tasks

BUCKETS: Final = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
    1_800.0, 3_600.0, 10_800.0, 28_800.0, 86_400.0,
)  # fmt: skip
"""Upper bounds in seconds, from 5 ms to the longest time limit of a task, one day."""

MAX_TASK_LABELS: Final = 200
"""Tasks with series of their own; each has about 60."""


@frozen
class _TaskHistograms:
    """The histograms of one task, with the label bound."""

    label: str
    wait: Histogram
    run: Histogram


@define(eq=False)
class EngineMetrics:
    """
    Metrics of worker, sweeper and scheduler.

    The values of the label `task` are the keys of the first 200 of `tasks`, and
    `other`, which bounds the number of series.
    """

    registry: MetricsRegistry
    tasks: Tasks
    wait_seconds: Histogram = field(init=False)
    run_seconds: Histogram = field(init=False)
    attempts: Counter = field(init=False)
    stale: Counter = field(init=False)
    staged: Counter = field(init=False)
    reaped: Counter = field(init=False)
    ticked: Counter = field(init=False)
    tick_lateness: Histogram = field(init=False)
    clock_jumps: Counter = field(init=False)
    unknown_claims: Counter = field(init=False)
    clock_refused: Counter = field(init=False)
    threads: Gauge = field(init=False)
    busy_threads: Gauge = field(init=False)
    held_claims: Gauge = field(init=False)
    threads_written_off: Gauge = field(init=False)
    _labels: LabelLimit = field(factory=lambda: LabelLimit(MAX_TASK_LABELS))
    _unknown_labels: LabelLimit = field(factory=lambda: LabelLimit(MAX_TASK_LABELS))
    _by_task: dict[str, _TaskHistograms] = field(factory=dict[str, _TaskHistograms])

    def __attrs_post_init__(self) -> None:
        """Create the metrics."""
        self.wait_seconds = self._histogram(
            "job_queue_wait_seconds", "Seconds from ready to claimed, by task.", ["task"]
        )
        self.run_seconds = self._histogram(
            "job_run_seconds", "Seconds that an attempt took, by task.", ["task"]
        )
        self.attempts = self._counter(
            "job_attempts", "Attempts that ended, by task and outcome.", ["task", "outcome"]
        )
        self.stale = self._counter(
            "job_stale_outcomes", "Outcomes refused because the claim was lost."
        )
        self.staged = self._counter("jobs_staged", "Jobs that became due.")
        self.reaped = self._counter("jobs_reaped", "Attempts closed after their lease ran out.")
        self.ticked = self._counter("schedules_ticked", "Schedules whose ticks were recorded.")
        self.tick_lateness = self._histogram(
            "schedule_tick_lateness_seconds", "Lateness of each pass over due schedules."
        )
        self.clock_jumps = self._counter(
            "clock_jumps", "Jumps of the store's clock by over 2 seconds."
        )
        self.unknown_claims = self._counter(
            "unknown_claims", "Claims of tasks that this process does not know, by task.", ["task"]
        )
        self.clock_refused = self._counter(
            "clock_refused", "Readings of the store's clock refused as unconfirmed leaps."
        )
        self.threads = self._gauge("worker_threads", "Threads that run jobs.")
        self.busy_threads = self._gauge("worker_threads_busy", "Threads that are running jobs.")
        self.held_claims = self._gauge("worker_claims", "Claims that are not settled yet.")
        self.threads_written_off = self._gauge(
            "threads_written_off", "Threads that run bodies whose attempts were closed."
        )

    def bind_worker(
        self, threads: ThreadSlots, held: Sized, written_off: Callable[[], int]
    ) -> None:
        """Bind the gauges to a worker, and create the series of every task at 0."""
        self.threads.set_function(lambda: threads.total)
        self.busy_threads.set_function(lambda: threads.busy)
        self.held_claims.set_function(lambda: len(held))
        self.threads_written_off.set_function(written_off)
        for task in self.tasks.all():
            self._histograms(task.key)

    def record_claims(self, claims: Sequence[Claim]) -> None:
        """Record how long claimed jobs were ready before."""
        for claim in claims:
            waited = queue_wait(claim.queued_at or claim.due_at, claim.started_at)
            self._histograms(claim.task).wait.observe(to_seconds(waited) or 0.0)

    def record_attempts(self, attempts: Sequence[tuple[str, Settlement]]) -> None:
        """Record accepted settlements, each with the key of its task."""
        for task, settlement in attempts:
            took = (settlement.ended_at - settlement.started_at).total_seconds()
            self._histograms(task).run.observe(took)
        outcomes = Tally((task, settlement.outcome) for task, settlement in attempts)
        for (task, outcome), count in outcomes.items():
            self.attempts.labels(self._histograms(task).label, str(outcome)).inc(count)

    def record_unknown_claim(self, task: str) -> None:
        """Count a claim of a task that this process does not know."""
        self.unknown_claims.labels(self._unknown_labels.bound(task)).inc()

    def _histograms(self, task: str) -> _TaskHistograms:
        """Return the histograms of a task; unknown tasks share `other`."""
        if (bound := self._by_task.get(task)) is not None:
            return bound
        label = OTHER if self.tasks.find(task) is None else self._labels.bound(task)
        bound = _TaskHistograms(
            label, self.wait_seconds.labels(label), self.run_seconds.labels(label)
        )
        if self.tasks.find(task) is not None:
            self._by_task[task] = bound
            for outcome in Outcome:  # at 0, so that rates include the first event
                self.attempts.labels(label, str(outcome))
        return bound

    def _counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(f"workbell_{name}", help, labels, registry=self.registry.collectors)

    def _gauge(self, name: str, help: str) -> Gauge:
        registry = self.registry.collectors
        return Gauge(f"workbell_{name}", help, registry=registry, multiprocess_mode="livesum")

    def _histogram(self, name: str, help: str, labels: Sequence[str] = ()) -> Histogram:
        registry = self.registry.collectors
        return Histogram(f"workbell_{name}", help, labels, registry=registry, buckets=BUCKETS)
