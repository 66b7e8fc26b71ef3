"""Lists of the audit log, the sealer and the verifier use indexes on servers, too."""

import re
from collections.abc import Iterator

import pytest

from tests.adapters.sql.audit_plans import LISTS, fill, page, seal_and_verify
from tests.adapters.sql.server_plans import plans_of
from tests.contract.factories import ManualClock
from tests.contract.servers import SERVERS, address, new_database
from workbell.adapters.sql.store import SqlStore, open_store

pytestmark = pytest.mark.integration

SCANS = re.compile(
    r'"Seq Scan"[^{}]*"Relation Name": "workbell_audit"'
    r'|"table_name": "workbell_audit",\s+"access_type": "ALL"'
)
INDEXES = {
    "all": "workbell_audit_pkey|PRIMARY",
    "of a user": "workbell_audit_user_idx",
    "of an action": "workbell_audit_action_idx",
    "of an object": "workbell_audit_object_idx",
    "of a project": "workbell_audit_project_idx",
    "of an old day": "workbell_audit_at_idx",
    "visible to a user": "workbell_audit_user_idx",
    "visible to a user, of an action": "workbell_audit_(user|action|project)_idx",
}


@pytest.fixture(scope="module", params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def store(kind: str) -> Iterator[SqlStore]:
    store = open_store(address(new_database(kind)), ManualClock(), pool_size=4)
    store.migrate()
    fill(store)
    with store._connections.migrating() as db:
        for table in ("workbell_audit", "workbell_audit_private"):
            db.exec_driver_sql(f"ANALYZE {'' if kind == 'postgresql' else 'TABLE '}{table}")
    yield store
    store.close()


@pytest.mark.parametrize("name", LISTS)
def test_a_list_follows_an_index(store: SqlStore, kind: str, name: str) -> None:
    plans = plans_of(store, lambda tx: page(tx, name), kind)
    assert any(re.search(INDEXES[name], plan) for plan in plans), plans
    assert not any(SCANS.search(plan) for plan in plans), plans


def test_the_sealer_and_the_verifier_follow_indexes(store: SqlStore, kind: str) -> None:
    unsealed, sealed, last, found, _ = plans_of(store, seal_and_verify, kind)
    assert "workbell_audit_unsealed_idx" in unsealed
    for plan in (sealed, found):
        assert "workbell_audit_seal_key" in plan
    assert not any(SCANS.search(plan) for plan in (unsealed, sealed, last, found))
