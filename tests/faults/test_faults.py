"""A short run of the faults on each database: no job is lost or doubled."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.contract.servers import address, admin_url, is_there
from tests.faults.cluster import Cluster
from tests.faults.faults import (
    cancelled_anytime,
    down_for_a_day,
    limit_raced,
    redis_down,
    rolled_back,
    storm,
    zombies,
)
from tests.faults.ledger import Row
from tests.faults.private import Database, NoServer, given, program
from tests.faults.run import running

pytestmark = pytest.mark.integration


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """Return an installation of several processes on each database."""
    kind: str = request.param
    database: Database = NoServer(f"sqlite:///{tmp_path / 'workbell.db'}")
    if kind != "sqlite":
        if not is_there(kind):
            pytest.skip(f"{kind} is not available")
        if program("redis-server") is None:
            required = "redis" in os.environ.get("WORKBELL_TEST_REQUIRE", "")
            (pytest.fail if required else pytest.skip)("redis-server is not installed")
        database = given(address(admin_url(kind)), f"workbell_test_{uuid4().hex[:12]}")
    with running(database, None, tmp_path) as started:
        yield started


def test_three_of_each_fault_neither_lose_nor_duplicate_a_job(cluster: Cluster) -> None:
    """Each accepted job ends once, and each tick is accounted for once."""
    rows: list[Row] = [
        storm(cluster, 3),
        down_for_a_day(cluster, 1),
        limit_raced(cluster, 3),
        rolled_back(cluster, 3),
        cancelled_anytime(cluster, 3),
    ]
    if not cluster.is_embedded:
        rows += [zombies(cluster, 3), redis_down(cluster, 0)]

    assert [row for row in rows if not row.clean] == []
    assert sum(row.jobs for row in rows) > 60
    assert sum(row.ticks for row in rows) > 1000
