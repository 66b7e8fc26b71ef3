"""Workbell: jobs, cron schedules and goals for Python services."""

from workbell.domain.errors import (
    Conflict,
    Invalid,
    LimitReached,
    NotAllowed,
    NotFound,
    Throttled,
    Unauthenticated,
    Unavailable,
    WorkbellError,
)
from workbell.domain.jobs.job import Job
from workbell.domain.jobs.task import Cancelled, Interrupted, Snooze, Task, TaskContext, TimedOut
from workbell.domain.schedules.schedule import Schedule
from workbell.entrypoints.library.client import Client, task
from workbell.entrypoints.library.client import open_client as open  # noqa: A004 - `workbell.open()`

__all__ = [
    "Cancelled",
    "Client",
    "Conflict",
    "Interrupted",
    "Invalid",
    "Job",
    "LimitReached",
    "NotAllowed",
    "NotFound",
    "Schedule",
    "Snooze",
    "Task",
    "TaskContext",
    "Throttled",
    "TimedOut",
    "Unauthenticated",
    "Unavailable",
    "WorkbellError",
    "open",
    "task",
]
