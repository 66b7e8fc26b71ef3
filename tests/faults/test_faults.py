"""A short run of the faults on each database: no job is lost or duplicated."""

import pytest

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

pytestmark = pytest.mark.integration


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
