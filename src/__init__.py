"""The backend for work that happens later."""

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
from workbell.domain.jobs import Job
from workbell.domain.scheduling import Schedule
from workbell.domain.tasks import Cancelled, Interrupted, Snooze, Task, TaskContext, TimedOut
from workbell.entrypoints.library import Bell, task
from workbell.entrypoints.library import open_bell as open  # noqa: A004 - `workbell.open` is the face

__all__ = [
    "Bell",
    "Cancelled",
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
