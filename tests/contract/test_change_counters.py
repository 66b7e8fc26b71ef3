"""Change counters: risen after a commit that gave a queue work, and never in the way."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.fleet import OwnRedis, own_redis
from workbell.adapters.change_counters.local import LocalChanges
from workbell.adapters.change_counters.redis import RedisChanges
from workbell.adapters.redis_client import RedisLink
from workbell.domain.identity.actor import SYSTEM
from workbell.domain.jobs.task import Task
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings
from workbell.ports.change_counters import Changes
from workbell.services.jobs.requests import NewJob


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRedis]:
    """Return a Redis of these tests."""
    with own_redis(tmp_path_factory.mktemp("redis")) as made:
        yield made


@pytest.fixture(params=["local", "redis"])
def changes(request: pytest.FixtureRequest) -> Iterator[Changes]:
    """Return counters of each kind."""
    if request.param == "local":
        yield LocalChanges()
        return
    server: OwnRedis = request.getfixturevalue("redis")
    link = RedisLink.connect(server.url, "changes", timeout=5.0)
    link.client.flushall()
    yield RedisChanges(link)
    link.close()


@pytest.mark.integration
def test_each_queue_has_a_counter_of_its_own(changes: Changes) -> None:
    assert changes.count("mail") == 0
    changes.rise("mail")
    changes.rise("mail")
    changes.rise("reports")
    assert (changes.count("mail"), changes.count("reports")) == (2, 1)


@pytest.mark.integration
def test_without_redis_nobody_knows() -> None:
    link = RedisLink.connect("redis://127.0.0.1:1", "changes")
    changes = RedisChanges(link)
    changes.rise("mail")
    assert changes.count("mail") is None
    link.close()


@pytest.mark.integration
def test_a_commit_that_gives_work_raises_the_counter_and_wakes(tmp_path: Path) -> None:
    """Also where no worker is near: whoever shows the queue is told."""
    task = Task(key="tell", body=lambda *_: None)
    house = build(Settings(database_url="memory://", data_dir=tmp_path), tasks=[task])
    house.prepare()
    before = house.changes.count("default")
    house.jobs.create(SYSTEM, NewJob(task_definition="tell", parameters={}))
    assert before is not None and house.changes.count("default") == before + 1
    house.close()
