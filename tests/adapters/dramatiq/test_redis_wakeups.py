"""Wake-ups over Redis: at most one is pending, and only idle threads pop them."""

import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any
from unittest import mock

import pytest
from attrs import define, evolve, field
from redis import Connection, Redis

from tests.processes.fleet import OwnRedis, own_redis, until
from workbell.adapters.change_counters.redis import RedisChangeCounters
from workbell.adapters.dramatiq import runtime as engine
from workbell.adapters.dramatiq.redis_stops import StopListener
from workbell.adapters.dramatiq.redis_wakeups import RedisWaker, RedisWakeups
from workbell.adapters.redis_client import OptionalRedis
from workbell.domain.errors import Unavailable
from workbell.domain.identity.actor import SYSTEM
from workbell.domain.jobs.job import JobId, JobState
from workbell.domain.jobs.task import Cancelled, Task, TaskContext
from workbell.entrypoints.bootstrap.application import Application
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings
from workbell.services.jobs.requests import NewJob

pytestmark = pytest.mark.integration

QUEUE = "default"
LIST = "workbell:wake:default"
SEND_PACKED = Connection.send_packed_command


@pytest.fixture(scope="module")
def redis_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRedis]:
    """Start a Redis server for all tests of the module."""
    with own_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis(redis_of_module: OwnRedis) -> Iterator[Redis]:
    """Return a client of an empty Redis."""
    with Redis.from_url(redis_of_module.url) as client:
        client.flushall()
        yield client


@pytest.fixture
def waker(redis_of_module: OwnRedis, redis: Redis) -> Iterator[RedisWaker]:
    """Return a waker with a long timeout, because the machine may be busy."""
    waker = RedisWaker(OptionalRedis.connect(redis_of_module.url, "tests", timeout=5.0))
    yield waker
    waker.redis.close()


@define(eq=False)
class Threads:
    """A worker's threads, idle or busy as the test sets, and the wake-ups they got."""

    are_idle: bool = True
    can_be_reserved: bool = True
    reserving: Event = field(factory=Event)
    woken: Event = field(factory=Event)
    may_end: Event = field(factory=Event)

    def __attrs_post_init__(self) -> None:
        self.may_end.set()

    def wait_idle(self, seconds: float) -> bool:
        return self.are_idle

    def reserve_idle_thread(self) -> bool:
        self.reserving.set()
        return self.can_be_reserved

    def drain(self, _: str) -> None:
        self.woken.set()
        self.may_end.wait(10)


@pytest.fixture
def worker(redis_of_module: OwnRedis, waker: RedisWaker) -> Iterator[Callable[..., RedisWakeups]]:
    """Return a function that starts wake-ups for some threads."""
    started: list[RedisWakeups] = []

    def start(threads: Threads) -> RedisWakeups:
        wakeups = RedisWakeups(
            url=redis_of_module.url,
            waker=waker,
            queues=(QUEUE,),
            threads=1,
            drain=threads.drain,
            idle=threads,
        )
        wakeups.start()
        started.append(wakeups)
        return wakeups

    yield start
    for wakeups in started:
        wakeups.stop(2.0)


def test_at_most_one_wake_up_is_pending(waker: RedisWaker, redis: Redis) -> None:
    waker.wake(QUEUE)
    waker.wake(QUEUE)
    assert redis.llen(LIST) == 1
    redis.lpop(LIST)
    waker.wake(QUEUE)
    assert redis.llen(LIST) == 1


def test_a_connection_that_redis_has_closed_is_replaced(waker: RedisWaker, redis: Redis) -> None:
    """A restart of Redis loses no wake-up once Redis is available again."""
    waker.wake(QUEUE)
    redis.delete(LIST)
    redis.client_kill_filter(_type="normal", skipme=True)
    assert waker.send(QUEUE)
    assert redis.llen(LIST) == 1


