"""The child processes of a worker: at most one for each busy thread."""

import os
import pickle
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any, Final, NoReturn

from attrs import define, field, frozen
from msgspec import json

from workbell.adapters.child_processes.channel import FrameError
from workbell.adapters.child_processes.child_process import ChildProcess, ForkServer
from workbell.adapters.child_processes.failures import to_error, to_frame
from workbell.adapters.child_processes.frames import (
    ArtifactFrame,
    FailureFrame,
    JobFrame,
    LogFrame,
    ProgressFrame,
    ResultFrame,
    StoredFrame,
)
from workbell.adapters.child_processes.metrics import ChildMetrics
from workbell.domain.errors import Invalid
from workbell.domain.jobs.attempt import Claim
from workbell.domain.jobs.job import JobId
from workbell.domain.jobs.task import (
    Cancelled,
    Interrupted,
    OwnershipLost,
    ShuttingDown,
    Task,
    TaskContext,
    TimedOut,
)
from workbell.ports.jobs.isolation import ChildCrashed

CHILD_EXIT_MARGIN: Final = 10.0
"""A child ends by itself this much later than its worker would still use it."""
LEFTOVER_SECONDS: Final = 2 * 86_400.0


@frozen(kw_only=True)
class ChildLimits:
    """Limits of children; 0 MiB of memory is no limit."""

    jobs: int = 1_000
    idle_seconds: float = 300.0
    memory_mib: int = 0
    kill_grace_seconds: float = 5.0


@define(eq=False)
class ChildPool:
    """
    Runs bodies in child processes; satisfies `ChildProcesses`.

    The calling thread waits for its child. Children are started when no idle one
    is left, and reused; the last one used is the first to be used again.
    """

    server: ForkServer
    limits: ChildLimits
    metrics: ChildMetrics
    _idle: list[ChildProcess] = field(factory=list[ChildProcess])
    _running: dict[JobId, ChildProcess] = field(factory=dict[JobId, ChildProcess])
    _code: dict[str, bytes] = field(factory=dict[str, bytes])
    _lock: Lock = field(factory=Lock)

    def __attrs_post_init__(self) -> None:
        """Bind the metrics."""
        self.metrics.bind(self.count)

    def check(self, task: Task) -> None:
        """Raise Invalid unless a child can import the body of a task."""
        self._code[task.key] = _pickle(task)

    def count(self) -> int:
        """Return the number of children, after removing idle ones that have ended."""
        with self._lock:
            ended = [child for child in self._idle if not self._is_usable(child)]
            self._idle = [child for child in self._idle if child not in ended]
            count = len(self._idle) + len(self._running)
        for child in ended:
            child.close()
        return count

    def run(self, task: Task, claim: Claim, context: TaskContext) -> Any:
        """Run a body in a child; see the port."""
        child, answer = self._take(), None
        child.start_job(claim.id)
        with self._lock:
            self._running[claim.id] = child
        try:
            context.check()  # a stop that came before the child was registered
            answer = self._exchange(child, task, claim, context)
        finally:
            is_last = answer is None or (isinstance(answer, FailureFrame) and answer.is_last)
            self._put_back(claim.id, child, is_reusable=not is_last)
        if isinstance(answer, ResultFrame):
            return json.decode(answer.value)
        assert answer is not None  # `_exchange` has raised otherwise
        raise to_error(answer)

    def interrupt(self, job_id: JobId, why: type[Interrupted]) -> None:
        """Raise `why` in the body of a job; see the port."""
        if (child := self._running.get(job_id)) is not None:
            child.interrupt(job_id, why, self.limits.kill_grace_seconds)

    def kill(self, job_id: JobId, why: type[Interrupted] = Cancelled) -> None:
        """Kill the child of a job; see the port."""
        if (child := self._running.get(job_id)) is not None:
            child.kill(job_id, why)

    def close(self) -> None:
        """Kill all children, and stop the fork server."""
        with self._lock:
            idle, self._idle = self._idle, []
            running = list(self._running)
        for child in idle:
            child.close()
        for job_id in running:  # closed by their threads
            self.kill(job_id, ShuttingDown)
        self.server.close()

    # children

    def _take(self) -> ChildProcess:
        while True:
            with self._lock:
                child = self._idle.pop() if self._idle else None
            if child is None:
                if self.server.pid is None:
                    _remove_leftovers(self.server.folder)
                return self.server.fork()
            if self._is_usable(child):
                return child
            child.close()

    def _is_usable(self, child: ChildProcess) -> bool:
        idle = monotonic() - child.idle_since
        return idle < self.limits.idle_seconds and child.is_alive()

    def _put_back(self, job_id: JobId, child: ChildProcess, *, is_reusable: bool) -> None:
        child.end_job()
        with self._lock:
            del self._running[job_id]
            keep = is_reusable and child.why is None and child.jobs < self.limits.jobs
            if keep:
                self._idle.append(child)
        if not keep:
            child.close()

    # a job

    def _job_frame(
        self, task: Task, claim: Claim, context: TaskContext, child: ChildProcess
    ) -> JobFrame:
        code = self._code.get(task.key)
        if code is None:
            code = self._code[task.key] = _pickle(task)
        return JobFrame(
            id=claim.id,
            attempt=claim.attempt,
            owner=claim.owner,
            schedule_id=claim.schedule_id,
            tick=claim.tick,
            now=context.now(),
            monotonic=monotonic(),
            code=code,
            parameters=json.encode(claim.parameters),
            memory_mib=self.limits.memory_mib if task.memory_mib is None else task.memory_mib,
            cpu_seconds=task.cpu_seconds,
            folder=str(child.folder),
        )

    def _exchange(
        self, child: ChildProcess, task: Task, claim: Claim, context: TaskContext
    ) -> ResultFrame | FailureFrame:
        """Send a job to a child, and pass on its reports until the body has ended."""
        until = monotonic() + claim.timeout_seconds
        try:
            child.send(self._job_frame(task, claim, context, child))
            while True:
                frame = child.channel.receive(until - monotonic())
                if isinstance(frame, ResultFrame | FailureFrame):
                    return frame
                self._handle(frame, child, claim.id, context)
        except TimeoutError:
            child.kill(claim.id, TimedOut)
            why = child.why or TimedOut
            self.metrics.record_kill(why)
            raise why from None
        except FrameError as error:
            self.metrics.record_crash("exit")
            raise ChildCrashed(f"an invalid frame: {error}") from error
        except (EOFError, OSError):
            self._raise_end(child, task)

    def _handle(
        self,
        frame: ProgressFrame | LogFrame | ArtifactFrame,
        child: ChildProcess,
        job_id: JobId,
        context: TaskContext,
    ) -> None:
        """Pass on a report; a stop that the context raises interrupts the body."""
        if isinstance(frame, ArtifactFrame):
            child.send(StoredFrame(_store(context, frame)))
            return
        try:
            if isinstance(frame, ProgressFrame):
                context.progress(frame.done, frame.total, frame.note)
            else:
                _log(context, frame)
        except OwnershipLost:
            raise
        except Interrupted as stop:
            child.interrupt(job_id, type(stop), self.limits.kill_grace_seconds)

    def _raise_end(self, child: ChildProcess, task: Task) -> NoReturn:
        """Raise the reason for which a child has ended, or ChildCrashed."""
        status = child.wait()
        if child.why is not None:
            if status == -signal.SIGKILL:
                self.metrics.record_kill(child.why)
            raise child.why from None
        name, text = _describe_exit(status, task)
        self.metrics.record_crash(name)
        raise ChildCrashed(text) from None


