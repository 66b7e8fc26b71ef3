"""Fixtures of an installation with several processes, a database server and Redis."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.servers import SERVERS, address, new_database
from tests.processes.fleet import Fleet, OwnRedis, own_redis


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[OwnRedis]:
    """Return a Redis server that a test may kill."""
    with own_redis(tmp_path) as created:
        yield created


@pytest.fixture(params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    """Return the kind of database server."""
    name: str = request.param
    return name


@pytest.fixture
def fleet(tmp_path: Path, redis: OwnRedis, kind: str) -> Iterator[Fleet]:
    """Return an installation without processes, for each kind of server."""
    created = Fleet(tmp_path, address(new_database(kind)), redis.url)
    yield created
    created.close()
