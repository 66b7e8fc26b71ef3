"""Engine metrics, parsed by the Prometheus client."""

from datetime import timedelta
from itertools import pairwise

import pytest
from prometheus_client import REGISTRY, Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.adapters.dramatiq.factories import NOW, claim, settlement
from workbell.adapters.dramatiq.metrics import MAX_TASK_LABELS, EngineMetrics
from workbell.adapters.dramatiq.thread_slots import ThreadSlots
from workbell.adapters.observability.metrics import MetricsRegistry
from workbell.domain.jobs.attempt import Outcome
from workbell.domain.jobs.task import Task, Tasks

NAMES = {
    "workbell_job_queue_wait_seconds": "histogram",
    "workbell_job_run_seconds": "histogram",
    "workbell_job_attempts": "counter",
    "workbell_job_stale_outcomes": "counter",
    "workbell_jobs_staged": "counter",
    "workbell_jobs_reaped": "counter",
    "workbell_schedules_ticked": "counter",
    "workbell_schedule_tick_lateness_seconds": "histogram",
    "workbell_clock_jumps": "counter",
    "workbell_unknown_claims": "counter",
    "workbell_worker_threads": "gauge",
    "workbell_worker_threads_busy": "gauge",
    "workbell_worker_claims": "gauge",
    "workbell_threads_written_off": "gauge",
    "workbell_clock_refused": "counter",
}


@pytest.fixture
def metrics() -> EngineMetrics:
    tasks = Tasks()
    tasks.add(Task(key="t", body=lambda *_: None))
    return EngineMetrics(MetricsRegistry(), tasks)


def parsed(metrics: EngineMetrics) -> dict[str, Metric]:
    """Return the metrics of an exposition by name."""
    text = metrics.registry.exposition().decode()
    return {each.name: each for each in text_string_to_metric_families(text)}


def value(metrics: EngineMetrics, name: str, **labels: str) -> float | None:
    """Return the value of a series, or None if there is none."""
    samples = [each for metric in parsed(metrics).values() for each in metric.samples]
    return next((s.value for s in samples if (s.name, s.labels) == (name, labels)), None)


def test_every_metric_has_its_name_type_and_help(metrics: EngineMetrics) -> None:
    by_name = parsed(metrics)
    assert {name: each.type for name, each in by_name.items()} == NAMES
    assert all(each.documentation for each in by_name.values())


def test_the_global_registry_is_not_used(metrics: EngineMetrics) -> None:
    assert parsed(metrics)
    assert not [each.name for each in REGISTRY.collect() if each.name.startswith("workbell")]


def test_the_buckets_reach_from_5_ms_to_one_day(metrics: EngineMetrics) -> None:
    metrics.bind_worker(ThreadSlots(1), [], lambda: 0)
    for name in ("workbell_job_queue_wait_seconds", "workbell_job_run_seconds"):
        bounds = [
            float(sample.labels["le"])
            for sample in parsed(metrics)[name].samples
            if sample.name.endswith("_bucket") and sample.labels["task"] == "t"
        ]
        assert (bounds[0], bounds[-2], bounds[-1]) == (0.005, 86_400, float("inf"))
        steps = [high / low for low, high in pairwise(bounds[:-1])]
        assert max(steps) <= 3


def test_the_series_of_known_tasks_begin_at_0(metrics: EngineMetrics) -> None:
    assert value(metrics, "workbell_job_run_seconds_count", task="t") is None
    metrics.bind_worker(ThreadSlots(1), [], lambda: 0)
    assert value(metrics, "workbell_job_run_seconds_count", task="t") == 0
    assert value(metrics, "workbell_job_queue_wait_seconds_count", task="t") == 0
    for outcome in Outcome:
        assert value(metrics, "workbell_job_attempts_total", task="t", outcome=str(outcome)) == 0


