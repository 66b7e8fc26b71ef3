"""Child processes: started, restarted when they die, and stopped together."""

import multiprocessing
import signal
import socket
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from time import monotonic
from typing import Any, Final

import structlog
from attrs import Factory, define, field

from workbell.entrypoints.processes.lifecycle import Lifecycle

READY: Final = b"ready"
EXIT_FAILED: Final = 1
MAX_FAILED_STARTS: Final = 5
FIRST_DELAY_SECONDS: Final = 0.5
KILL_SECONDS: Final = 5.0
"""Time after the grace period at which a child that still runs is killed."""

log = structlog.get_logger()


@define(eq=False)
class Child:
    """One child process; closing `control` asks it to stop."""

    process: SpawnProcess
    control: Connection
    is_ready: bool = False


@define(eq=False)
class Supervisor:
    """
    Runs one function in several child processes.

    A child calls `target(control, *arguments)`, sends READY on `control` once
    it serves, and stops when `control` closes, which also happens if this
    process dies. Children are spawned, not forked: they share neither threads
    nor connections with this process.

    `on_death` receives the process id of a child that died. A child that was
    ready is restarted at once, any other after a delay that doubles. If a
    child fails before all were ready once, or five starts in a row fail, all
    children are stopped and the exit status is 1.
    """

    target: Callable[..., None]
    arguments: Sequence[Any]
    count: int
    grace_seconds: float
    on_death: Callable[[int], None] = lambda _: None
    _children: list[Child] = field(init=False, factory=list)
    _starts: list[float] = field(init=False, default=Factory(list[float]))
    _failed_starts: int = field(init=False, default=0)
    _was_ready: bool = field(init=False, default=False)

    def run(self, life: Lifecycle) -> int:
        """Run the children until a stop is requested; return the exit status."""
        status = 0
        with _signal_wakeup_socket() as wakeup:
            self._starts = [monotonic()] * self.count
            while not life.stopping and not status:
                self._start_due()
                self._wait(wakeup)
                status = self._reap()
            self._stop()
        return status or life.exit_status(stopped_cleanly=True)

    def _start_due(self) -> None:
        now = monotonic()
        due = sum(at <= now for at in self._starts)
        self._starts = [at for at in self._starts if at > now]
        context = multiprocessing.get_context("spawn")
        for _ in range(due):
            control, child_end = context.Pipe()
            process = context.Process(target=self.target, args=(child_end, *self.arguments))
            process.start()
            child_end.close()
            self._children.append(Child(process, control))

    def _wait(self, wakeup: socket.socket) -> None:
        """Wait for a signal, a message, the end of a child, or the next start."""
        sources: list[Any] = [wakeup, *(child.process.sentinel for child in self._children)]
        sources += [child.control for child in self._children if not child.is_ready]
        ready = wait(sources, min(self._starts) - monotonic() if self._starts else None)
        for child in self._children:
            if child.control in ready:
                self._receive(child)

    def _receive(self, child: Child) -> None:
        try:
            child.is_ready = child.control.recv_bytes() == READY
        except (EOFError, OSError):
            return  # the child died; `_reap` handles it
        log.info("child_ready", pid=child.process.pid)
        self._failed_starts = 0
        self._was_ready = self._was_ready or all(one.is_ready for one in self._children)

    def _reap(self) -> int:
        """Schedule restarts of dead children; return 1 if they keep failing."""
        for child in [one for one in self._children if not one.process.is_alive()]:
            child.process.join()
            self._children.remove(child)
            child.control.close()
            self.on_death(child.process.pid or 0)
            log.warning(
                "child_died",
                pid=child.process.pid,
                exit_code=child.process.exitcode,
                was_ready=child.is_ready,
            )
            if child.is_ready:
                self._starts.append(monotonic())
                continue
            self._failed_starts += 1
            if not self._was_ready or self._failed_starts >= MAX_FAILED_STARTS:
                log.error("children_cannot_start", failed_starts=self._failed_starts)
                return EXIT_FAILED
            delay = FIRST_DELAY_SECONDS * 2 ** (self._failed_starts - 1)
            self._starts.append(monotonic() + delay)
        return 0

    def _stop(self) -> None:
        """Stop all children; kill those that exceed the grace period."""
        for child in self._children:
            child.control.close()
        until = monotonic() + self.grace_seconds + KILL_SECONDS
        for child in self._children:
            child.process.join(max(0.0, until - monotonic()))
            if child.process.is_alive():
                log.warning("child_killed", pid=child.process.pid)
                child.process.kill()
                child.process.join()


@contextmanager
def _signal_wakeup_socket() -> Generator[socket.socket]:
    """Yield a socket that becomes readable on a signal."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    previous = signal.set_wakeup_fd(writer.fileno())
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(previous)
        reader.close()
        writer.close()
