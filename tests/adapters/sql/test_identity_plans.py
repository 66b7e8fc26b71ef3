"""Queries of users, sessions and keys use their indexes."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.sql import server_plans
from tests.adapters.sql.identity_plans import QUESTIONS, TABLES, fill
from tests.adapters.sql.test_plans import plans_of
from tests.contract.factories import ManualClock
from tests.contract.servers import SERVERS, address, new_database
from workbell.adapters.sql.store import SqlStore, open_store

_NAMES = "|".join(TABLES)
SCANS = re.compile(
    rf"SCAN ({_NAMES})"
    rf'|"Seq Scan"[^{{}}]*"Relation Name": "({_NAMES})"'
    rf'|"table_name": "({_NAMES})",\s+"access_type": "ALL"'
)
ON_SQLITE = {"workbell_users_pkey": "SEARCH workbell_users USING INTEGER PRIMARY KEY"}
ON_MARIADB = {
    "workbell_users_pkey": '"PRIMARY"',
    **{
        name: f"{name}_plain"
        for name in (
            "workbell_sessions_active_idx",
            "workbell_api_keys_user_idx",
            "workbell_api_keys_revoked_at_idx",
            "workbell_api_keys_expires_at_idx",
        )
    },
}


@pytest.fixture(scope="module")
def sqlite_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    """Return a store with 20,000 users, without statistics."""
    path: Path = tmp_path_factory.mktemp("plans") / "store.db"
    opened = open_store(f"sqlite:///{path}", ManualClock())
    opened.migrate()
    with opened._connections.writing() as db:
        fill(db)
    yield opened
    opened.close()


@pytest.fixture(scope="module", params=SERVERS)
def server_kind(request: pytest.FixtureRequest) -> str:
    """Return each kind of server."""
    kind: str = request.param
    return kind


@pytest.fixture(scope="module")
def server_store(server_kind: str) -> Iterator[SqlStore]:
    """Return a store of its own with 20,000 users and statistics."""
    opened = open_store(address(new_database(server_kind)), ManualClock(), pool_size=4)
    opened.migrate()
    with opened._connections.writing() as db:
        fill(db)
    with opened._connections.migrating() as db:
        for table in TABLES:
            command = "ANALYZE TABLE" if server_kind == "mariadb" else "VACUUM ANALYZE"
            db.exec_driver_sql(f"{command} {table}")
    yield opened
    opened.close()


@pytest.mark.unit
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_query_uses_its_indexes_on_sqlite(sqlite_store: SqlStore, question: str) -> None:
    ask, indexes = QUESTIONS[question]
    plans = "\n".join(plans_of(sqlite_store, ask))
    assert {name for name in indexes if ON_SQLITE.get(name, name) not in plans} == set(), plans
    assert not SCANS.search(plans), plans


@pytest.mark.integration
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_query_uses_its_indexes_on_servers(
    server_store: SqlStore, server_kind: str, question: str
) -> None:
    ask, indexes = QUESTIONS[question]
    plans = "\n".join(server_plans.plans_of(server_store, ask, server_kind))
    written = ON_MARIADB if server_kind == "mariadb" else {}
    assert {name for name in indexes if written.get(name, name) not in plans} == set(), plans
    assert not SCANS.search(plans), plans
