"""Wake-ups over Redis: from any process, to one with an idle thread."""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Final, Protocol

from attrs import define, field
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.brokers.redis import RedisBroker
from dramatiq.worker import Worker
from redis import Redis
from redis.exceptions import RedisError

from workbell.adapters.change_counters.redis import counter_key
from workbell.adapters.dramatiq.wakeups import (
    IDLE_POLL_MS,
    Unasked,
    call,
    call_in,
    declare,
    message_of,
)
from workbell.adapters.redis_client import OptionalRedis, options

PREFIX: Final = "workbell:wake"
BLOCK_SECONDS: Final = 1
AWAY_SECONDS: Final = 0.5
YIELD_SECONDS: Final = 0.001
"""Sleep after dispatching, so that the woken thread gets the interpreter lock at once."""


class IdleThreads(Protocol):
    """The threads of this process that run jobs."""

    def wait_idle(self, seconds: float) -> bool:
        """Wait until one of them is idle, for at most so many seconds; return whether one is."""
        ...

    def take_idle(self) -> bool:
        """Have one of them expect a call; False if none is idle."""
        ...


def _list(queue: str) -> str:
    return f"{PREFIX}:{queue}"


@define(eq=False)
class RedisWaker:
    """
    Sends wake-ups from a process that may have no workers; satisfies `Waker`.

    A queue's list holds at most one wake-up, which a worker process pops. The
    same round trip increments the queue's change counter.
    """

    redis: OptionalRedis

    def wake(self, queue: str) -> None:
        """Wake a thread of any process, unless a wake-up is pending already."""
        self.send(queue)

    def send(self, queue: str) -> bool:
        """Wake as `wake` does; return whether Redis has accepted the wake-up."""

        def push(client: Any) -> Any:
            pipeline = client.pipeline(transaction=False)
            pipeline.rpush(_list(queue), message_of(queue).encode())
            pipeline.ltrim(_list(queue), 0, 0)  # the one that was pending stays
            pipeline.incr(counter_key(queue))
            return pipeline.execute()

        return self.redis.call(push) is not None


class _WakeConsumer(Unasked):
    """
    Pops wake-ups with a blocking command, and only while a thread is idle.

    Any value in the list is a wake-up: while one is pending no other is sent,
    and a thread that was reserved for it must be called. Dramatiq's own consumer
    polls with pauses of up to a second, and fetches for threads that are busy.
    Nothing is acknowledged: a lost wake-up costs time only.
    """

    def __init__(self, broker: "WakeBroker", queue: str) -> None:
        super().__init__()
        self._broker = broker
        self._queue, self._list = queue, _list(queue)
        self._has_called = False

    def __next__(self) -> MessageProxy | None:
        if self._has_called:
            self._has_called = self.closed.wait(YIELD_SECONDS)
        if not self._broker.threads.wait_idle(BLOCK_SECONDS / 5):
            return None
        try:
            if (found := self._broker.blocking.blpop(self._list, BLOCK_SECONDS)) is None:
                return None
            if not self._broker.threads.take_idle():  # another process may take it
                self._broker.blocking.lpush(self._list, found[1])
                return None
            self._has_called = True
            return MessageProxy(message_of(self._queue))
        except Exception:  # noqa: BLE001 - the next sweep finds the work
            self.closed.wait(AWAY_SECONDS)
            return None

    def requeue(self, messages: Any) -> None:
        """Push undelivered wake-ups back to Redis for other processes."""
        try:
            for message in messages:
                if not message.failed:
                    self._broker.blocking.lpush(self._list, message.encode())
        except (RedisError, OSError):
            return


class WakeBroker(RedisBroker):
    """Dramatiq's Redis broker, with one plain list a queue, and no delays."""

    def __init__(self, url: str, threads: IdleThreads) -> None:
        """Prepare; nothing is sent yet."""
        self.threads = threads
        self.blocking: Any = Redis.from_url(url, **options(BLOCK_SECONDS + 2.0))
        super().__init__(client=self.blocking, middleware=[])  # type: ignore[no-untyped-call]

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:  # noqa: ARG002
        """Return a consumer; idle threads, and not `prefetch`, bound what it pops."""
        return _WakeConsumer(self, queue_name)

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue, without the one that Dramatiq keeps for delays."""
        if queue_name not in self.queues:
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)


@define(eq=False)
class RedisWakeups:
    """
    Wake-ups among processes, for one that runs jobs; satisfies `Waker`.

    While Redis is unavailable, it wakes the threads of its own process.
    """

    url: str
    waker: RedisWaker
    queues: Sequence[str]
    threads: int
    drain: Callable[[str], None]
    idle: IdleThreads
    _broker: WakeBroker = field(init=False)
    _worker: Worker = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Declare the actors; nothing is sent yet."""
        self._broker = WakeBroker(self.url, self.idle)
        declare(self._broker, self.queues, self.drain)
        self._worker = Worker(
            self._broker, worker_threads=self.threads, worker_timeout=IDLE_POLL_MS
        )

    def start(self) -> None:
        """Start the threads that wake-ups wake."""
        self._worker.start()

    def wake(self, queue: str) -> None:
        """Wake a thread of any process, unless a wake-up is pending already."""
        if not self.waker.send(queue):
            self.stir(queue)

    pass_on = wake

    def wake_one_more(self, queue: str) -> None:
        """Wake one more thread of this process, which expects it, without Redis."""
        call(self._worker, queue)

    def stir(self, queue: str) -> None:
        """Wake an idle thread of this process, if there is one, without Redis."""
        if queue in self._worker.consumers and self.idle.take_idle():
            self.wake_one_more(queue)

    def clear(self, queue: str) -> None:
        """Do nothing: popping a wake-up has removed it."""

    def stop(self, timeout: float) -> None:
        """Stop the threads; one that is still busy after the timeout is left behind."""
        until = monotonic() + timeout
        for consumer in self._worker.consumers.values():
            consumer.stop()
            consumer.close()
        self._broker.blocking.connection_pool.disconnect()  # ends blocked reads
        call_in(self._worker, until)
        self._worker.stop(timeout=max(0, int((until - monotonic()) * 1000)))
        self._broker.blocking.close()
