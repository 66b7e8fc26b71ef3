"""The context of an attempt: every call of it is a checkpoint."""

from collections.abc import Callable
from threading import Barrier, Thread
from typing import Any

import pytest

from tests.adapters.dramatiq.factories import NOW, claim
from workbell.adapters.dramatiq.attempt_watch import BODY, WATCH, AttemptWatch
from workbell.adapters.dramatiq.job_context import JobContext, LogBuffer
from workbell.domain.jobs.task import (
    Cancelled,
    Interrupted,
    OwnershipLost,
    ShuttingDown,
    TimedOut,
)

REASONS: list[type[Interrupted]] = [Cancelled, TimedOut, OwnershipLost, ShuttingDown]
CALLS: dict[str, Callable[[JobContext], None]] = {
    "check": lambda context: context.check(),
    "progress": lambda context: context.progress(1),
    "log.debug": lambda context: context.log.debug("line"),
    "log.info": lambda context: context.log.info("line"),
    "log.warning": lambda context: context.log.warning("line"),
    "log.error": lambda context: context.log.error("line"),
    "artifact": lambda context: context.artifact("a.txt", b"text"),
}


class FixedClock:
    def now(self) -> Any:
        return NOW


@pytest.fixture
def stored() -> list[str]:
    """Return the names of stored artifacts."""
    return []


@pytest.fixture
def context(stored: list[str]) -> JobContext:
    """Return the context of an attempt whose body runs."""
    clock = FixedClock()
    context = JobContext(
        claim=claim(1),
        clock=clock,
        store_artifact=lambda _, name, *__: stored.append(name),
        buffer=LogBuffer(clock, 1),
    )
    context.begin()
    return context


@pytest.mark.parametrize("why", REASONS)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_each_call_of_a_stopped_attempt_raises(
    context: JobContext,
    stored: list[str],
    call: Callable[[JobContext], None],
    why: type[Interrupted],
) -> None:
    call(context)
    context.drain_progress()
    context.buffer.drain()
    stored.clear()
    context.interrupt(why)
    with pytest.raises(why):
        call(context)
    assert context.drain_progress() is None
    assert context.buffer.drain() == []
    assert stored == []


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_each_call_after_the_deadline_raises(
    context: JobContext, call: Callable[[JobContext], None]
) -> None:
    context._deadline = 0.0
    with pytest.raises(TimedOut):
        call(context)


def test_a_log_that_was_read_before_the_stop_raises_too(context: JobContext) -> None:
    log = context.log
    context.interrupt(Cancelled)
    with pytest.raises(Cancelled):
        log.info("line")


def test_the_lock_of_the_log_is_free_after_an_interrupt(context: JobContext) -> None:
    context.interrupt(TimedOut)
    with pytest.raises(TimedOut):
        context.log.info("line")
    assert context.buffer._lock.acquire(blocking=False)


@pytest.mark.parametrize(
    ("first", "second", "raised"),
    [
        (ShuttingDown, Cancelled, Cancelled),
        (Cancelled, ShuttingDown, Cancelled),
        (OwnershipLost, Cancelled, OwnershipLost),
        (Cancelled, OwnershipLost, OwnershipLost),
    ],
)
def test_the_stronger_reason_is_raised(
    context: JobContext,
    first: type[Interrupted],
    second: type[Interrupted],
    raised: type[Interrupted],
) -> None:
    context.interrupt(first)
    context.interrupt(second)
    with pytest.raises(raised):
        context.check()


def test_the_first_of_body_and_watch_settles_the_attempt(context: JobContext) -> None:
    for _ in range(200):
        context._closer.clear()
        barrier, accepted = Barrier(2), list[str]()

        def close(who: str, barrier: Barrier = barrier, accepted: list[str] = accepted) -> None:
            barrier.wait()
            if context.close(who):
                accepted.append(who)

        threads = [Thread(target=close, args=(who,)) for who in (BODY, WATCH)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(accepted) == 1


@pytest.mark.parametrize(
    ("stop", "closed"),
    [
        (None, TimedOut),
        (ShuttingDown, TimedOut),
        (Cancelled, Cancelled),
        (OwnershipLost, OwnershipLost),
    ],
)
def test_the_reason_of_a_closure_after_the_deadline(
    context: JobContext, stop: type[Interrupted] | None, closed: type[Interrupted]
) -> None:
    if stop is not None:
        context.interrupt(stop)
    assert context.overdue_reason(cancel_grace=60, delay=0) is None
    context._deadline = 0.0
    assert context.overdue_reason(cancel_grace=60, delay=0) is closed


def test_a_cancelled_attempt_is_closed_after_the_grace(context: JobContext) -> None:
    context.interrupt(Cancelled)
    assert context.overdue_reason(cancel_grace=60, delay=0) is None
    assert context.overdue_reason(cancel_grace=0, delay=0) is Cancelled


def test_a_body_that_returned_is_not_closed_by_the_watch(context: JobContext) -> None:
    watch = AttemptWatch(cancel_grace=60)
    watch.begin(context)
    context._deadline = 0.0
    assert context.close(BODY)  # the body's thread has not yet left the watch
    assert watch.close_overdue() == []
    assert watch.written_off == 0


def test_a_closed_attempt_is_written_off_until_its_body_returns(context: JobContext) -> None:
    watch = AttemptWatch(cancel_grace=60)
    watch.begin(context)
    context._deadline = 0.0
    (closed,) = watch.close_overdue()
    assert (closed.context, closed.why) == (context, TimedOut)
    assert (len(watch), watch.written_off) == (0, 1)
    assert watch.close_overdue() == []
    watch.finish(context)
    assert (len(watch), watch.written_off) == (0, 0)
