"""A short run of the faults of delivery on each database."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.cluster import Cluster
from tests.faults.delivery_faults import (
    accounted,
    deleted_while_queued,
    publishers_killed,
    workers_killed_during_deliveries,
)

pytestmark = pytest.mark.integration


def test_no_delivery_is_lost_and_no_event_is_stored_in_part(cluster: Cluster) -> None:
    """Also while workers, publishers and Redis fail and rows are deleted."""
    rows = [
        workers_killed_during_deliveries(cluster, 3),
        deleted_while_queued(cluster, 1),
        publishers_killed(cluster, 3),
    ]
    assert [row for row in rows if not row.clean] == []
    assert rows[0].jobs >= 1_000


def test_twenty_parallel_posts_of_one_event_id_store_one(cluster: Cluster) -> None:
    with accounted(cluster, seconds=0.0) as ledger:
        ledger.add_destinations(3)
        for n in range(10):
            with ThreadPoolExecutor(20) as pool:
                posts = [
                    pool.submit(ledger.client.publish, b'{"n": 1}', event_id=f"e-{n}")
                    for _ in range(20)
                ]
            published = [each for post in posts for each in post.result()]
            assert len({each.event.id for each in published}) == 1
            assert sum(each.is_new for each in published) == 1
            assert {each.deliveries for each in published} == {3}
        ledger.drain()
        assert len(ledger.client.deliveries()) == 30
        assert {tuple(counts.values()) for counts in ledger.sink.received.values()} == {(1,) * 10}