def test_a_wake_up_increments_the_counter_in_the_same_round_trip(
    waker: RedisWaker, redis: Redis
) -> None:
    """The counter also rises while another wake-up is pending."""
    counters = RedisChangeCounters(waker.redis)
    waker.wake(QUEUE)
    waker.wake(QUEUE)
    waker.wake("reports")
    assert (counters.value(QUEUE), counters.value("reports")) == (2, 1)
    assert counters.value("mail") == 0
    with mock.patch.object(Connection, "send_packed_command", autospec=True) as sent:
        sent.side_effect = SEND_PACKED
        waker.wake(QUEUE)
    assert sent.call_count == 1


def test_a_pending_wake_up_is_not_replaced(waker: RedisWaker, redis: Redis) -> None:
    redis.rpush(LIST, b"pending")
    waker.wake(QUEUE)
    assert redis.lrange(LIST, 0, -1) == [b"pending"]


def test_an_error_reply_means_that_the_wake_up_was_not_sent(
    waker: RedisWaker, redis: Redis
) -> None:
    redis.set(LIST, "not a list")
    assert not waker.send(QUEUE)


def test_an_idle_thread_is_woken(worker: Callable[..., RedisWakeups], waker: RedisWaker) -> None:
    threads = Threads()
    wakeups = worker(threads)
    waker.wake(QUEUE)
    assert threads.woken.wait(10)
    threads.woken.clear()
    wakeups.wake_local(QUEUE)  # without Redis, too
    assert threads.woken.wait(10)


def test_no_wake_up_is_popped_while_every_thread_is_busy(
    worker: Callable[..., RedisWakeups], waker: RedisWaker, redis: Redis
) -> None:
    """It stays for another process; popped too late, it is pushed back to the front."""
    busy, late, idle = Threads(are_idle=False), Threads(can_be_reserved=False), Threads()
    worker(busy).wake_local("another queue")
    waker.wake(QUEUE)
    worker(late)
    assert late.reserving.wait(10)
    worker(idle)
    assert idle.woken.wait(10)
    assert not busy.reserving.is_set() and not busy.woken.is_set() and not late.woken.is_set()


def test_an_undelivered_wake_up_is_pushed_back_at_the_stop(
    worker: Callable[..., RedisWakeups], waker: RedisWaker, redis: Redis
) -> None:
    """The only thread is busy; a second wake-up was popped for it already."""
    threads = Threads()
    threads.may_end.clear()
    wakeups = worker(threads)
    waker.wake(QUEUE)
    assert threads.woken.wait(10)
    waker.wake(QUEUE)
    until(lambda: wakeups._worker.work_queue.qsize() == 1)
    stopping = Thread(target=wakeups.stop, args=(0.1,))
    stopping.start()
    until(lambda: redis.llen(LIST) == 1)
    threads.may_end.set()
    stopping.join()


def test_any_value_in_the_list_is_a_wake_up(
    worker: Callable[..., RedisWakeups], waker: RedisWaker, redis: Redis
) -> None:
    """The reserved thread is woken; otherwise it would stay reserved."""
    threads = Threads()
    redis.rpush(LIST, b"\x00 no message")
    worker(threads)
    assert threads.woken.wait(10)
    threads.woken.clear()
    waker.wake(QUEUE)
    assert threads.woken.wait(10)


@pytest.mark.parametrize("silent", [True, False])
def test_an_unavailable_redis_is_tried_once_a_second(silent: bool) -> None:
    """In between, calls return at once and raise nothing."""
    calls: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if not silent:
            server.close()
        optional = OptionalRedis.connect(f"redis://127.0.0.1:{port}", "tests")
        waker = RedisWaker(optional)
        assert not waker.send(QUEUE)
        assert optional.call(lambda _: calls.append(1)) is None
        waker.wake(QUEUE)
        with pytest.raises(Unavailable):
            optional.check()
        assert calls == []
        optional.close()


