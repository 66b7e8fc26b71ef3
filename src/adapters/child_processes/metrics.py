"""The metrics of child processes."""

from collections.abc import Callable
from typing import Final

from attrs import define, field
from prometheus_client import Counter, Gauge

from workbell.adapters.observability.metrics import MetricsRegistry
from workbell.domain.jobs.task import (
    Cancelled,
    Interrupted,
    OwnershipLost,
    ShuttingDown,
    TimedOut,
)

REASONS: Final[dict[type[Interrupted], str]] = {
    Cancelled: "cancelled",
    TimedOut: "timed_out",
    ShuttingDown: "shutting_down",
    OwnershipLost: "lease_lost",
}


@define(eq=False)
class ChildMetrics:
    """Counts child processes, and those that were killed or have crashed."""

    registry: MetricsRegistry
    _children: Gauge = field(init=False)
    _killed: Counter = field(init=False)
    _crashed: Counter = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Create the metrics, and the series of every reason at 0."""
        registry = self.registry.collectors
        self._children = Gauge(
            "workbell_children",
            "Child processes that run jobs or wait for one.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._killed = Counter(
            "workbell_children_killed",
            "Child processes that the worker has killed, by reason.",
            ["why"],
            registry=registry,
        )
        self._crashed = Counter(
            "workbell_children_crashed",
            "Child processes that ended during a job, by signal; exit: without one.",
            ["signal"],
            registry=registry,
        )
        for why in REASONS.values():
            self._killed.labels(why)

    def bind(self, count: Callable[[], int]) -> None:
        """Bind the gauge to a pool."""
        self._children.set_function(count)

    def record_kill(self, why: type[Interrupted]) -> None:
        """Count a child that was killed."""
        self._killed.labels(REASONS[why]).inc()

    def record_crash(self, signal: str) -> None:
        """Count a child that has crashed."""
        self._crashed.labels(signal).inc()
