"""Queries of delivery use their indexes on servers, and lists do not sort."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, text

from tests.adapters.sql.delivery_plans import PAGES, ROWS, TABLES, fill
from tests.adapters.sql.server_plans import plans_of
from tests.contract.factories import ManualClock
from tests.contract.servers import SERVERS, address, new_database
from workbell.adapters.sql.store import SqlStore, open_store

pytestmark = pytest.mark.integration

_NAMES = "|".join(TABLES)
SCANS = re.compile(
    rf'"Seq Scan"[^{{}}]*"Relation Name": "({_NAMES})"'
    rf'|"table_name": "({_NAMES})",\s+"access_type": "(ALL|index)"'
)

_FILESORTS = re.compile(r'"filesort": \{\s+"sort_key": [^{]+\{\s+"table_name": "workbell_')


@pytest.fixture(scope="module", params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    """Return each kind of server."""
    name: str = request.param
    return name


def gather_statistics(db: Connection, kind: str) -> None:
    """Update the planner's statistics; on PostgreSQL, mark all pages as visible."""
    if kind == "mariadb":
        for table in TABLES:
            db.exec_driver_sql(f"ANALYZE TABLE {table}")
        return
    # VACUUM regards a row as visible once the commits with similar numbers are on disk,
    # also those of other databases, which are asynchronous in tests.
    db.exec_driver_sql("SET synchronous_commit = on")
    visible = text("SELECT min(relallvisible) FROM pg_class WHERE relname = ANY(:tables)")
    for _ in range(20):
        for table in TABLES:
            db.exec_driver_sql(f"VACUUM ANALYZE {table}")
        if db.execute(visible, {"tables": TABLES}).scalar():
            return
    pytest.fail("VACUUM does not mark pages as visible.")


@pytest.fixture(scope="module")
def store(kind: str) -> Iterator[SqlStore]:
    """Return a store of its own with 80,000 deliveries, half of them of one account."""
    opened = open_store(address(new_database(kind)), ManualClock(), pool_size=4)
    opened.migrate()
    with opened._connections.writing() as db:
        fill(db)
    with opened._connections.migrating() as db:
        gather_statistics(db, kind)
    yield opened
    opened.close()


def missing(names: set[str], plans: str, kind: str) -> set[str]:
    """Return which indexes are not in the plans; MariaDB calls all primary keys the same."""
    if kind == "postgresql":
        return {name for name in names if name not in plans}
    written = {
        name: '"PRIMARY"'
        if name.endswith("_pkey")
        else name.replace("lease_idx", "lease_idx_plain")
        for name in names
    }
    return {name for name in names if written[name] not in plans}


def sorts(plan: str) -> bool:
    """Whether rows of a table are sorted, other than those that were found by their ids."""
    if not plan.startswith("["):
        return bool(_FILESORTS.search(plan))
    return _sorts_rows(json.loads(plan)[0]["Plan"], sorted_above=False)


def _sorts_rows(node: dict[str, Any], *, sorted_above: bool) -> bool:
    kind = node["Node Type"]
    by_ids = node.get("Index Cond", "").startswith("(id = ANY")
    if sorted_above and node.get("Relation Name") in TABLES and not by_ids:
        return True
    above = (sorted_above or "Sort" in kind) and kind != "Limit"
    return any(_sorts_rows(part, sorted_above=above) for part in node.get("Plans", ()))


@pytest.mark.parametrize("question", [*PAGES, *ROWS])
def test_a_query_uses_its_indexes(store: SqlStore, kind: str, question: str) -> None:
    ask, indexes = (PAGES | ROWS)[question]
    plans = plans_of(store, ask, kind)
    assert missing(indexes, "".join(plans), kind) == set(), plans
    assert not [plan for plan in plans if SCANS.search(plan)]


@pytest.mark.parametrize("question", PAGES)
def test_a_page_is_read_without_a_sort(store: SqlStore, kind: str, question: str) -> None:
    ask, _ = PAGES[question]
    assert not [plan for plan in plans_of(store, ask, kind) if sorts(plan)]
