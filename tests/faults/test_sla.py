"""A short run of the faults of service levels on each database."""

import pytest

from tests.faults.cluster import Cluster
from tests.faults.sla_faults import TASKS, sla_tickers_killed

pytestmark = pytest.mark.integration


def test_each_event_is_reported_once_although_tickers_are_killed(cluster: Cluster) -> None:
    row = sla_tickers_killed(cluster, 2)
    assert row.clean, row
    assert row.jobs == 2 * TASKS
