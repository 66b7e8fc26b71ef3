"""Wake-ups over Redis: one under way, for idle threads only, and never in the way."""

import socket
from collections.abc import Callable, Iterator
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
from workbell.adapters.dramatiq.redis_wakeups import RedisWaker, RedisWakeups
from workbell.adapters.redis_client import OptionalRedis
from workbell.domain.errors import Unavailable
from workbell.domain.identity.actor import SYSTEM
from workbell.domain.jobs.job import JobId, JobState
from workbell.domain.jobs.task import Task
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
    """Return one Redis for all of these tests."""
    with own_redis(tmp_path_factory.mktemp("redis")) as made:
        yield made


@pytest.fixture
def redis(redis_of_module: OwnRedis) -> Iterator[Redis]:
    """Return an empty Redis."""
    with Redis.from_url(redis_of_module.url) as client:
        client.flushall()
        yield client


@pytest.fixture
def waker(redis_of_module: OwnRedis, redis: Redis) -> Iterator[RedisWaker]:
    """Return what any process wakes others with; patient, for this machine may be busy."""
    made = RedisWaker(OptionalRedis.connect(redis_of_module.url, "tests", timeout=5.0))
    yield made
    made.redis.close()


@define(eq=False)
class Threads:
    """Threads that are as idle as the test says, and calls that they have had."""

    looks: bool = True
    takes: bool = True
    asked: Event = field(factory=Event)
    called: Event = field(factory=Event)
    let_go: Event = field(factory=Event)

    def __attrs_post_init__(self) -> None:
        self.let_go.set()

    def wait_idle(self, seconds: float) -> bool:
        return self.looks

    def take_idle(self) -> bool:
        self.asked.set()
        return self.takes

    def drain(self, _: str) -> None:
        self.called.set()
        self.let_go.wait(10)


@pytest.fixture
def worker(redis_of_module: OwnRedis, waker: RedisWaker) -> Iterator[Callable[..., RedisWakeups]]:
    """Return a maker of started transports."""
    made: list[RedisWakeups] = []

    def start(threads: Threads) -> RedisWakeups:
        one = RedisWakeups(
            url=redis_of_module.url,
            waker=waker,
            queues=(QUEUE,),
            threads=1,
            drain=threads.drain,
            idle=threads,
        )
        one.start()
        made.append(one)
        return one

    yield start
    for one in made:
        one.stop(2.0)


def test_one_wake_up_is_under_way_until_somebody_takes_it(waker: RedisWaker, redis: Redis) -> None:
    waker.wake(QUEUE)
    waker.wake(QUEUE)
    assert redis.llen(LIST) == 1
    redis.lpop(LIST)
    waker.wake(QUEUE)
    assert redis.llen(LIST) == 1


def test_a_connection_that_redis_has_closed_is_replaced(waker: RedisWaker, redis: Redis) -> None:
    """A restart costs no wake-up, as long as Redis is available again."""
    waker.wake(QUEUE)
    redis.delete(LIST)
    redis.client_kill_filter(_type="normal", skipme=True)
    assert waker.send(QUEUE)
    assert redis.llen(LIST) == 1


def test_a_wake_up_is_one_round_trip_that_also_counts(waker: RedisWaker, redis: Redis) -> None:
    """Also while another wake-up is pending: there is new work to display."""
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


def test_a_pending_wake_up_stays_the_oldest(waker: RedisWaker, redis: Redis) -> None:
    redis.rpush(LIST, b"pending")
    waker.wake(QUEUE)
    assert redis.lrange(LIST, 0, -1) == [b"pending"]


def test_an_error_reply_is_no_accepted_wake_up(waker: RedisWaker, redis: Redis) -> None:
    redis.set(LIST, "not a list")
    assert not waker.send(QUEUE)


def test_an_idle_thread_is_called(worker: Callable[..., RedisWakeups], waker: RedisWaker) -> None:
    threads = Threads()
    wakeups = worker(threads)
    waker.wake(QUEUE)
    assert threads.called.wait(10)
    threads.called.clear()
    wakeups.stir(QUEUE)  # without Redis, too
    assert threads.called.wait(10)


