"""Workbell's two kinds of tasks, as a user declares them."""

from typing import Any

from measuring import tally

from workbell import TaskContext, task


@task("bench.noop", batch=True)
def noop(_: TaskContext, parameters: Any) -> None:
    """Record the run; outcomes are committed in batches."""
    tally.note(parameters["n"])


@task("bench.ordinary")
def ordinary(_: TaskContext, parameters: Any) -> None:
    """Record the run; each outcome is committed at once."""
    tally.note(parameters["n"])