def test_wait_and_run_time_are_observed_by_task(metrics: EngineMetrics) -> None:
    metrics.record_claims(
        [
            claim(1, queued_at=NOW - timedelta(seconds=2)),
            claim(2, queued_at=NOW - timedelta(seconds=40), due_at=NOW - timedelta(days=1)),
        ]
    )
    metrics.record_attempts([("t", settlement(1))])
    assert value(metrics, "workbell_job_queue_wait_seconds_sum", task="t") == 42
    assert value(metrics, "workbell_job_queue_wait_seconds_bucket", task="t", le="2.5") == 1
    assert value(metrics, "workbell_job_queue_wait_seconds_bucket", task="t", le="60.0") == 2
    assert value(metrics, "workbell_job_run_seconds_sum", task="t") == 3
    assert value(metrics, "workbell_job_run_seconds_bucket", task="t", le="2.5") == 0
    assert value(metrics, "workbell_job_run_seconds_bucket", task="t", le="5.0") == 1


def test_outcomes_are_counted_by_task(metrics: EngineMetrics) -> None:
    metrics.record_attempts(
        [
            ("t", settlement(1)),
            ("t", settlement(2)),
            ("t", settlement(3, outcome=Outcome.FAILED)),
        ]
    )
    name = "workbell_job_attempts_total"
    assert value(metrics, name, task="t", outcome="succeeded") == 2
    assert value(metrics, name, task="t", outcome="failed") == 1


def test_unknown_tasks_share_one_label(metrics: EngineMetrics) -> None:
    metrics.record_claims([claim(number, task=f"made-up-{number}") for number in range(50)])
    metrics.record_attempts([(f"made-up-{number}", settlement(number)) for number in range(50)])
    by_name = parsed(metrics)
    labels = {
        sample.labels["task"]
        for metric in by_name.values()
        for sample in metric.samples
        if "task" in sample.labels
    }
    assert labels == {"other"}
    assert value(metrics, "workbell_job_run_seconds_count", task="other") == 50
    assert value(metrics, "workbell_job_attempts_total", task="other", outcome="succeeded") == 50


def test_tasks_beyond_the_limit_share_one_label(metrics: EngineMetrics) -> None:
    for number in range(MAX_TASK_LABELS + 50):
        metrics.tasks.add(Task(key=f"made-{number}", body=lambda *_: None))
    metrics.record_claims([claim(number, task=f"made-{number}") for number in range(250)])
    metrics.record_claims([claim(1, task="made-249"), claim(2, task="made-0")])
    name = "workbell_job_queue_wait_seconds_count"
    assert value(metrics, name, task="other") == 51
    assert value(metrics, name, task="made-0") == 2
    assert value(metrics, name, task="made-249") is None


def test_the_unknown_tasks_with_series_of_their_own_are_limited(metrics: EngineMetrics) -> None:
    for number in range(MAX_TASK_LABELS + 5):
        metrics.record_unknown_claim(f"made-{number}")
    name = "workbell_unknown_claims_total"
    assert value(metrics, name, task="made-0") == 1
    assert value(metrics, name, task="other") == 5


def test_a_clock_that_moved_back_counts_as_no_wait(metrics: EngineMetrics) -> None:
    metrics.record_claims([claim(1, queued_at=NOW + timedelta(seconds=9))])
    assert value(metrics, "workbell_job_queue_wait_seconds_sum", task="t") == 0


def test_a_task_that_is_registered_later_has_its_own_label(metrics: EngineMetrics) -> None:
    metrics.record_claims([claim(1, task="late")])
    metrics.tasks.add(Task(key="late", body=lambda *_: None))
    metrics.record_claims([claim(2, task="late")])
    assert value(metrics, "workbell_job_queue_wait_seconds_count", task="other") == 1
    assert value(metrics, "workbell_job_queue_wait_seconds_count", task="late") == 1


def test_the_gauges_read_the_worker(metrics: EngineMetrics) -> None:
    slots, held = ThreadSlots(3), [1, 2]
    metrics.bind_worker(slots, held, lambda: 4)
    with slots.turn():
        assert value(metrics, "workbell_worker_threads") == 3
        assert value(metrics, "workbell_worker_threads_busy") == 1
        assert value(metrics, "workbell_worker_claims") == 2
        assert value(metrics, "workbell_threads_written_off") == 4
    assert value(metrics, "workbell_worker_threads_busy") == 0
