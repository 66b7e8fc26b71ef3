"""The context of an attempt: progress, log, artifacts, cancellation."""

from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from math import inf
from pathlib import Path
from threading import Lock, Thread, current_thread
from time import monotonic
from typing import BinaryIO, Final

import msgspec
from attrs import define, evolve, field, frozen

from workbell.domain.errors import Invalid
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.attempt import Claim, LogLine
from workbell.domain.jobs.job import JobId, Progress, make_progress
from workbell.domain.jobs.task import (
    Cancelled,
    Interrupted,
    OwnershipLost,
    ShuttingDown,
    TaskLog,
    TimedOut,
)
from workbell.ports.system import Clock
from workbell.services.jobs.engine_rows import LOG_HEAD, LOG_TAIL
from workbell.services.jobs.execution import sanitise_text

MAX_LOG_BYTES = 256 * 1024
MAX_LINE = 4000
MAX_ARTIFACT_NAME = 200

_PRECEDENCE: Final[Mapping[type[Interrupted], int]] = {
    ShuttingDown: 1,
    Cancelled: 2,
    TimedOut: 3,
    OwnershipLost: 4,
}

StoreArtifact = Callable[[Claim, str, str, BinaryIO | Path | bytes], None]


@define(eq=False)
class LogBuffer:
    """The first and the last log lines of an attempt, not stored yet."""

    clock: Clock
    attempt: int
    _seq: int = 0
    _bytes: int = 0
    _head: list[LogLine] = field(factory=list[LogLine])
    _tail: deque[LogLine] = field(factory=lambda: deque[LogLine](maxlen=LOG_TAIL))
    _lock: Lock = field(factory=Lock)

    def add(self, level: str, event: str, values: Mapping[str, object]) -> None:
        """Append a line."""
        pairs = "".join(f" {name}={_format(value)}" for name, value in values.items())
        text = sanitise_text(f"{event}{pairs}")[:MAX_LINE]
        with self._lock:
            self._seq += 1
            self._bytes += len(text)
            if self._bytes > MAX_LOG_BYTES and self._seq > LOG_HEAD:
                text = text[: MAX_LOG_BYTES // (LOG_HEAD + LOG_TAIL)]
            line = LogLine(self.attempt, self._seq, self.clock.now(), level, text)
            (self._head if self._seq <= LOG_HEAD else self._tail).append(line)

    def drain(self) -> list[LogLine]:
        """Remove and return the lines."""
        with self._lock:
            lines = [*self._head, *self._tail]
            self._head.clear()
            self._tail.clear()
        return lines


def _format(value: object) -> str:
    if isinstance(value, str):
        return value if value.isprintable() and " " not in value else repr(value)
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, RecursionError):
        return repr(value)


