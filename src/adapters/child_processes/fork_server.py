"""
The fork server: a process of one thread that forks a worker's children.

A worker has threads and connections, so it must not fork itself. The server
imports the modules that declare tasks once; its children share that memory.

The standard library's fork server is not used: it preloads with another
`sys.path` (3.11 and 3.12.7), imports the main program again in each child,
keeps a resource tracker process, is shared with the rest of the program, and
its children survive the worker while they hold a private descriptor.
"""

import ctypes
import gc
import importlib
import os
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn

from attrs import define, field, frozen

from workbell.adapters.child_processes.child import serve_jobs

PARENT_CHECK_MS: Final = 250
STATUS: Final = struct.Struct("!i")
"""A message about a child: its process id, later its exit status (negative: signal)."""

_PR_SET_PDEATHSIG: Final = 1
_libc: Any = ctypes.CDLL(None) if sys.platform == "linux" else None


@frozen(kw_only=True)
class ForkServerSettings:
    """Settings that a worker sends to its fork server at the start."""

    parent: int
    modules: Sequence[str]
    nice: int
    idle_seconds: float


def main(control: int, **settings: Any) -> NoReturn:
    """Serve a worker until it ends; then kill all children and exit."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # of a terminal or a control group: the worker decides when its children stop
        signal.signal(number, _ignore)
    _set_death_signal(signal.SIGKILL)  # until it serves, it does not see that the worker ended
    server = _ForkServer(socket.socket(fileno=control), ForkServerSettings(**settings))
    for module in server.settings.modules:
        try:
            importlib.import_module(module)
        except Exception:  # noqa: BLE001 - the jobs of this module fail with the error
            traceback.print_exc()
    gc.collect()
    gc.freeze()  # a collection in a child would copy the memory that it shares
    _set_death_signal(0)  # it would also be sent when a thread of the worker ends
    try:
        server.serve()
    finally:
        server.kill_children()
        os._exit(0)


def _ignore(_: int, __: object) -> None:
    """Do nothing; unlike SIG_IGN, programs that a body starts do not inherit it."""


@define(eq=False)
class _ForkServer:
    """
    Forks a child for each message with two descriptors.

    They are the child's end of its channel, and the writing end of a pipe for
    its process id and exit status.
    """

    control: socket.socket
    settings: ForkServerSettings
    _statuses: dict[int, int] = field(factory=dict[int, int])
    _wakeup: int = -1
    _signals: int = -1

    def serve(self) -> None:
        self._wakeup, self._signals = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(self._signals, False)
        signal.signal(signal.SIGCHLD, _ignore)
        signal.set_wakeup_fd(self._signals, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(self._wakeup, select.POLLIN)
        # a fork of the worker may hold the other end of `control` open
        while os.getppid() == self.settings.parent:
            for descriptor, _ in poll.poll(PARENT_CHECK_MS):
                if descriptor == self._wakeup:
                    os.read(self._wakeup, 4096)
                    self._reap()
                elif not self._accept():
                    return

    def kill_children(self) -> None:
        """Kill the process groups of all children."""
        for pid in self._statuses:
            with suppress(OSError):
                os.killpg(pid, signal.SIGKILL)

    def _accept(self) -> bool:
        """Fork a child as requested; return False if the worker has ended."""
        try:
            message, (*descriptors,), _, _ = socket.recv_fds(self.control, 1, 2)
        except ConnectionError:
            return False
        if not message:
            return False
        channel, status = descriptors
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError:  # the worker sees the end of the pipe
            os.close(channel)
            os.close(status)
            return True
        if pid == 0:
            self._run_child(channel, status, server)
        with suppress(OSError):  # the child does the same; the first one succeeds
            os.setpgid(pid, pid)
        os.close(channel)
        self._statuses[pid] = status
        _write(status, pid)
        return True

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                descriptor = self._statuses.pop(pid, None)
                if descriptor is not None:
                    _write(descriptor, os.waitstatus_to_exitcode(status))
                    os.close(descriptor)

    def _run_child(self, channel: int, status: int, server: int) -> NoReturn:
        code = 1
        try:
            with suppress(OSError):
                os.setpgid(0, 0)
            _set_death_signal(signal.SIGKILL)
            if os.getppid() != server:  # it has died before the call
                os._exit(code)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.control.close()
            for descriptor in (self._wakeup, self._signals, status, *self._statuses.values()):
                os.close(descriptor)
            with suppress(OSError):
                os.nice(self.settings.nice)
            serve_jobs(socket.socket(fileno=channel), self.settings.idle_seconds)
            code = 0
        except BaseException:  # noqa: BLE001 - nothing of the server may run in a child
            traceback.print_exc()
        finally:
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)


def _set_death_signal(number: int) -> None:
    """Set the signal that the end of the starting thread sends to this process; 0: none."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, number)


def _write(descriptor: int, number: int) -> None:
    with suppress(OSError):  # the worker has ended
        os.write(descriptor, STATUS.pack(number))