def _log(context: TaskContext, frame: LogFrame) -> None:
    log = context.log
    write = {"debug": log.debug, "info": log.info, "warning": log.warning, "error": log.error}
    write[frame.level](frame.event, **frame.values)


def _store(context: TaskContext, frame: ArtifactFrame) -> FailureFrame | None:
    """Store a file for a child; return the error to raise there."""
    try:
        context.artifact(frame.name, Path(frame.path), frame.media_type)
    except OwnershipLost:
        raise
    except (Exception, Interrupted) as error:  # noqa: BLE001 - raised in the body
        return to_frame(error)
    return None


def _describe_exit(status: int | None, task: Task) -> tuple[str, str]:
    """Return a metric's label and a text for the end of a child."""
    if status is None:
        return "unknown", "its fork server has ended, or it closed its connection"
    if status >= 0:
        return "exit", f"exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    if name == "SIGKILL":
        return name, "SIGKILL, not by Workbell: out of memory?"
    if name == "SIGXCPU" and task.cpu_seconds is not None:
        return name, f"SIGXCPU: more than {task.cpu_seconds} s of processor time"
    return name, name


def _pickle(task: Task) -> bytes:
    """
    Pickle the body of a task, by reference to its module.

    Raises:
        Invalid: A child could not import it.
    """
    problem = f"The body of {task.key!r} cannot run in a child process"
    if getattr(task.body, "__module__", "") == "__main__":
        raise Invalid(f"{problem}: declare it in a module that can be imported, not in __main__.")
    try:
        return pickle.dumps((task.body, task.parameters))
    except Exception as error:
        raise Invalid(f"{problem}: it must be a function of a module ({error}).") from error


def _remove_leftovers(folder: Path) -> None:
    """Remove the folders of children whose worker was killed days ago."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            if time.time() - entry.stat().st_mtime > LEFTOVER_SECONDS:
                shutil.rmtree(entry.path, ignore_errors=True)
