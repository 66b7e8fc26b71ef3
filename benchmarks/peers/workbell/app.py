"""A batch task, an ordinary one and one in child processes, of Workbell."""

from typing import Any

from measuring import tally

from workbell import TaskContext, task


@task("bench.noop", batch=True)
def noop(_: TaskContext, parameters: Any) -> None:
    """Record the start; outcomes are committed in batches."""
    tally.note(parameters["n"])


@task("bench.ordinary")
def ordinary(_: TaskContext, parameters: Any) -> None:
    """Record the start; each outcome is committed at once."""
    tally.note(parameters["n"])


@task("bench.isolated", isolation="process")
def isolated(_: TaskContext, parameters: Any) -> None:
    """Record the start, in a child process; each outcome is committed at once."""
    tally.note(parameters["n"])
