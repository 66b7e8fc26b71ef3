"""Metrics of a process, and of processes that serve one port together."""

import os
from pathlib import Path
from typing import Final

from prometheus_client import multiprocess, values

from workbell.adapters.observability.metrics import MetricsRegistry

FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus-client shares values; set it for gunicorn and the like."""


def enable_multiprocess(folder: Path) -> None:
    """
    Share the metrics of this process and of those that it starts.

    The process that starts the others calls this once, before it builds an
    application and before it starts them; they inherit the variable. After a
    process has ended, call `mark_process_dead`. The folder is created, or
    cleared of the values of earlier runs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for values_file in folder.glob("*.db"):
        values_file.unlink()
    os.environ[FOLDER_VARIABLE] = str(folder)
    # prometheus-client chooses this when it is imported, which has happened by now
    values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]


def mark_process_dead(pid: int) -> None:
    """Remove the gauges of a process that has ended; its counters still count."""
    if FOLDER_VARIABLE in os.environ:
        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def make_registry() -> MetricsRegistry:
    """Return the registry of this process."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return MetricsRegistry(Path(folder) if folder else None)
