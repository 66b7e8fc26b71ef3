"""Lists of the audit log, the sealer and the verifier use indexes on SQLite."""

from collections.abc import Iterator

import pytest

from tests.adapters.sql.audit_plans import LISTS, fill, page, seal_and_verify
from tests.adapters.sql.test_plans import plans_of
from tests.contract.factories import ManualClock
from workbell.adapters.sql.store import SqlStore, open_store

INDEXES = {
    "all": "INTEGER PRIMARY KEY",
    "of a user": "workbell_audit_user_idx",
    "of an action": "workbell_audit_action_idx",
    "of an object": "workbell_audit_object_idx",
    "of a project": "workbell_audit_project_idx",
    "of an old day": "INTEGER PRIMARY KEY",
    "visible to a user": "workbell_audit_user_idx",
    "visible to a user, of an action": "workbell_audit_",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    path = tmp_path_factory.mktemp("plans") / "store.db"
    opened = open_store(f"sqlite:///{path}", ManualClock())
    opened.migrate()
    fill(opened, 2_000)
    yield opened
    opened.close()


@pytest.mark.parametrize("name", LISTS)
def test_a_list_follows_an_index_in_its_order(store: SqlStore, name: str) -> None:
    plans = plans_of(store, lambda tx: page(tx, name))
    assert any(INDEXES[name] in plan for plan in plans), plans
    assert not any("SCAN workbell_audit USING INDEX" in plan for plan in plans), plans
    if LISTS[name][1] is None:  # the sets of a scope are merged
        assert not any("TEMP B-TREE" in plan for plan in plans), plans


def test_the_sealer_and_the_verifier_follow_indexes(store: SqlStore) -> None:
    unsealed, sealed, last, found, checkpoints = plans_of(store, seal_and_verify)
    assert "workbell_audit_unsealed_idx" in unsealed
    assert "workbell_audit_seal_key" in sealed and "PRIMARY KEY" in sealed
    assert "workbell_audit_seal_key" in last
    assert "workbell_audit_seal_key" in found
    assert "PRIMARY KEY" in checkpoints
    for plan in (unsealed, sealed, last, found, checkpoints):
        assert "TEMP B-TREE" not in plan
