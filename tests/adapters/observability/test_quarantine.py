"""Reports of quarantined rows: a log event and a metric for each."""

from structlog.testing import capture_logs

from workbell.adapters.observability.metrics import MetricsRegistry
from workbell.adapters.observability.quarantine import QuarantineLog


def test_a_quarantined_row_is_logged_and_counted() -> None:
    registry = MetricsRegistry(None)
    quarantine = QuarantineLog(registry)
    with capture_logs() as logged:
        quarantine.report("job", 7, "ValueError: odd")
    assert logged == [
        {
            "event": "row_quarantined",
            "log_level": "error",
            "what": "job",
            "id": 7,
            "reason": "ValueError: odd",
        }
    ]
    assert (
        registry.collectors.get_sample_value("workbell_quarantined_total", {"what": "job"}) == 1.0
    )
