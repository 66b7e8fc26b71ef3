"""Wake-ups over Dramatiq: a message names a queue, never a job."""

import logging
from collections.abc import Callable, Sequence
from threading import Lock
from time import monotonic
from typing import Protocol

import dramatiq
from attrs import define, field
from dramatiq.broker import Broker
from dramatiq.brokers.stub import StubBroker
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


Actors = dict[str, dramatiq.Actor[[], None]]


def declare(broker: Broker, queues: Sequence[str], drain: Callable[[str], None]) -> Actors:
    """Declare one actor a queue, and return them; it never retries, and `drain` never raises."""

    def body(queue: str) -> Callable[[], None]:
        def wake() -> None:
            drain(queue)

        return wake

    logging.getLogger("dramatiq").setLevel(logging.ERROR)
    return {
        queue: dramatiq.Actor(
            body(queue),
            broker=broker,
            actor_name=f"wake_{queue}",
            queue_name=queue,
            priority=0,
            options={},
        )
        for queue in queues
    }


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
    _broker: StubBroker = field(factory=lambda: StubBroker(middleware=[]))
    _actors: Actors = field(init=False)
    _under_way: set[str] = field(factory=set[str])
    _lock: Lock = field(factory=Lock)
    _worker: Worker | None = None

    def __attrs_post_init__(self) -> None:
        """Declare the actors."""
        self._actors = declare(self._broker, self.queues, self.drain)

    def start(self) -> None:
        """Start the threads that wake-ups wake."""
        self._worker = Worker(
            self._broker, worker_threads=self.threads, worker_timeout=IDLE_POLL_MS
        )
        self._worker.start()

    def wake(self, queue: str) -> None:
        """Wake a thread, unless a wake-up for the queue is under way already."""
        with self._lock:
            if queue in self._under_way or queue not in self._actors:
                return
            self._under_way.add(queue)
        self.wake_one_more(queue)

    def wake_one_more(self, queue: str) -> None:
        """Wake one more thread, whatever is under way."""
        self._broker.enqueue(self._actors[queue].message())

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
            self._call_in(self._worker, until)
            self._worker.stop(timeout=max(0, int((until - monotonic()) * 1000)))
        self._broker.close()

    def _call_in(self, worker: Worker, until: float) -> None:
        """Have threads that wait for messages see that they are to stop; they look rarely."""
        for thread in worker.workers:
            thread.stop()
        for _ in worker.workers:
            self.wake_one_more(self.queues[0])
        for thread in worker.workers:
            thread.join(max(0.0, until - monotonic()))
        last = self._actors[self.queues[0]].message().encode()
        for name, consumer in worker.consumers.items():
            consumer.stop()
            self._broker.queues[name].put(last)
