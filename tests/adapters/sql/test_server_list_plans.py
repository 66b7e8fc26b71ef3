"""On servers, lists of jobs and schedules follow an index, and sort a window at most."""

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import insert, select

from tests.adapters.sql.list_plans import (
    ALL,
    COUNTS,
    JOB_LISTS,
    MINE,
    SCHEDULE_LISTS,
    fill_statement,
    list_jobs,
    list_schedules,
)
from tests.adapters.sql.server_plans import plans_of
from tests.contract.factories import ManualClock, a_schedule, after
from tests.contract.servers import SERVERS, Server, server
from workbell.adapters.sql.schema.tables import schedules
from workbell.adapters.sql.store import SqlStore

pytestmark = pytest.mark.integration
SCAN = re.compile(
    r'"Seq Scan"[^{}]*"Relation Name": "workbell_(jobs|schedules)"'
    r'|"table_name": "workbell_(jobs|schedules)",\s+"access_type": "ALL"'
)
MERGED = {"pending", "retrying"}
"""On MariaDB the waiting states are branches of the index of statuses."""


@pytest.fixture(scope="module", params=SERVERS)
def database(request: pytest.FixtureRequest) -> Server:
    """Return a database on each kind of server."""
    return server(request.param)


@pytest.fixture(scope="module")
def store(database: Server) -> Iterator[SqlStore]:
    """Return a store with 30,000 jobs and 65,536 schedules, with statistics."""
    store = database.store(ManualClock())
    with store.begin() as tx:
        tx.db.exec_driver_sql(fill_statement(tx.db.dialect.name))
        tx.schedules.add(a_schedule(created_at=after(0)))
        columns = [column for column in schedules.c if column.name not in {"id", "owner"}]
        names = ["owner", *[column.name for column in columns]]
        for _ in range(16):
            doubled = insert(schedules).from_select(names, select(schedules.c.owner + 1, *columns))
            tx.db.execute(doubled)
    with store._connections.migrating() as db:
        for table in ("workbell_jobs", "workbell_schedules"):
            analyze = "VACUUM ANALYZE" if database.kind == "postgresql" else "ANALYZE TABLE"
            db.exec_driver_sql(f"{analyze} {table}")
    yield store
    database.store(ManualClock())


def read_index(name: str, scope: str, kind: str) -> str:
    """Return the index, or the start of the name of one, that a list follows."""
    index = JOB_LISTS[name][2][scope == MINE]
    if kind == "postgresql":
        return index
    if name in MERGED:
        index = JOB_LISTS["failed"][2][scope == MINE]
    return '"key": "PRIMARY"' if index == "workbell_jobs_pkey" else index


@pytest.mark.parametrize("scope", [ALL, MINE])
@pytest.mark.parametrize("name", JOB_LISTS)
def test_a_list_of_jobs_follows_its_index(
    store: SqlStore, database: Server, name: str, scope: str
) -> None:
    plans = plans_of(store, list_jobs(name, scope), database.kind)
    assert read_index(name, scope, database.kind) in plans[0], plans[0]
    for plan in plans:
        assert not SCAN.search(plan), plan


@pytest.mark.parametrize("scope", [ALL, MINE])
@pytest.mark.parametrize("name", SCHEDULE_LISTS)
def test_a_list_of_schedules_follows_its_index(
    store: SqlStore, database: Server, name: str, scope: str
) -> None:
    index = "workbell_schedules_created_idx" if scope == ALL else "workbell_schedules_owner_idx"
    for plan in plans_of(store, list_schedules(name, scope), database.kind):
        assert index in plan, plan
        assert not SCAN.search(plan), plan


@pytest.mark.parametrize("name", COUNTS)
def test_counts_read_indexes(store: SqlStore, database: Server, name: str) -> None:
    for plan in plans_of(store, COUNTS[name], database.kind):
        assert not SCAN.search(plan), plan
