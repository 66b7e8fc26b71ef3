"""
Workbell: jobs, cron schedules and goals for Python services.

Public names are imported on first use: `import workbell.webhooks` in a program
that receives deliveries does not load the service.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    from workbell.domain.jobs.attempt import Attempt
    from workbell.domain.jobs.job import Job
    from workbell.domain.jobs.task import (
        Cancelled,
        Interrupted,
        Snooze,
        Task,
        TaskContext,
        TimedOut,
    )
    from workbell.domain.schedules.schedule import Schedule
    from workbell.entrypoints.library.client import Client, task
    from workbell.entrypoints.library.client import (
        open_client as open,  # noqa: A004 - `workbell.open()`
    )

__all__ = [
    "Attempt",
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

if not TYPE_CHECKING:
    _MODULES = {
        "Attempt": "workbell.domain.jobs.attempt",
        "Client": "workbell.entrypoints.library.client",
        "Job": "workbell.domain.jobs.job",
        "Schedule": "workbell.domain.schedules.schedule",
        "open": "workbell.entrypoints.library.client",
        "task": "workbell.entrypoints.library.client",
        **dict.fromkeys(
            ("Cancelled", "Interrupted", "Snooze", "Task", "TaskContext", "TimedOut"),
            "workbell.domain.jobs.task",
        ),
    }
    """Modules of the public names; the error classes are all in one other module."""

    def __getattr__(name: str) -> object:
        """Import a public name (PEP 562)."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module(_MODULES.get(name, "workbell.domain.errors"))
        value = getattr(module, "open_client" if name == "open" else name)
        globals()[name] = value
        return value