@define(eq=False)
class JobContext:
    """
    The context of one claimed job; satisfies `TaskContext`.

    `progress`, `artifact` and the log raise as `check` does. The time limit
    counts from `begin` by the monotonic clock: neither the wait for a thread
    nor a change of the system time uses it up. `thread` runs the body, or waits
    for the child process that does: `on_interrupt` stops a body there, which
    need not check. `is_isolated`: its own time limit ends such an attempt.
    """

    claim: Claim
    clock: Clock
    store_artifact: StoreArtifact
    buffer: LogBuffer
    is_isolated: bool = False
    on_interrupt: Callable[[JobId, type[Interrupted]], None] = lambda _, __: None
    _progress: Progress | None = None
    _dirty: bool = False
    _stop: type[Interrupted] | None = None
    _stopped_at: float = inf
    _deadline: float = inf
    _closer: dict[str, str] = field(factory=dict[str, str])
    thread: Thread | None = None

    @property
    def job_id(self) -> int:
        """The id of the job."""
        return self.claim.id

    @property
    def attempt(self) -> int:
        """The number of the attempt, from 1."""
        return self.claim.attempt

    @property
    def owner(self) -> UserId:
        """The owner of the job."""
        return self.claim.owner

    @property
    def schedule_id(self) -> int | None:
        """The schedule that created the job, or None."""
        return self.claim.schedule_id

    @property
    def tick(self) -> datetime | None:
        """The scheduled time of the job, or None."""
        return self.claim.tick

    @property
    def idempotency_key(self) -> str:
        """A key that is the same for every attempt of the job."""
        return f"job-{self.claim.id}"

    @property
    def log(self) -> TaskLog:
        """The log of the attempt."""
        return _CheckedLog(self)  # not stored, because a reference cycle would burden the GC

    def now(self) -> datetime:
        """Return the current time."""
        return self.clock.now()

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Report progress; raise Invalid for numbers that are not finite or over 10^15."""
        self.check()
        progress = make_progress(done, total, note)
        self._progress = evolve(progress, note=sanitise_text(progress.note)[:200])
        self._dirty = True

    def check(self) -> None:
        """Raise Interrupted if the attempt must stop."""
        if self._stop is not None:
            raise self._stop
        if monotonic() > self._deadline:
            raise TimedOut

    def artifact(
        self,
        name: str,
        source: BinaryIO | Path | bytes,
        media_type: str = "application/octet-stream",
    ) -> None:
        """Store a file with the job; raise Invalid for a name that is not plain."""
        self.check()
        plain_name = name.isprintable() and not set(name) & set('/\\"') and name.strip(". ")
        if not plain_name or len(name) > MAX_ARTIFACT_NAME:
            raise Invalid(
                f"{name!r} is not a plain file name of at most {MAX_ARTIFACT_NAME} characters."
            )
        self.store_artifact(self.claim, name, media_type, source)

    # called by the worker

    def begin(self) -> None:
        """Start the time limit; the calling thread runs the body."""
        self._deadline = monotonic() + self.claim.timeout_seconds
        self.thread = current_thread()

    def close(self, closer: str) -> bool:
        """Return whether `closer` may settle the attempt: the first one may."""
        return self._closer.setdefault("closer", closer) == closer  # one atomic call

    def overdue_reason(self, cancel_grace: float, delay: float) -> type[Interrupted] | None:
        """
        Return why the attempt must end without its body, or None.

        `cancel_grace` are the seconds that the body has after it was cancelled,
        `delay` those after its deadline.
        """
        if self.is_isolated:
            return None
        now = monotonic()
        if self._stop is Cancelled and now >= self._stopped_at + cancel_grace:
            return Cancelled
        if now < self._deadline + delay:
            return None
        return self._stop if self._stop in (Cancelled, OwnershipLost) else TimedOut

    def interrupt(self, why: type[Interrupted]) -> None:
        """
        Make the next check raise `why`, unless there is a stronger reason.

        In ascending order: shutdown, cancellation, timeout, loss of the lease.
        """
        if self._stop is None or _PRECEDENCE[why] > _PRECEDENCE[self._stop]:
            self._stopped_at = monotonic()
            self._stop = why
            self.on_interrupt(self.claim.id, why)

    @property
    def is_cancelled(self) -> bool:
        """Whether the attempt must stop because its job was cancelled."""
        return self._stop is Cancelled

    @property
    def lost(self) -> bool:
        """Whether the lease of the claim was lost."""
        return self._stop is OwnershipLost

    def drain_progress(self) -> Progress | None:
        """Return the progress if it has changed since the last call, or None."""
        if not self._dirty:
            return None
        self._dirty = False
        return self._progress


@frozen
class _CheckedLog:
    """The log of an attempt; each call raises if the attempt must stop."""

    _context: JobContext

    def debug(self, event: str, **values: object) -> None:
        """Log at level debug."""
        self._add("debug", event, values)

    def info(self, event: str, **values: object) -> None:
        """Log at level info."""
        self._add("info", event, values)

    def warning(self, event: str, **values: object) -> None:
        """Log at level warning."""
        self._add("warning", event, values)

    def error(self, event: str, **values: object) -> None:
        """Log at level error."""
        self._add("error", event, values)

    def _add(self, level: str, event: str, values: Mapping[str, object]) -> None:
        self._context.check()
        self._context.buffer.add(level, event, values)
