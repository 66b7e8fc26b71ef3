"""The backend for work that happens later."""

from .domain.errors import (
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
from .domain.jobs import Job
from .domain.scheduling import Schedule
from .domain.tasks import Cancelled, Interrupted, Snooze, Task, TaskContext, TimedOut
from .entrypoints.library import Bell, task
from .entrypoints.library import open_bell as open  # noqa: A004 - `workbell.open` is the face

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
