"""Echo: the task that returns what it was given."""

from collections.abc import Mapping
from typing import Any

from workbell.domain.jobs.task import Task, TaskContext


def echo(_: TaskContext, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters."""
    return dict(parameters)


def echo_task() -> Task:
    """Return the task of jobs that name none."""
    return Task(
        key="echo",
        name="Echo",
        description="Returns its parameters.",
        body=echo,
        timeout_seconds=60,
        batch=True,
    )
