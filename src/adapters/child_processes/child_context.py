"""The context of a body that runs in a child process."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock, current_thread, main_thread
from time import monotonic
from typing import Any, BinaryIO, TypeVar

from attrs import define, field, frozen
from msgspec import Struct

from workbell.adapters.child_processes.channel import FrameChannel, FrameError
from workbell.adapters.child_processes.failures import INTERRUPTIONS, to_error
from workbell.adapters.child_processes.frames import (
    ArtifactFrame,
    FromWorker,
    JobFrame,
    LogFrame,
    ProgressFrame,
    StopFrame,
    StoredFrame,
)
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.job import make_progress
from workbell.domain.jobs.task import Interrupted, TaskLog

MAX_NOTE = 200
MAX_LINE = 8_000
EXIT_ORPHANED = 71

T = TypeVar("T")


@define(eq=False)
class WorkerLink:
    """
    The child's end of the channel, shared by the body's threads and the signal.

    The worker sends a `StopFrame` before SIGUSR1. The handler raises its exception
    in the main thread while a body runs `job`. If a thread uses the channel at that
    time, the handler returns, and that thread reads the stop when it is done, and
    sends the signal again; so a frame is never torn.
    """

    channel: FrameChannel[FromWorker]
    job: JobFrame | None = None
    stop: type[Interrupted] | None = None
    _was_raised: bool = False
    _is_deferred: bool = False
    _is_main_inside: bool = False
    _lock: Lock = field(factory=Lock)

    def install_signal_handler(self) -> None:
        """Handle SIGUSR1; call it in the main thread."""
        signal.signal(signal.SIGUSR1, self._handle_signal)

    def next_job(self, timeout: float) -> JobFrame | None:
        """Return the next job; None if the worker sent none in time, or has ended."""
        try:
            frame = self._exclusively(lambda: self.channel.receive(timeout))
        except (TimeoutError, EOFError, FrameError):
            return None
        return frame if isinstance(frame, JobFrame) else None

    def check(self, job: JobFrame) -> None:
        """Raise the exception of a stop; RuntimeError if the body of the job has ended."""
        if self.stop is not None:
            raise self.stop
        if self.job is not job:
            raise RuntimeError("The attempt has ended; a thread of it still uses its context.")

    def send(self, job: JobFrame, frame: Struct) -> None:
        """Send a frame of a job, then check for a stop; raises FrameError."""
        self.check(job)
        self.deliver(frame)
        self.check(job)

    def deliver(self, frame: Struct) -> None:
        """Send a frame, also after a stop; raises FrameError."""
        self._exclusively(lambda: self._send(frame))

    def request(self, job: JobFrame, frame: Struct) -> StoredFrame:
        """Send a frame of a job and return its answer."""
        self.check(job)

        def exchange() -> StoredFrame:
            self._send(frame)
            while True:
                answer = self.channel.receive(None)
                if isinstance(answer, StoredFrame):
                    return answer
                self._note_stop(answer)

        try:
            return self._exclusively(exchange)
        except EOFError:
            os._exit(EXIT_ORPHANED)

    def _send(self, frame: Struct) -> None:
        try:
            self.channel.send(frame)
        except OSError:
            os._exit(EXIT_ORPHANED)

    def _exclusively(self, use: Callable[[], T]) -> T:
        """Use the channel; then handle a signal that came during the use."""
        is_main = current_thread() is main_thread()
        try:
            with self._lock:
                self._is_main_inside = is_main
                try:
                    return use()
                finally:
                    if self._is_deferred:
                        self._read_stop()
                    self._is_main_inside = False
        finally:
            if self._is_deferred:
                self._is_deferred = False
                os.kill(os.getpid(), signal.SIGUSR1)

    def _handle_signal(self, _: int, __: object) -> None:
        if not self._knows_stop():
            return
        if self.job is not None and self.stop is not None and not self._was_raised:
            self._was_raised = True
            raise self.stop

    def _knows_stop(self) -> bool:
        """Read the stop; return False if a thread uses the channel, and will signal again."""
        if self._is_main_inside:
            self._is_deferred = True
            return False
        if self.stop is not None:
            return True
        if not self._lock.acquire(blocking=False):
            self._is_deferred = True
            if not self._lock.acquire(blocking=False):  # that thread may have just ended
                return False
        try:
            self._read_stop()
        finally:
            self._lock.release()
        return True

    def _read_stop(self) -> None:
        with suppress(TimeoutError, EOFError, FrameError):
            if self.stop is None:
                self._note_stop(self.channel.receive(0.0))

    def _note_stop(self, frame: FromWorker) -> None:
        if isinstance(frame, StopFrame):
            self.stop = INTERRUPTIONS[frame.why]


@frozen
class ChildLog:
    """The log of an attempt, sent to the worker."""

    job: JobFrame
    link: WorkerLink

    def debug(self, event: str, **values: object) -> None:
        """Log at level debug."""
        self._send("debug", event, values)

    def info(self, event: str, **values: object) -> None:
        """Log at level info."""
        self._send("info", event, values)

    def warning(self, event: str, **values: object) -> None:
        """Log at level warning."""
        self._send("warning", event, values)

    def error(self, event: str, **values: object) -> None:
        """Log at level error."""
        self._send("error", event, values)

    def _send(self, level: str, event: str, values: dict[str, Any]) -> None:
        try:
            self.link.send(self.job, LogFrame(level, event, values))
        except FrameError:  # too long, or values without a binary form
            pairs = "".join(f" {name}={value!r}" for name, value in values.items())
            text = f"{event}{pairs}"[:MAX_LINE].encode("utf-8", "replace").decode()
            self.link.send(self.job, LogFrame(level, text, {}))


@define(eq=False)
class ChildContext:
    """The context of one job; satisfies `TaskContext`."""

    job: JobFrame
    link: WorkerLink
    log: TaskLog = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Create the log."""
        self.log = ChildLog(self.job, self.link)

    @property
    def job_id(self) -> int:
        """The id of the job."""
        return self.job.id

    @property
    def attempt(self) -> int:
        """The number of the attempt, from 1."""
        return self.job.attempt

    @property
    def owner(self) -> UserId:
        """The owner of the job."""
        return UserId(self.job.owner)

    @property
    def schedule_id(self) -> int | None:
        """The schedule that created the job, or None."""
        return self.job.schedule_id

    @property
    def tick(self) -> datetime | None:
        """The scheduled time of the job, or None."""
        return self.job.tick

    @property
    def idempotency_key(self) -> str:
        """A key that is the same for every attempt of the job."""
        return f"job-{self.job.id}"

    def now(self) -> datetime:
        """Return the current time, by the clock of the store."""
        return self.job.now + timedelta(seconds=monotonic() - self.job.monotonic)

    def check(self) -> None:
        """Raise Interrupted if the attempt must stop."""
        self.link.check(self.job)

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Report progress; raise Invalid as in the worker."""
        progress = make_progress(done, total, note)
        text = progress.note[:MAX_NOTE].encode("utf-8", "replace").decode()
        self.link.send(self.job, ProgressFrame(progress.done, progress.total, text))

    def artifact(
        self,
        name: str,
        source: BinaryIO | Path | bytes,
        media_type: str = "application/octet-stream",
    ) -> None:
        """Store a file with the job; raises as in the worker."""
        if isinstance(source, Path):
            self._store(name, media_type, source.absolute())
            return
        Path(self.job.folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, path = tempfile.mkstemp(dir=self.job.folder)
        try:
            with os.fdopen(descriptor, "wb") as copy:
                if isinstance(source, bytes):
                    copy.write(source)
                else:
                    shutil.copyfileobj(source, copy)
            self._store(name, media_type, Path(path))
        finally:
            with suppress(OSError):
                Path(path).unlink()

    def _store(self, name: str, media_type: str, path: Path) -> None:
        answer = self.link.request(self.job, ArtifactFrame(name, media_type, str(path)))
        if answer.failure is not None:
            raise to_error(answer.failure)
