"""Change counters: incremented after each commit that gives a queue work."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.fleet import OwnRedis, own_redis
from workbell.adapters.change_counters.local import LocalChangeCounters, NotifyingWaker
from workbell.adapters.change_counters.redis import RedisChangeCounters
from workbell.adapters.dramatiq.redis_wakeups import RedisWaker
from workbell.adapters.redis_client import OptionalRedis
from workbell.domain.identity.actor import SYSTEM
from workbell.domain.jobs.task import Task
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings
from workbell.ports.change_counters import ChangeCounters
from workbell.ports.jobs.repository import Waker
from workbell.services.jobs.requests import NewJob


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRedis]:
    """Return a Redis of these tests."""
    with own_redis(tmp_path_factory.mktemp("redis")) as made:
        yield made


@pytest.fixture(params=["local", "redis"])
def counted(request: pytest.FixtureRequest) -> Iterator[tuple[ChangeCounters, Waker]]:
    """Return counters of each kind, and the waker of a store that increments them."""
    if request.param == "local":
        local = LocalChangeCounters()
        yield local, NotifyingWaker(local)
        return
    server: OwnRedis = request.getfixturevalue("redis")
    optional = OptionalRedis.connect(server.url, "changes", timeout=5.0)
    optional.client.flushall()
    yield RedisChangeCounters(optional), RedisWaker(optional)
    optional.close()


@pytest.mark.integration
def test_each_queue_has_a_counter_of_its_own(counted: tuple[ChangeCounters, Waker]) -> None:
    counters, waker = counted
    assert counters.value("mail") == 0
    waker.wake("mail")
    waker.wake("mail")
    waker.wake("reports")
    assert (counters.value("mail"), counters.value("reports")) == (2, 1)


@pytest.mark.integration
def test_without_redis_no_value_is_known() -> None:
    optional = OptionalRedis.connect("redis://127.0.0.1:1", "changes")
    RedisWaker(optional).wake("mail")
    assert RedisChangeCounters(optional).value("mail") is None
    optional.close()


@pytest.mark.integration
@pytest.mark.parametrize("threads", [0, 1])
@pytest.mark.parametrize("kind", ["local", "redis"])
def test_a_commit_with_ready_jobs_increments_the_counter(
    kind: str, threads: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """With a worker in the process, and without one."""
    url = None if kind == "local" else request.getfixturevalue("redis").url
    task = Task(key="tell", body=lambda *_: None)
    settings = Settings(
        database_url="memory://", data_dir=tmp_path, redis_url=url, secret_key="k" * 32
    )
    application = build(settings, tasks=[task])
    application.migrate_and_register()
    if threads:
        application.runtime(threads=threads)
    before = application.changes.value("default")
    application.jobs.create(SYSTEM, NewJob(task_definition="tell", parameters={}))
    assert before is not None and application.changes.value("default") == before + 1
    application.close()
