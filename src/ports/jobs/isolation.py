"""Child processes that run task bodies."""

from typing import Any, Protocol

from workbell.domain.jobs.attempt import Claim
from workbell.domain.jobs.job import JobId
from workbell.domain.jobs.task import Cancelled, Interrupted, Task, TaskContext


class ChildCrashed(Exception):
    """The child process of an attempt ended without a result."""


class ChildTraceback(Exception):
    """The traceback of an error in a child, as text; the cause of the error here."""

    def __str__(self) -> str:
        """Return the traceback."""
        return str(self.args[0])


class ChildProcesses(Protocol):
    """Runs bodies of tasks with `isolation` PROCESS in child processes."""

    def run(self, task: Task, claim: Claim, context: TaskContext) -> Any:
        """
        Run a body in a child; return its result as JSON data.

        `context` receives progress, log lines and artifacts. The time limit counts
        from the start of the body; the child is killed when it expires.

        Raises:
            ChildCrashed: The child died or broke the protocol.
            Interrupted: The attempt was interrupted, or is out of time.
            Exception: The error of the body: one of the error families, `Snooze`, or
                an error with the name and text of the original. Its cause is a
                `ChildTraceback`.
        """

    def interrupt(self, job_id: JobId, why: type[Interrupted]) -> None:
        """Raise `why` in the body of a job, if one runs; kill its child after a grace."""

    def kill(self, job_id: JobId, why: type[Interrupted] = Cancelled) -> None:
        """Kill the child of a job, if one runs, with its process group."""
