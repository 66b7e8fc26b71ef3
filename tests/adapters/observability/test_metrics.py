"""The registry of a process and the text that Prometheus reads."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import Counter
from prometheus_client.parser import text_string_to_metric_families

from workbell.adapters.observability.metrics import MetricsRegistry, gauge, labelled_gauge

pytestmark = pytest.mark.unit


def test_additional_metrics_come_before_those_of_the_process() -> None:
    registry = MetricsRegistry()
    Counter("runs", "Runs.", registry=registry.collectors).inc(2)
    jobs = labelled_gauge("jobs", "Jobs by queue.", ["queue", "state"], [(['a"\\\nb', "ready"], 2)])
    text = registry.exposition([gauge("active", "Active.", 1), jobs]).decode()
    assert text.splitlines() == [
        "# HELP active Active.",
        "# TYPE active gauge",
        "active 1.0",
        "# HELP jobs Jobs by queue.",
        "# TYPE jobs gauge",
        'jobs{queue="a\\"\\\\\\nb",state="ready"} 2.0',
        "# HELP runs_total Runs.",
        "# TYPE runs_total counter",
        "runs_total 2.0",
    ]


def test_prometheus_parses_the_exposition() -> None:
    label = 'a"\\\nb'
    text = MetricsRegistry().exposition(
        [labelled_gauge("jobs", "Jobs.", ["queue"], [([label], 2)])]
    )
    (metric,) = text_string_to_metric_families(text.decode())
    (sample,) = metric.samples
    assert (metric.type, metric.documentation) == ("gauge", "Jobs.")
    assert (sample.labels, sample.value) == ({"queue": label}, 2)


def test_two_registries_share_nothing() -> None:
    first, second = MetricsRegistry(), MetricsRegistry()
    for registry in (first, second):
        Counter("runs", "Runs.", registry=registry.collectors)
    Counter("other", "Others.", registry=first.collectors).inc()
    assert b"other_total 1.0" in first.exposition()
    assert b"other" not in second.exposition()


def test_a_counter_is_exact_with_many_threads() -> None:
    registry = MetricsRegistry()
    ends = Counter("ends", "Ends.", ["outcome"], registry=registry.collectors)

    def count(_: int) -> None:
        for _ in range(2_000):
            ends.labels("failed").inc()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(4)))
    assert b'ends_total{outcome="failed"} 8000.0' in registry.exposition()
