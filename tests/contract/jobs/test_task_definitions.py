"""Task definitions and store metadata."""

from contextlib import suppress

import pytest
from attrs import evolve

from tests.contract.factories import NOON, AnyStore, a_definition, after
from workbell.domain.errors import NotFound
from workbell.domain.jobs.task import TaskId

SCHEMA = {
    "type": "object",
    "properties": {"größe": {"type": "integer"}, "deep": {"anyOf": [{"type": "null"}]}},
    "additionalProperties": False,
}


def test_a_definition_is_returned_with_an_id(store: AnyStore) -> None:
    new = a_definition(description="Größe – 大", schema=SCHEMA, schema_version=3, is_active=False)
    with store.begin() as tx:
        kept = tx.definitions.add(new)
    assert kept == evolve(new, id=kept.id)
    assert kept.id > 0
    with store.view() as tx:
        assert tx.definitions.get(kept.id) == kept
        assert tx.definitions.by_key("echo") == kept


def test_a_known_key_returns_the_stored_definition(store: AnyStore) -> None:
    with store.begin() as tx:
        kept = tx.definitions.add(a_definition())
        again = tx.definitions.add(a_definition(name="Another", created_at=after(1)))
        assert again == kept
        assert list(tx.definitions.all()) == [kept]


def test_an_unknown_definition_is_not_found(store: AnyStore) -> None:
    with store.view() as tx:
        with pytest.raises(NotFound):
            tx.definitions.get(TaskId(1))
        with pytest.raises(NotFound):
            tx.definitions.by_key("echo")
        assert list(tx.definitions.all()) == []


def test_keys_are_compared_exactly(store: AnyStore) -> None:
    with store.begin() as tx:
        lower = tx.definitions.add(a_definition(key="echo"))
        upper = tx.definitions.add(a_definition(key="ECHO"))
        assert lower.id != upper.id


def test_definitions_are_listed_by_id(store: AnyStore) -> None:
    with store.begin() as tx:
        kept = [tx.definitions.add(a_definition(key=key)) for key in "cab"]
        assert list(tx.definitions.all()) == kept


def test_a_definition_is_replaced(store: AnyStore) -> None:
    with store.begin() as tx:
        kept = tx.definitions.add(a_definition())
        changed = evolve(kept, name="New", schema=SCHEMA, schema_version=2, is_active=False)
        tx.definitions.replace(changed)
    with store.view() as tx:
        assert tx.definitions.get(kept.id) == changed


def test_metadata_values_are_stored_and_overwritten(store: AnyStore) -> None:
    with store.begin() as tx:
        assert tx.metadata.get("tzdata") is None
        tx.metadata.set("tzdata", "2025b")
        tx.metadata.set("other", "ü")
        tx.metadata.set("tzdata", "2026a")
    with store.view() as tx:
        assert tx.metadata.get("tzdata") == "2026a"
        assert tx.metadata.get("other") == "ü"
        assert tx.metadata.get("none") is None


def test_metadata_of_a_block_that_raises_is_not_stored(store: AnyStore) -> None:
    with suppress(ZeroDivisionError), store.begin() as tx:
        tx.metadata.set("tzdata", str(NOON))
        raise ZeroDivisionError
    with store.view() as tx:
        assert tx.metadata.get("tzdata") is None
