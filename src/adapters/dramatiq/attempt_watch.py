"""The attempts whose bodies run, and those that were closed without them."""

from collections.abc import Iterator, Sequence

from attrs import define, field, frozen

from workbell.adapters.dramatiq.job_context import JobContext
from workbell.domain.jobs.task import Interrupted

CLOSE_DELAY_SECONDS = 0.1
"""Time after the deadline in which a body that checks ends its attempt itself."""
BODY = "body"
WATCH = "watch"


@frozen
class ClosedAttempt:
    """An attempt that was closed while its body runs, and why."""

    context: JobContext
    why: type[Interrupted]


@define(eq=False)
class AttemptWatch:
    """
    The attempts whose bodies run in this process.

    An attempt ends with its body, or `close_overdue` closes it: then its thread
    is written off until the body returns. `JobContext.close` decides between
    the two. The sets need no lock: each call on them is atomic.
    """

    cancel_grace: float
    _running: set[JobContext] = field(factory=set[JobContext])
    _written_off: set[JobContext] = field(factory=set[JobContext])

    def __len__(self) -> int:
        """Return how many bodies run whose attempts are open."""
        return len(self._running)

    def __iter__(self) -> Iterator[JobContext]:
        """Yield the attempts that are open."""
        return iter(list(self._running))

    @property
    def written_off(self) -> int:
        """The number of bodies that run although their attempts are closed."""
        return len(self._written_off)

    def begin(self, context: JobContext) -> None:
        """Watch an attempt from the start of its body, in the calling thread."""
        context.begin()
        self._running.add(context)

    def finish(self, context: JobContext) -> None:
        """Close an attempt whose body has ended, unless it is closed."""
        self._running.discard(context)
        if not context.close(BODY):
            self._written_off.discard(context)

    def close_overdue(self) -> Sequence[ClosedAttempt]:
        """Close the attempts that are past their deadline or the grace of a cancel."""
        closed: list[ClosedAttempt] = []
        for context in self:
            why = context.overdue_reason(self.cancel_grace, CLOSE_DELAY_SECONDS)
            if why is None:
                continue
            self._written_off.add(context)  # before `close`, because `finish` removes it
            if not context.close(WATCH):
                self._written_off.discard(context)
                continue
            self._running.discard(context)
            context.interrupt(why)
            closed.append(ClosedAttempt(context, why))
        return closed
