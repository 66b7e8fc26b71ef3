"""Wake-ups over Redis, from any process to one with an idle thread."""

from collections.abc import Callable, Sequence
from functools import cache
from threading import Thread
from typing import Any, Final, Protocol

from attrs import define, field
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.brokers.redis import RedisBroker
from dramatiq.worker import Worker
from redis import Redis
from redis.exceptions import RedisError

from workbell.adapters.change_counters.redis import counter_key
from workbell.adapters.dramatiq.redis_stops import StopListener, send_stop
from workbell.adapters.dramatiq.wakeups import (
    IDLE_POLL_MS,
    IdleConsumer,
    declare,
    dispatch,
    replace_thread,
    stop_worker,
    wakeup_message,
)
from workbell.adapters.redis_client import OptionalRedis, options
from workbell.domain.jobs.job import JobId

PREFIX: Final = "workbell:wake"
BLOCK_SECONDS: Final = 1
RETRY_SECONDS: Final = 0.5
YIELD_SECONDS: Final = 0.001
"""Sleep after a wake-up, so that the woken thread gets the interpreter lock at once."""


class IdleThreads(Protocol):
    """The threads of this process that run jobs."""

    def wait_idle(self, seconds: float) -> bool:
        """Wait at most `seconds` for an idle thread; return whether one is."""
        ...

    def reserve_idle_thread(self) -> bool:
        """Reserve an idle thread for a wake-up; return False if there is none."""
        ...


def _list(queue: str) -> str:
    return f"{PREFIX}:{queue}"


@cache
def _encoded_wakeup(queue: str) -> bytes:
    return wakeup_message(queue).encode()


@define(eq=False)
class RedisWaker:
    """
    Sends wake-ups from any process; satisfies `Waker`.

    A queue's list holds at most one wake-up, which a worker process pops. The
    same round trip increments the queue's change counter.
    """

    redis: OptionalRedis

    def wake(self, queue: str) -> None:
        """Wake a thread of any process, unless a wake-up is pending."""
        self.send(queue)

    def stop_job(self, worker: str, job_id: JobId) -> None:
        """Notify a worker of any process that a job was cancelled."""
        send_stop(self.redis, worker, job_id)

    def send(self, queue: str) -> bool:
        """Wake a thread of any process; return whether Redis accepted the wake-up."""

        def push(client: Any) -> Any:
            pipeline = client.pipeline(transaction=False)
            pipeline.rpush(_list(queue), _encoded_wakeup(queue))
            pipeline.ltrim(_list(queue), 0, 0)  # at most one wake-up is pending
            pipeline.incr(counter_key(queue))
            return pipeline.execute()

        return self.redis.call(push) is not None


class _WakeConsumer(IdleConsumer):
    """
    Pops wake-ups with a blocking command, and only while a thread is idle.

    Any value in the list is a wake-up. Dramatiq's own consumer polls with
    pauses of up to a second, and fetches for threads that are busy. Nothing
    is acknowledged: a lost wake-up only delays work until the next sweep.
    """

    def __init__(self, broker: "WakeBroker", queue: str) -> None:
        super().__init__()
        self._broker = broker
        self._queue, self._list = queue, _list(queue)
        self._has_dispatched = False

    def __next__(self) -> MessageProxy | None:
        if self._has_dispatched:
            self._has_dispatched = self.closed.wait(YIELD_SECONDS)
        if not self._broker.threads.wait_idle(BLOCK_SECONDS / 5):
            return None
        try:
            if (popped := self._broker.blocking.blpop(self._list, BLOCK_SECONDS)) is None:
                return None
            if not self._broker.threads.reserve_idle_thread():  # leave it to another process
                self._broker.blocking.lpush(self._list, popped[1])
                return None
            self._has_dispatched = True
            return MessageProxy(wakeup_message(self._queue))
        except Exception:  # noqa: BLE001 - the next sweep finds the work
            self.closed.wait(RETRY_SECONDS)
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
    """Dramatiq's Redis broker, with one list for each queue and no delays."""

    def __init__(self, url: str, threads: IdleThreads) -> None:
        """Create the broker without connecting."""
        self.threads = threads
        self.blocking: Any = Redis.from_url(url, **options(BLOCK_SECONDS + 2.0))
        super().__init__(client=self.blocking, middleware=[])  # type: ignore[no-untyped-call]

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:  # noqa: ARG002
        """Return a consumer; idle threads, not `prefetch`, limit what it pops."""
        return _WakeConsumer(self, queue_name)

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue, without Dramatiq's queue for delayed messages."""
        if queue_name not in self.queues:
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)


@define(eq=False)
class RedisWakeups:
    """
    Wake-ups of a process that shares Redis with others; satisfies `Waker`.

    While Redis is unavailable, it wakes the threads of this process only.
    """

    url: str
    waker: RedisWaker
    queues: Sequence[str]
    threads: int
    drain: Callable[[str], None]
    idle: IdleThreads
    worker_id: str = ""
    stop_own_job: Callable[[JobId], bool] = lambda _: False
    _broker: WakeBroker = field(init=False)
    _worker: Worker = field(init=False)
    _stops: StopListener = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Declare the actors without connecting."""
        self._broker = WakeBroker(self.url, self.idle)
        declare(self._broker, self.queues, self.drain)
        self._worker = Worker(
            self._broker, worker_threads=self.threads, worker_timeout=IDLE_POLL_MS
        )
        self._stops = StopListener(self._broker.blocking, self.worker_id, self.stop_own_job)

    def start(self) -> None:
        """Start the worker threads, and the one that receives cancellations."""
        self._worker.start()
        self._stops.start()

    def wake(self, queue: str) -> None:
        """Wake a thread of any process, unless a wake-up is pending."""
        if not self.waker.send(queue):
            self.wake_local(queue)

    wake_other_process = wake

    def wake_local_thread(self, queue: str) -> None:
        """Wake a reserved thread of this process, without Redis."""
        dispatch(self._worker, queue)

    def wake_local(self, queue: str) -> None:
        """Wake an idle thread of this process, if there is one, without Redis."""
        if queue in self._worker.consumers and self.idle.reserve_idle_thread():
            self.wake_local_thread(queue)

    def stop_job(self, worker: str, job_id: JobId) -> None:
        """Interrupt a job of this process directly, one of another over Redis."""
        if worker == self.worker_id:
            self.stop_own_job(job_id)
        else:
            self.waker.stop_job(worker, job_id)

    def replace_thread(self, thread: Thread) -> None:
        """Start a thread in place of a written-off one."""
        replace_thread(self._worker, thread)

    def reset_pending(self, queue: str) -> None:
        """Do nothing: the consumer has popped the wake-up."""

    def stop(self, timeout: float) -> None:
        """Stop the threads; one that is busy after the timeout is abandoned."""
        self._stops.close()
        stop_worker(self._worker, timeout, self._broker.blocking.connection_pool.disconnect)
        self._stops.join(timeout)
        self._broker.blocking.close()