@pytest.fixture
def application(redis_of_module: OwnRedis, redis: Redis, tmp_path: Path) -> Iterator[Application]:
    """Return an application with Redis and a task that returns its attempt."""
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'w.db'}",
        data_dir=tmp_path,
        redis_url=redis_of_module.url,
        secret_key="0123456789abcdef0123456789abcdef",
    )
    application = build(
        settings, tasks=[Task(key="attempt", body=lambda context, _: context.attempt)]
    )
    application.migrate_and_register()
    yield application
    application.close()


def run(application: Application) -> None:
    """Enqueue a job, and wait until it has run."""
    job, _ = application.jobs.create(SYSTEM, NewJob(task_definition="attempt", parameters={}))
    until(lambda: application.jobs.get(SYSTEM, JobId(job.id)).state is JobState.SUCCEEDED)


def test_a_process_wakes_its_own_threads_while_redis_is_unavailable(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No sweep runs during the test, so only a wake-up can start the job."""
    monkeypatch.setattr(engine, "SWEEP_SECONDS", 600.0)
    runtime = application.runtime(threads=2)
    runtime.start()
    run(application)
    assert application.waker is not None and isinstance(runtime.wakeups, RedisWakeups)
    application.check_cache()
    runtime.wakeups.waker = disconnected = RedisWaker(
        evolve(application.waker.redis, client=Redis.from_url("redis://127.0.0.1:1"))
    )
    run(application)
    assert runtime.health_problems() == []
    assert runtime.stop(5.0)
    assert runtime.health_problems() == ["The process is stopping."]
    disconnected.redis.close()


def test_a_cancel_by_another_process_is_sent_over_redis(
    application: Application, redis_of_module: OwnRedis
) -> None:
    """The waker of this process is that of a process without a worker."""
    started, seen = Event(), list[str]()

    def body(context: TaskContext, _: Any) -> None:
        started.set()
        while not context.now() > deadline:
            try:
                context.check()
            except Cancelled:
                seen.append("cancelled")
                raise

    deadline = application.clock.now() + timedelta(seconds=30)
    application.definitions.tasks.add(Task(key="check", body=body))
    runtime = application.runtime(threads=1)
    assert runtime.worker is not None
    runtime.worker.cancel_poll = 600.0
    application.store.waker = application.waker
    runtime.start()
    job, _ = application.jobs.create(SYSTEM, NewJob(task_definition="check"))
    assert started.wait(10)
    application.jobs.cancel(SYSTEM, job.id)
    until(lambda: application.jobs.get(SYSTEM, job.id).state is JobState.CANCELLED)
    assert seen == ["cancelled"]
    assert runtime.stop(5.0)


def test_a_cancellation_for_a_dead_worker_expires(waker: RedisWaker, redis: Redis) -> None:
    waker.stop_job("w1", JobId(7))
    assert redis.lrange("workbell:stop:w1", 0, -1) == [b"7"]
    assert 0 < int(redis.ttl("workbell:stop:w1")) <= 60


def test_a_broken_cancellation_does_not_end_the_listener(
    redis: Redis, redis_of_module: OwnRedis
) -> None:
    received: list[int] = []
    with Redis.from_url(redis_of_module.url) as client:
        listener = StopListener(client, "w1", received.append)
        redis.rpush("workbell:stop:w1", b"no id", b"7")
        listener.start()
        until(lambda: received == [7])
        listener.close()
        listener.join(10)


def test_stopped_and_stuck_threads_are_health_problems(application: Application) -> None:
    runtime = application.runtime(threads=1)
    runtime.start()
    sweeper = next(thread for thread in runtime._threads if thread.name == "sweeper")
    sweeper.stop()
    runtime._stuck = True
    problems = runtime.health_problems()
    assert problems[0] == "Too many threads run bodies whose time is over."
    assert problems[1].startswith("The sweeper has completed no turn for ")
    assert len(problems) == 2
    runtime.stop(5.0)
