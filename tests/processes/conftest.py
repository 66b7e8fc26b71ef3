"""An installation of many processes, on a server's database and a Redis of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.servers import SERVERS, address, new_database
from tests.processes.fleet import Fleet, OwnRedis, own_redis


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[OwnRedis]:
    """Return a Redis that a test may kill."""
    with own_redis(tmp_path) as made:
        yield made


@pytest.fixture(params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    """Return each kind of server."""
    name: str = request.param
    return name


@pytest.fixture
def fleet(tmp_path: Path, redis: OwnRedis, kind: str) -> Iterator[Fleet]:
    """Return an installation without processes, on each kind of server."""
    made = Fleet(tmp_path, address(new_database(kind)), redis.url)
    yield made
    made.close()
