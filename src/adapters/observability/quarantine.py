"""Rows that were set aside: a log event and a metric for each."""

from attrs import define, field
from prometheus_client import Counter

from workbell.adapters.logs import get_logger
from workbell.adapters.observability.metrics import MetricsRegistry

log = get_logger()


@define(eq=False)
class QuarantineLog:
    """Logs `row_quarantined` and counts `workbell_quarantined_total{what}`."""

    registry: MetricsRegistry
    quarantined: Counter = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Create the metric."""
        self.quarantined = Counter(
            "workbell_quarantined",
            "Rows set aside because they could not be processed, by what they are.",
            ["what"],
            registry=self.registry.collectors,
        )

    def report(self, kind: str, row_id: int, reason: str) -> None:
        """Record one row."""
        self.quarantined.labels(kind).inc()
        log.error("row_quarantined", what=kind, id=row_id, reason=reason)
