"""The worker's handles of its child processes and of its fork server."""

import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock, Timer
from time import monotonic
from typing import Final

from attrs import define, field
from msgspec import Struct
from msgspec.msgpack import Decoder

from workbell.adapters.child_processes.channel import FrameChannel
from workbell.adapters.child_processes.failures import interruption
from workbell.adapters.child_processes.frames import FromChild, StopFrame
from workbell.domain.errors import Unavailable
from workbell.domain.jobs.job import JobId
from workbell.domain.jobs.task import Interrupted, OwnershipLost, TimedOut

START_SECONDS: Final = 60.0
EXIT_SECONDS: Final = 2.0
SEND_TIMEOUT: Final = struct.pack("@ll", 5, 0)
"""As `struct timeval`: a child that is suspended must not block its worker."""
STATUS_BYTES: Final = 4

# the settings are not secret; the program must be found before anything is imported
_PROGRAM: Final = (
    "import json, sys\n"
    "settings = json.loads(sys.argv[1])\n"
    "sys.path[:] = settings.pop('sys_path')\n"
    "from workbell.adapters.child_processes.fork_server import main\n"
    "main(**settings)\n"
)
_DECODER: Final[Decoder[FromChild]] = Decoder(FromChild)


@define(eq=False)
class ChildProcess:
    """
    A child process that a fork server has started.

    `job_id` is the job that it runs. `why` is set when the worker has signalled or
    killed it; such a child runs no further job. `status` is a pipe with the exit
    status, negative for a signal.
    """

    pid: int
    channel: FrameChannel[FromChild]
    status: int
    folder: Path
    jobs: int = 0
    idle_since: float = 0.0
    job_id: JobId | None = None
    why: type[Interrupted] | None = None
    _killer: Timer | None = None
    _is_closed: bool = False
    _lock: Lock = field(factory=Lock)

    def start_job(self, job_id: JobId) -> None:
        """Allow interruptions of a job."""
        with self._lock:
            self.job_id = job_id

    def end_job(self) -> None:
        """Count a job; a late interruption of it has no effect."""
        with self._lock:
            self.job_id = None
            self.jobs += 1
            self.idle_since = monotonic()

    def send(self, frame: Struct) -> None:
        """Send a frame; raises FrameError, or OSError if the child has ended."""
        with self._lock:
            self.channel.send(frame)

    def is_alive(self) -> bool:
        """Whether an idle child waits for a job: it sends nothing, and has not ended."""
        poll = select.poll()
        poll.register(self.channel.socket, select.POLLIN)
        return not poll.poll(0)

    def interrupt(self, job_id: JobId, why: type[Interrupted], grace: float) -> None:
        """Raise `why` in the body, and kill the child after `grace` seconds if it runs."""
        if issubclass(why, (OwnershipLost, TimedOut)):  # their time is over
            self.kill(job_id, why)
            return
        with self._lock:
            if self.why is not None or self.job_id != job_id:
                return
            self.why = why
            self._killer = Timer(grace, self.kill, (job_id, why))
            self._killer.daemon = True
            self._killer.start()
            with suppress(OSError):
                self.channel.send(StopFrame(interruption(why)))
                os.kill(self.pid, signal.SIGUSR1)

    def kill(self, job_id: JobId, why: type[Interrupted]) -> None:
        """Kill the child and the processes that it has started."""
        with self._lock:
            if self.job_id == job_id:
                self.why = self.why or why
                self._kill_group()

    def wait(self) -> int | None:
        """Return the exit status; None if it is not known, as the fork server died."""
        return read_status(self.status, EXIT_SECONDS)

    def close(self) -> None:
        """Kill what is left of the child, and release its resources."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._kill_group()
            if self._killer is not None:
                self._killer.cancel()
            self.channel.socket.close()
            os.close(self.status)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kill_group(self) -> None:
        with suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)


@define(eq=False)
class ForkServer:
    """
    The fork server of this process, started with the first child.

    It imports `modules`. A server that died is replaced; its children have died
    with it.
    """

    modules: Sequence[str]
    nice: int
    idle_seconds: float
    folder: Path
    _process: "subprocess.Popen[bytes] | None" = None
    _control: socket.socket | None = None
    _count: int = 0
    _lock: Lock = field(factory=Lock)

    @property
    def pid(self) -> int | None:
        """The process id of the server, or None before the first child."""
        return None if self._process is None else self._process.pid

    def fork(self) -> ChildProcess:
        """
        Start a child.

        Raises:
            Unavailable: No process can be started.
        """
        for _ in range(2):  # the server may have died since the last child
            try:
                if (child := self._fork()) is not None:
                    return child
            except OSError as error:
                raise Unavailable(f"No child process can be started: {error}.") from error
            self._discard_server()
        raise Unavailable("No child process can be started: the fork server has ended.")

    def close(self) -> None:
        """Stop the server, which kills all children."""
        with self._lock:
            self._discard(self._process, self._control)
            self._process = self._control = None

    def _fork(self) -> ChildProcess | None:
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, SEND_TIMEOUT)
        status, status_end = os.pipe()
        pid = None
        try:
            with self._lock:
                control = self._ensure_started()
                self._count += 1
                folder = self.folder / f"{os.getpid()}-{self._count}"
                with suppress(ConnectionError):
                    socket.send_fds(control, [b"f"], [theirs.fileno(), status_end])
            theirs.close()
            os.close(status_end)
            status_end = -1
            pid = read_status(status, START_SECONDS)
        finally:
            theirs.close()
            if status_end >= 0:
                os.close(status_end)
            if pid is None:
                ours.close()
                os.close(status)
        return (
            None if pid is None else ChildProcess(pid, FrameChannel(ours, _DECODER), status, folder)
        )

    def _ensure_started(self) -> socket.socket:
        if self._control is not None:
            return self._control
        ours, theirs = socket.socketpair()
        settings = {
            "sys_path": sys.path,
            "control": theirs.fileno(),
            "parent": os.getpid(),
            "modules": list(self.modules),
            "nice": self.nice,
            "idle_seconds": self.idle_seconds,
        }
        try:
            self._process = subprocess.Popen(  # noqa: S603 - only our own arguments
                [sys.executable, "-c", _PROGRAM, json.dumps(settings)],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._control = ours
        return ours

    def _discard_server(self) -> None:
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(0.1)
            if self._process is None or self._process.poll() is not None:
                self._discard(self._process, self._control)
                self._process = self._control = None

    @staticmethod
    def _discard(process: "subprocess.Popen[bytes] | None", control: socket.socket | None) -> None:
        if control is not None:
            control.close()
        if process is None:
            return
        try:
            process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def read_status(pipe: int, timeout: float) -> int | None:
    """Read a number that the fork server reports; None if it has died."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    until = monotonic() + timeout
    while (left := until - monotonic()) > 0:
        if poll.poll(left * 1000):
            content = os.read(pipe, STATUS_BYTES)
            return int.from_bytes(content, "big", signed=True) if content else None
    return None
