"""An installation of many processes, on a PostgreSQL and a Redis of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.servers import address, new_database
from tests.processes.fleet import Fleet, OwnRedis, own_redis


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[OwnRedis]:
    """Return a Redis that a test may kill."""
    with own_redis(tmp_path) as made:
        yield made


@pytest.fixture
def fleet(tmp_path: Path, redis: OwnRedis) -> Iterator[Fleet]:
    """Return an installation without processes."""
    made = Fleet(tmp_path, address(new_database("postgresql")), redis.url)
    yield made
    made.close()