def test_nothing_is_taken_while_every_thread_is_busy(
    worker: Callable[..., RedisWakeups], waker: RedisWaker, redis: Redis
) -> None:
    """It stays for another process; taken too late, it goes back to the front."""
    busy, late, idle = Threads(looks=False), Threads(takes=False), Threads()
    worker(busy).stir("another queue")
    waker.wake(QUEUE)
    worker(late)
    assert late.asked.wait(10)
    worker(idle)
    assert idle.called.wait(10)
    assert not busy.asked.is_set() and not busy.called.is_set() and not late.called.is_set()


def test_what_was_taken_and_not_begun_is_left_to_others(
    worker: Callable[..., RedisWakeups], waker: RedisWaker, redis: Redis
) -> None:
    """The one thread is held; the second wake-up has been taken for it already."""
    threads = Threads()
    threads.let_go.clear()
    wakeups = worker(threads)
    waker.wake(QUEUE)
    assert threads.called.wait(10)
    waker.wake(QUEUE)
    until(lambda: wakeups._worker.work_queue.qsize() == 1)
    stopping = Thread(target=wakeups.stop, args=(0.1,))
    stopping.start()
    until(lambda: redis.llen(LIST) == 1)
    threads.let_go.set()
    stopping.join()


def test_whatever_lies_there_wakes(
    worker: Callable[..., RedisWakeups], waker: RedisWaker, redis: Redis
) -> None:
    """A thread that was taken for it is called: else it would never be idle again."""
    threads = Threads()
    redis.rpush(LIST, b"\x00 no message")
    worker(threads)
    assert threads.called.wait(10)
    threads.called.clear()
    waker.wake(QUEUE)
    assert threads.called.wait(10)


@pytest.mark.parametrize("silent", [True, False])
def test_without_redis_nobody_waits_twice(silent: bool) -> None:
    """A server that says nothing is asked once a second, and nobody is told of it by an error."""
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if not silent:
            server.close()
        optional = OptionalRedis.connect(f"redis://127.0.0.1:{port}", "tests")
        waker = RedisWaker(optional)
        assert not waker.send(QUEUE)
        assert optional.call(lambda _: asked.append(1)) is None
        waker.wake(QUEUE)
        with pytest.raises(Unavailable):
            optional.check()
        assert asked == []
        optional.close()


@pytest.fixture
def application(redis_of_module: OwnRedis, redis: Redis, tmp_path: Path) -> Iterator[Application]:
    """Return a house with Redis, and a task that tells its attempt."""
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'w.db'}",
        data_dir=tmp_path,
        redis_url=redis_of_module.url,
        secret_key="0123456789abcdef0123456789abcdef",
    )
    made = build(settings, tasks=[Task(key="tell", body=lambda context, _: context.attempt)])
    made.migrate_and_register()
    yield made
    made.close()


def run(application: Application) -> None:
    """Enqueue a job, and wait until it has run."""
    made, _ = application.jobs.create(SYSTEM, NewJob(task_definition="tell", parameters={}))
    until(lambda: application.jobs.get(SYSTEM, JobId(made.id)).state is JobState.SUCCEEDED)


def test_a_process_wakes_its_own_threads_while_redis_is_away(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody sweeps within the test: either Redis or the process itself must have woken them."""
    monkeypatch.setattr(engine, "SWEEP_SECONDS", 600.0)
    runtime = application.runtime(threads=2)
    runtime.start()
    run(application)
    assert application.waker is not None and isinstance(runtime.wakeups, RedisWakeups)
    application.check_cache()
    runtime.wakeups.waker = away = RedisWaker(
        evolve(application.waker.redis, client=Redis.from_url("redis://127.0.0.1:1"))
    )
    run(application)
    assert runtime.health_problems() == []
    assert runtime.stop(5.0)
    assert runtime.health_problems() == ["The process is stopping."]
    away.redis.close()


def test_what_keeps_a_runtime_from_its_work_is_told(application: Application) -> None:
    runtime = application.runtime(threads=1)
    runtime.start()
    sweeper = next(loop for loop in runtime._loops if loop.name == "sweeper")
    sweeper.stop()
    runtime._stuck = True
    told: list[Any] = runtime.health_problems()
    assert told[0] == "Half of the threads are stuck."
    assert told[1].startswith("The sweeper has not come round for ")
    assert len(told) == 2
    runtime.stop(5.0)
