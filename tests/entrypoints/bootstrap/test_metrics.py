"""Processes that serve one port expose their common metrics."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import json, sys
from multiprocessing import get_context
from pathlib import Path

from prometheus_client import Gauge

from workbell.adapters.cache.memory import MemoryCache
from workbell.adapters.cache.metered import MeteredCache
from workbell.adapters.system import SystemClock
from workbell.entrypoints.bootstrap.metrics import (
    enable_multiprocess, make_registry, mark_process_dead,
)


def serve(count):
    registry = make_registry()
    cache = MeteredCache(MemoryCache(SystemClock()), registry)
    for _ in range(count):
        cache.get("week:1")
    gauge = Gauge("live", "Live.", registry=registry.collectors, multiprocess_mode="livesum")
    gauge.set(1)


def exposed():
    lines = make_registry().exposition().decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    enable_multiprocess(folder)
    context = get_context(sys.argv[1])
    processes = [context.Process(target=serve, args=(count,)) for count in (2, 3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    before = exposed()
    mark_process_dead(processes[0].pid)
    print(json.dumps([before, exposed(), [process.exitcode for process in processes]]))
"""

MISSES = 'workbell_cache_requests_total{outcome="miss",summary="week"}'


def run(folder: Path, start_method: str) -> list[Any]:
    """Return the metrics before and after one of two processes is marked dead."""
    script = folder / "serve.py"
    script.write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, str(script), start_method, str(folder / "values")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    result: list[Any] = json.loads(ended.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize("start_method", ["spawn", "fork"])
def test_counters_are_summed_and_gauges_end_with_their_process(
    tmp_path: Path, start_method: str
) -> None:
    before, after, codes = run(tmp_path, start_method)
    assert codes == [0, 0]
    assert before == {MISSES: "5.0", "live": "2.0"}
    assert after == {MISSES: "5.0", "live": "1.0"}


def test_values_of_an_earlier_run_are_removed(tmp_path: Path) -> None:
    run(tmp_path, "spawn")
    before, _, _ = run(tmp_path, "spawn")
    assert before[MISSES] == "5.0"
