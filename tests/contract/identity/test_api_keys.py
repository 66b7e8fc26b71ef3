"""API keys."""

from typing import Any

import pytest
from attrs import evolve

from tests.contract.factories import ALICE, BOB, NOON, AnyStore, after
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.identity.api_key import ApiKey
from workbell.domain.identity.user import KeyScope


def a_key(prefix: str = "p1", **fields: Any) -> ApiKey:
    values: dict[str, Any] = {
        "user_id": ALICE, "name": "nightly – é", "prefix": prefix, "secret_hash": "f" * 64,
        "scopes": frozenset({KeyScope.READ, KeyScope.WRITE}), "created_at": NOON,
    }  # fmt: skip
    return ApiKey(**values | fields)


@pytest.mark.usefixtures("people")
def test_a_key_is_returned_with_an_id(store: AnyStore) -> None:
    with store.begin() as tx:
        kept = tx.api_keys.add(a_key(expires_at=after(99)))
    assert kept == a_key(id=kept.id, expires_at=after(99))
    with store.view() as tx:
        assert tx.api_keys.by_prefix("p1") == kept
        assert tx.api_keys.by_prefix("P1") is None
        assert tx.api_keys.get(ALICE, kept.id) == kept
        with pytest.raises(NotFound):
            tx.api_keys.get(BOB, kept.id)
        with pytest.raises(NotFound):
            tx.api_keys.get(ALICE, kept.id + 1)


@pytest.mark.usefixtures("people")
def test_a_prefix_is_unique(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.api_keys.add(a_key())
    with pytest.raises(Conflict), store.begin() as tx:
        tx.api_keys.add(a_key(user_id=BOB))


@pytest.mark.usefixtures("people")
def test_a_key_is_revoked_once_and_by_its_owner_only(store: AnyStore) -> None:
    with store.begin() as tx:
        first, second = tx.api_keys.add(a_key("p1")), tx.api_keys.add(a_key("p2"))
        assert list(tx.api_keys.list_for_user(ALICE)) == [second, first]
        assert list(tx.api_keys.list_for_user(BOB)) == []
        assert not tx.api_keys.revoke(BOB, first.id, after(1))
        assert not tx.api_keys.revoke(ALICE, 12345, after(1))
        assert tx.api_keys.revoke(ALICE, first.id, after(2))
        assert not tx.api_keys.revoke(ALICE, first.id, after(3))
        assert tx.api_keys.by_prefix("p1") == first.revoked(after(2))
        assert list(tx.api_keys.list_for_user(ALICE)) == [second]


@pytest.mark.usefixtures("people")
def test_the_use_of_a_key_is_recorded_unless_it_was_revoked(store: AnyStore) -> None:
    with store.begin() as tx:
        key = tx.api_keys.add(a_key())
        tx.api_keys.record_use(evolve(key, id=12345).used(after(1)))
        tx.api_keys.record_use(key.used(after(60)))
        assert tx.api_keys.by_prefix("p1") == key.used(after(60))
        tx.api_keys.revoke(ALICE, key.id, after(61))
        tx.api_keys.record_use(key.used(after(120)))
        assert tx.api_keys.by_prefix("p1") == key.used(after(60)).revoked(after(61))


@pytest.mark.usefixtures("people")
def test_revoked_and_expired_keys_are_purged_in_batches(store: AnyStore) -> None:
    with store.begin() as tx:
        for number in (1, 2, 3):
            revoked = tx.api_keys.add(a_key(f"r{number}"))
            tx.api_keys.revoke(ALICE, revoked.id, after(number))
            tx.api_keys.add(a_key(f"e{number}", expires_at=after(number)))
        tx.api_keys.add(a_key("p1"))
        assert tx.api_keys.purge(after(3), limit=1) == 2
        assert tx.api_keys.purge(after(3), limit=9) == 2
        assert tx.api_keys.purge(after(3), limit=9) == 0
        left = [
            name
            for name in ("r1", "r2", "r3", "e1", "e2", "e3", "p1")
            if tx.api_keys.by_prefix(name)
        ]
    assert left == ["r3", "e3", "p1"]
