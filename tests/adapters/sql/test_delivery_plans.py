"""Queries of delivery use their indexes on SQLite, and lists do not sort."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.sql.delivery_plans import PAGES, ROWS, fill
from tests.adapters.sql.test_plans import plans_of
from tests.contract.factories import ManualClock
from workbell.adapters.sql.store import SqlStore, open_store

pytestmark = pytest.mark.unit

SCANS = re.compile(r"SCAN workbell_\w+(?! USING INDEX workbell_jobs_lease_idx)\b")
"""Every scan but that of the partial index of running jobs."""
MERGED = {"deliveries in states", "all deliveries"}
"""Lists whose sorted parts are sorted again, each of at most a page."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    """Return a store with 80,000 deliveries, but without statistics."""
    path: Path = tmp_path_factory.mktemp("plans") / "store.db"
    opened = open_store(f"sqlite:///{path}", ManualClock())
    opened.migrate()
    with opened._connections.writing() as db:
        fill(db)
    yield opened
    opened.close()


def sqlite_name(index: str) -> str:
    """Return how SQLite names an index in its plans."""
    table = index.removesuffix("_pkey").removesuffix("_account_id_event_key_key")
    if index.endswith("attempts_pkey"):
        return f"sqlite_autoindex_{table}_1"
    if index.endswith("_pkey"):
        return f"SEARCH {table} USING INTEGER PRIMARY KEY"
    if index.endswith("_key"):
        return f"sqlite_autoindex_{table.removesuffix('_token_index_key')}_1"
    return index


@pytest.mark.parametrize("question", [*PAGES, *ROWS])
def test_a_query_uses_its_indexes(store: SqlStore, question: str) -> None:
    ask, indexes = (PAGES | ROWS)[question]
    plans = plans_of(store, ask)
    assert {name for name in indexes if sqlite_name(name) not in "".join(plans)} == set(), plans
    assert not [plan for plan in plans if SCANS.search(plan)]


@pytest.mark.parametrize("question", sorted(PAGES.keys() - MERGED))
def test_a_page_is_read_without_a_sort(store: SqlStore, question: str) -> None:
    ask, _ = PAGES[question]
    assert not [plan for plan in plans_of(store, ask) if "TEMP B-TREE" in plan]
