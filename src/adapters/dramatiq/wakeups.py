"""Wake-ups by Dramatiq messages: each names a queue, never a job."""

from collections.abc import Callable, Sequence
from functools import cache
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any, Protocol

import dramatiq
from attrs import define, field
from dramatiq.broker import Broker, Consumer, MessageProxy
from dramatiq.brokers.stub import StubBroker
from dramatiq.common import q_name
from dramatiq.message import Message
from dramatiq.worker import Worker

from workbell.domain.jobs.job import JobId

IDLE_POLL_MS = 1000


class Wakeups(Protocol):
    """The wake-ups of a process that runs jobs."""

    def wake(self, queue: str) -> None:
        """Wake a thread of any process."""

    def wake_local_thread(self, queue: str) -> None:
        """Wake one more thread of this process."""

    def reset_pending(self, queue: str) -> None:
        """Forget a pending wake-up, so that the next one is sent."""

    def wake_local(self, queue: str) -> None:
        """Wake a thread of this process, even if a wake-up is pending."""

    def wake_other_process(self, queue: str) -> None:
        """Wake a thread of another process, if there is one."""

    def stop_job(self, worker: str, job_id: JobId) -> None:
        """Notify the worker of a running job that it was cancelled."""

    def replace_thread(self, thread: Thread) -> None:
        """Start a thread in place of a written-off one, which ends after its turn."""

    def start(self) -> None:
        """Start the worker threads."""

    def stop(self, timeout: float) -> None:
        """Stop the threads; wait for them for at most `timeout` seconds."""


def declare(broker: Broker, queues: Sequence[str], drain: Callable[[str], None]) -> None:
    """Declare an actor for each queue, without retries: `drain` never raises."""

    def make_actor(queue: str) -> Callable[[], None]:
        def wake() -> None:
            drain(queue)

        return wake

    for queue in queues:
        dramatiq.Actor(
            make_actor(queue),
            broker=broker,
            actor_name=f"wake_{queue}",
            queue_name=queue,
            priority=0,
            options={},
        )


@cache
def wakeup_message(queue: str) -> Message[None]:
    """Return the message that wakes a thread for a queue."""
    return Message(queue_name=queue, actor_name=f"wake_{queue}", args=(), kwargs={}, options={})


def dispatch(worker: Worker, queue: str) -> None:
    """Send a wake-up to a thread directly, without broker and consumer."""
    worker.consumers[queue].handle_message(MessageProxy(wakeup_message(queue)))


def replace_thread(worker: Worker, thread: Thread) -> None:
    """Start a thread in place of one that ends after its current message."""
    for replaced in worker.workers:
        if replaced is thread:
            worker.workers.remove(replaced)
            replaced.stop()
            worker._add_worker()  # noqa: SLF001 - pinned by a test
            return


def stop_worker(worker: Worker, timeout: float, unblock: Callable[[], None]) -> None:
    """
    Stop the threads of a worker; abandon those busy after `timeout`.

    `unblock` ends blocking reads of consumers. Idle threads get a failed
    message, which they skip, because they check for the stop once a second.
    """
    until = monotonic() + timeout
    for consumer in worker.consumers.values():
        consumer.stop()
        consumer.close()
    unblock()
    for thread in worker.workers:
        thread.stop()
    for consumer in list(worker.consumers.values())[:1]:
        for _ in worker.workers:
            message = MessageProxy(wakeup_message(q_name(consumer.queue_name)))
            message.fail()
            consumer.handle_message(message)
    for thread in worker.workers:
        thread.join(max(0.0, until - monotonic()))
    worker.stop(timeout=max(0, int((until - monotonic()) * 1000)))


class IdleConsumer(Consumer):
    """A consumer without messages, as wake-ups are dispatched directly."""

    def __init__(self) -> None:
        """Create an open consumer."""
        self.closed = Event()

    def __next__(self) -> MessageProxy | None:
        """Wait, and return None."""
        self.closed.wait(IDLE_POLL_MS / 1000)
        return None

    def ack(self, message: MessageProxy) -> None:
        """Do nothing: the message is not stored anywhere."""

    nack = ack

    def requeue(self, messages: Any) -> None:
        """Do nothing: the next sweep finds the rows."""

    def close(self) -> None:
        """End a wait in `__next__`."""
        self.closed.set()


class _LocalBroker(StubBroker):
    """Dramatiq's in-memory broker, with consumers that never return a message."""

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 100) -> Consumer:  # noqa: ARG002
        """Return an idle consumer."""
        return IdleConsumer()


@define(eq=False)
class LocalWakeups:
    """
    Wake-ups within one process, by Dramatiq's in-memory broker.

    Satisfies `Waker` and `Wakeups`. A queue has at most one pending wake-up;
    call `reset_pending` before a claim, so that later work sends another.
    """

    queues: Sequence[str]
    threads: int
    drain: Callable[[str], None]
    stop_own_job: Callable[[JobId], bool] = lambda _: False
    _broker: StubBroker = field(factory=lambda: _LocalBroker(middleware=[]))
    _pending: set[str] = field(factory=set[str])
    _lock: Lock = field(factory=Lock)
    _worker: Worker | None = None

    def __attrs_post_init__(self) -> None:
        """Declare the actors."""
        declare(self._broker, self.queues, self.drain)

    def start(self) -> None:
        """Start the worker threads."""
        self._worker = Worker(
            self._broker, worker_threads=self.threads, worker_timeout=IDLE_POLL_MS
        )
        self._worker.start()

    def wake(self, queue: str) -> None:
        """
        Wake a thread, unless a wake-up is pending.

        Before `start` it does nothing: the first sweep finds the work.
        """
        with self._lock:
            if queue in self._pending or queue not in self.queues or self._worker is None:
                return
            self._pending.add(queue)
        self.wake_local_thread(queue)

    def wake_local_thread(self, queue: str) -> None:
        """Wake one more thread, even if a wake-up is pending."""
        if self._worker is not None:
            dispatch(self._worker, queue)

    def reset_pending(self, queue: str) -> None:
        """Forget a pending wake-up, so that the next `wake` sends one."""
        with self._lock:
            self._pending.discard(queue)

    def wake_local(self, queue: str) -> None:
        """Wake a thread even if a wake-up is pending."""
        self.reset_pending(queue)
        self.wake(queue)

    def wake_other_process(self, queue: str) -> None:
        """Do nothing: there is no other process."""

    def stop_job(self, worker: str, job_id: JobId) -> None:  # noqa: ARG002
        """Interrupt a job if it runs here; other processes poll the store."""
        self.stop_own_job(job_id)

    def replace_thread(self, thread: Thread) -> None:
        """Start a thread in place of a written-off one."""
        if self._worker is not None:
            replace_thread(self._worker, thread)

    def stop(self, timeout: float) -> None:
        """Stop the threads; one that is busy after the timeout is abandoned."""
        if self._worker is not None:
            stop_worker(self._worker, timeout, unblock=lambda: None)
        self._broker.close()
