"""Metrics registry, also shared by processes that serve one port."""

import os
from pathlib import Path
from typing import Final

from prometheus_client import multiprocess, values

from workbell.adapters.observability.metrics import MetricsRegistry

FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Folder of values that prometheus-client shares; set it for servers such as gunicorn."""


def enable_multiprocess(folder: Path) -> None:
    """
    Share the metrics of this process with its future child processes.

    Call it once in the parent, before it builds an application and starts
    children; they inherit the environment variable. Call `mark_process_dead`
    for each child that ended. The folder is created, or cleared.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for values_file in folder.glob("*.db"):
        values_file.unlink()
    os.environ[FOLDER_VARIABLE] = str(folder)
    # prometheus-client chose this class at import, before the variable was set
    values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]


def mark_process_dead(pid: int) -> None:
    """Remove the gauges of a process that ended; its counters remain."""
    if FOLDER_VARIABLE in os.environ:
        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def make_registry() -> MetricsRegistry:
    """Return the registry of this process."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return MetricsRegistry(Path(folder) if folder else None)
