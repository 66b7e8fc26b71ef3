"""Wake-ups over Redis: from any process, to one with an idle thread."""

from collections.abc import Callable, Sequence
from functools import cache
from time import monotonic
from typing import Any, Final, Protocol

from attrs import define, field
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.brokers.redis import RedisBroker
from dramatiq.worker import Worker
from redis import Redis
from redis.exceptions import RedisError

from workbell.adapters.dramatiq.wakeups import (
    IDLE_POLL_MS,
    Unasked,
    call,
    call_in,
    declare,
    message_of,
)
from workbell.adapters.redis_client import Line, RedisLink, options, packed

PREFIX: Final = "workbell:wake"
BLOCK_SECONDS: Final = 1
AWAY_SECONDS: Final = 0.5
YIELD_SECONDS: Final = 0.001
"""Who has called a thread lets go of the interpreter: it would keep that thread waiting."""

_WAKE: Final = """
if redis.call('llen', KEYS[1]) == 0 then
    redis.call('rpush', KEYS[1], ARGV[1])
end
return 1
"""


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


@cache
def _wake(queue: str) -> bytes:
    return packed("EVAL", _WAKE, "1", _list(queue), message_of(queue).encode().decode())


@define(eq=False)
class RedisWaker:
    """
    Sends wake-ups from a process that may have no workers; satisfies `Waker`.

    One wake-up per queue lies there at a time, until somebody takes it.
    """

    link: RedisLink

    def wake(self, queue: str) -> None:
        """Wake some thread of some process, unless a wake-up is under way already."""
        self.send(queue)

    def send(self, queue: str) -> bool:
        """Wake as `wake` does; return whether Redis knows of it."""
        return self.link.say(_wake(queue)) is not None


class _WakeConsumer(Unasked):
    """
    Takes wake-ups from a list that it blocks on, and only while a thread is idle.

    Whatever lies in the list is one: while it lies there no other is sent, and
    a thread that was taken for it must be called. The stock consumer polls with
    pauses of up to a second, and fetches for threads that are busy. Nothing is
    acknowledged: a lost wake-up costs time only.
    """

    def __init__(self, broker: "WakeBroker", queue: str) -> None:
        super().__init__()
        self._broker = broker
        self._queue, self._list = queue, _list(queue)
        self._pop = packed("BLPOP", self._list, str(BLOCK_SECONDS))
        self._line: Line | None = None
        self._has_called = False

    def __next__(self) -> MessageProxy | None:
        if self._has_called:
            self._has_called = self.closed.wait(YIELD_SECONDS)
        if not self._broker.threads.wait_idle(BLOCK_SECONDS / 5):
            return None
        try:
            if (found := self._popped()) is None:
                return None
            if not self._broker.threads.take_idle():  # leave it to somebody else
                self._broker.blocking.lpush(self._list, found[1])
                return None
            self._has_called = True
            return MessageProxy(message_of(self._queue))
        except Exception:  # noqa: BLE001 - no wake-up is worth an error; a sweep comes anyway
            self.closed.wait(AWAY_SECONDS)
            return None

    def _popped(self) -> Any:
        self._line = self._line or Line(self._broker.blocking.connection_pool.get_connection())
        self._line.send(self._pop)
        return self._line.answer()

    def requeue(self, messages: Any) -> None:
        """Leave to others what nobody here came to."""
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
        """Return a consumer; how much it takes is a matter of idle threads."""
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

    While Redis is away, it wakes the threads of its own process.
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
        """Wake some thread of some process, unless a wake-up is under way already."""
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
        """Do nothing: a wake-up that was taken lies nowhere any more."""

    def stop(self, timeout: float) -> None:
        """Stop the threads; one that is still busy after the timeout is left behind."""
        until = monotonic() + timeout
        for consumer in self._worker.consumers.values():
            consumer.stop()
            consumer.close()
        self._broker.blocking.connection_pool.disconnect()  # whoever blocks there goes on
        call_in(self._worker, until)
        self._worker.stop(timeout=max(0, int((until - monotonic()) * 1000)))
        self._broker.blocking.close()
