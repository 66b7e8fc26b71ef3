"""Fixture of the fault tests: an installation of several processes."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.contract.servers import address, admin_url, is_there
from tests.faults.cluster import Cluster
from tests.faults.private import Database, NoServer, given, program
from tests.faults.run import running


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
