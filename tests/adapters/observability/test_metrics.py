"""Measures as Prometheus reads them."""

from threading import Thread

import pytest

from workbell.adapters.observability.metrics import Counter, exposition, gauge

pytestmark = pytest.mark.unit


def test_measures_are_written_as_prometheus_reads_them() -> None:
    jobs = gauge("jobs", "Jobs by queue.", [({"queue": 'a"\\\nb', "state": "ready"}, 2)])
    plain = Counter("runs_total", "Runs.")
    text = exposition([jobs, plain.measure()]).decode()
    assert text.splitlines() == [
        "# HELP jobs Jobs by queue.",
        "# TYPE jobs gauge",
        'jobs{queue="a\\"\\\\\\nb",state="ready"} 2',
        "# HELP runs_total Runs.",
        "# TYPE runs_total counter",
        "runs_total 0",
    ]


def test_a_large_count_is_written_in_full() -> None:
    runs = Counter("runs_total", "Runs.")
    runs.add(123_456_789)
    assert exposition([runs.measure()]).decode().endswith("runs_total 123456789\n")


def test_a_counter_loses_nothing_to_threads() -> None:
    ended = Counter("ended_total", "Ends.", "outcome")

    def count() -> None:
        for _ in range(2_000):
            ended.add(of="failed")

    threads = [Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended.measure().samples == [({"outcome": "failed"}, 8_000)]
