"""A short run of the faults of child processes on each database."""

import pytest

from tests.faults import child_faults
from tests.faults.cluster import Cluster

pytestmark = pytest.mark.integration


def test_kills_of_children_servers_and_parents_lose_no_job(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_faults, "ORPHAN_SECONDS", 20.0)  # this machine may be busy
    rows = [
        child_faults.children_killed(cluster, 3),
        child_faults.fork_servers_killed(cluster, 2),
        child_faults.parents_killed(cluster, 2),
    ]
    assert [row for row in rows if not row.clean] == []
    assert sum(row.jobs for row in rows) > 10
