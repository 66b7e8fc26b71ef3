"""Queries of projects use their indexes on every database, and long lists do not sort."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from tests.adapters.sql.project_plans import CAP, FEW, MANY, TASKS
from tests.adapters.sql.server_plans import Ask, plans_of
from tests.adapters.sql.test_plans import plans_of as sqlite_plans_of
from tests.contract.factories import NOON, ManualClock
from tests.contract.servers import SERVERS, address, new_database
from workbell.adapters.sql.store import SqlStore, open_store
from workbell.domain import constraints
from workbell.entrypoints.bench.projects import _fill

KINDS = (
    pytest.param("sqlite", marks=pytest.mark.unit),
    *[pytest.param(kind, marks=pytest.mark.integration) for kind in SERVERS],
)
SCANS = {
    "sqlite": re.compile(r"SCAN workbell_work_items(?! USING)"),
    "postgresql": re.compile(r'"Seq Scan"[^{}]*"Relation Name": "workbell_work_items"'),
    "mariadb": re.compile(r'"table_name": "workbell_work_items",\s+"access_type": "ALL"'),
}
SORTS = {
    "sqlite": re.compile("TEMP B-TREE"),
    "mariadb": re.compile(r'"filesort": \{\s+"sort_key": [^{]+\{\s+"table_name": "workbell_work_i'),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Return each kind of database."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def store(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    """Return a store with 20,000 tasks; SQLite has no statistics."""
    path: Path = tmp_path_factory.mktemp("plans") / "store.db"
    url = f"sqlite:///{path}" if kind == "sqlite" else address(new_database(kind))
    opened = open_store(url, ManualClock(), pool_size=4)
    opened.migrate()
    engine = create_engine(url)
    _fill(engine, TASKS, NOON)
    engine.dispose()
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def cap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the cap of counts, so that lists exceed it."""
    monkeypatch.setattr(constraints, "COUNT_CAP", CAP)


def explain(store: SqlStore, kind: str, ask: Ask) -> list[str]:
    return sqlite_plans_of(store, ask) if kind == "sqlite" else plans_of(store, ask, kind)


def missing(indexes: set[str], plans: str, kind: str) -> set[str]:
    """Return which indexes are not in the plans, by the names of each database."""
    if kind == "mariadb" and "optimized away" in plans:  # it has read the ends of an index
        return set()

    def name(index: str) -> str:
        if kind == "mariadb" and index.endswith("_pkey"):
            return '"PRIMARY"'
        if kind == "sqlite" and index.endswith("_pkey"):
            return "USING INTEGER PRIMARY KEY"
        return index

    return {index for index in indexes if name(index) not in plans}


def sorts(plan: str, kind: str) -> bool:
    """Whether tasks are sorted."""
    if kind == "postgresql":
        return _sorts_tasks(json.loads(plan)[0]["Plan"], sorted_above=False)
    return bool(SORTS[kind].search(plan))


def _sorts_tasks(node: dict[str, Any], *, sorted_above: bool) -> bool:
    if sorted_above and node.get("Relation Name") == "workbell_work_items":
        return True
    here = sorted_above or "Sort" in node["Node Type"]
    return any(_sorts_tasks(part, sorted_above=here) for part in node.get("Plans", ()))


@pytest.mark.parametrize("question", [*MANY, *FEW])
def test_a_query_uses_its_indexes(store: SqlStore, kind: str, question: str) -> None:
    ask, indexes = (MANY | FEW)[question]
    plans = explain(store, kind, ask)
    assert missing(indexes, "".join(plans), kind) == set(), plans
    if kind == "postgresql" and question in MANY:
        plans = plans[1:]  # the count: it stops at the cap, which the table reaches soon
    assert not [plan for plan in plans if SCANS[kind].search(plan)]


@pytest.mark.parametrize("question", MANY)
def test_a_page_of_many_is_read_without_a_sort(store: SqlStore, kind: str, question: str) -> None:
    plans = explain(store, kind, MANY[question][0])
    assert not [plan for plan in plans[:2] if sorts(plan, kind)], plans
