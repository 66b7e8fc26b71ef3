"""Echo: a task that returns its parameters."""

from collections.abc import Mapping
from typing import Any

from workbell.domain.jobs.task import Task, TaskContext


def echo(_: TaskContext, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters."""
    return dict(parameters)


def echo_task() -> Task:
    """Return the task, the default of jobs without one."""
    return Task(
        key="echo",
        name="Echo",
        description="Returns its parameters.",
        body=echo,
        timeout_seconds=60,
        batch=True,
    )
