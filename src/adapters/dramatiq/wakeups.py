"""Wake-ups over Dramatiq: a message names a queue, never a job."""

import logging
from collections.abc import Callable, Sequence
from functools import cache
from threading import Event, Lock
from time import monotonic
from typing import Any, Protocol

import dramatiq
from attrs import define, field
from dramatiq.broker import Broker, Consumer, MessageProxy
from dramatiq.brokers.stub import StubBroker
from dramatiq.common import q_name
from dramatiq.message import Message
from dramatiq.worker import Worker

IDLE_POLL_MS = 1000


class Wakeups(Protocol):
    """The transport, as a process that runs jobs uses it."""

    def wake(self, queue: str) -> None:
        """Wake some thread of some process."""
        ...

    def wake_one_more(self, queue: str) -> None:
        """Wake one more thread of this process."""
        ...

    def clear(self, queue: str) -> None:
        """Let the next wake-up through."""
        ...

    def stir(self, queue: str) -> None:
        """Wake a thread of this process, whatever seems to be under way."""
        ...

    def pass_on(self, queue: str) -> None:
        """Wake a thread of another process, if there are others."""
        ...

    def start(self) -> None:
        """Start the threads that wake-ups wake."""
        ...

    def stop(self, timeout: float) -> None:
        """Stop the threads, waiting for so many seconds at most."""
        ...


def declare(broker: Broker, queues: Sequence[str], drain: Callable[[str], None]) -> None:
    """Declare one actor a queue; it never retries, and `drain` never raises."""

    def body(queue: str) -> Callable[[], None]:
        def wake() -> None:
            drain(queue)

        return wake

    logging.getLogger("dramatiq").setLevel(logging.ERROR)
    for queue in queues:
        dramatiq.Actor(
            body(queue),
            broker=broker,
            actor_name=f"wake_{queue}",
            queue_name=queue,
            priority=0,
            options={},
        )


@cache
def message_of(queue: str) -> Message[None]:
    """Return the one message that wakes for a queue."""
    return Message(queue_name=queue, actor_name=f"wake_{queue}", args=(), kwargs={}, options={})


def call(worker: Worker, queue: str) -> None:
    """Have a thread drain a queue: its message goes past broker and consumer."""
    worker.consumers[queue].handle_message(MessageProxy(message_of(queue)))


def call_in(worker: Worker, until: float) -> None:
    """Have threads that wait for messages see that they are to stop; they look rarely."""
    for thread in worker.workers:
        thread.stop()
    for consumer in list(worker.consumers.values())[:1]:
        for _ in worker.workers:
            nothing = MessageProxy(message_of(q_name(consumer.queue_name)))
            nothing.fail()  # so that nobody acts on it
            consumer.handle_message(nothing)
    for thread in worker.workers:
        thread.join(max(0.0, until - monotonic()))


class Unasked(Consumer):
    """A consumer of nothing: who wakes a thread here calls it."""

    def __init__(self) -> None:
        """Be open."""
        self.closed = Event()

    def __next__(self) -> MessageProxy | None:
        """Wait, and find nothing."""
        self.closed.wait(IDLE_POLL_MS / 1000)
        return None

    def ack(self, message: MessageProxy) -> None:
        """Do nothing: it lies nowhere any more."""

    nack = ack

    def requeue(self, messages: Any) -> None:
        """Do nothing: whoever comes next looks at the rows."""

    def close(self) -> None:
        """End the wait."""
        self.closed.set()


class _LocalBroker(StubBroker):
    """Dramatiq's in-memory broker, whose messages are not taken one thread further."""

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 100) -> Consumer:  # noqa: ARG002
        """Return a consumer that finds nothing."""
        return Unasked()


@define(eq=False)
class LocalWakeups:
    """
    Wake-ups within one process: Dramatiq's in-memory broker and a real Worker.

    Satisfies `Waker` and `Wakeups`. One wake-up per queue is under way at a time; `clear`
    must be called before a claim, so that work that comes later wakes again.
    """

    queues: Sequence[str]
    threads: int
    drain: Callable[[str], None]
    _broker: StubBroker = field(factory=lambda: _LocalBroker(middleware=[]))
    _under_way: set[str] = field(factory=set[str])
    _lock: Lock = field(factory=Lock)
    _worker: Worker | None = None

    def __attrs_post_init__(self) -> None:
        """Declare the actors."""
        declare(self._broker, self.queues, self.drain)

    def start(self) -> None:
        """Start the threads that wake-ups wake."""
        self._worker = Worker(
            self._broker, worker_threads=self.threads, worker_timeout=IDLE_POLL_MS
        )
        self._worker.start()

    def wake(self, queue: str) -> None:
        """Wake a thread, unless a wake-up is under way, or nobody has begun: who does looks."""
        with self._lock:
            if queue in self._under_way or queue not in self.queues or self._worker is None:
                return
            self._under_way.add(queue)
        self.wake_one_more(queue)

    def wake_one_more(self, queue: str) -> None:
        """Wake one more thread, whatever is under way."""
        if self._worker is not None:
            call(self._worker, queue)

    def clear(self, queue: str) -> None:
        """Let the next `wake` through."""
        with self._lock:
            self._under_way.discard(queue)

    def stir(self, queue: str) -> None:
        """Wake a thread although a wake-up may seem to be under way."""
        self.clear(queue)
        self.wake(queue)

    def pass_on(self, queue: str) -> None:
        """Do nothing: there is no other process that could be woken."""

    def stop(self, timeout: float) -> None:
        """Stop the threads; one that is still busy after the timeout is left behind."""
        if self._worker is not None:
            until = monotonic() + timeout
            for consumer in self._worker.consumers.values():
                consumer.stop()
                consumer.close()
            call_in(self._worker, until)
            self._worker.stop(timeout=max(0, int((until - monotonic()) * 1000)))
        self._broker.close()
