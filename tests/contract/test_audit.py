"""The audit trail."""

from contextlib import suppress

from attrs import evolve

from tests.contract.factories import ALICE, NOON, AnyStore, after
from workbell.domain.audit import AuditEntry
from workbell.domain.identity.actor import Actor, ClientInfo
from workbell.domain.identity.user import UserId


def an_entry(n: int = 1) -> AuditEntry:
    actor = Actor(
        user_id=ALICE, client_info=ClientInfo(request_id="r", address="::1", user_agent="ü")
    )
    changes = {"name": ["alt", "neu – 新"], "limit": [None, 5]}
    return AuditEntry.of(actor, "schedule.edit", "Schedule", n, after(n), changes)


def test_an_entry_is_returned_unchanged(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.audit.add(an_entry())
    with store.view() as tx:
        (kept,) = tx.audit.latest()
    assert kept.id > 0
    assert evolve(kept, id=0) == an_entry()


def test_the_newest_entries_are_listed_first(store: AnyStore) -> None:
    """The newest entry is the last one added, regardless of its time."""
    with store.begin() as tx:
        for n in (3, 1, 2):
            tx.audit.add(an_entry(n))
    with store.view() as tx:
        assert [entry.object_id for entry in tx.audit.latest()] == ["2", "1", "3"]


def test_the_audit_log_is_read_in_pages(store: AnyStore) -> None:
    with store.begin() as tx:
        assert list(tx.audit.latest()) == []
        for n in range(25):
            tx.audit.add(an_entry(n))
    with store.view() as tx:
        first = tx.audit.latest()
        assert [entry.object_id for entry in first] == [str(n) for n in range(24, 4, -1)]
        rest = tx.audit.latest(before=first[-1].id)
        assert [entry.object_id for entry in rest] == ["4", "3", "2", "1", "0"]
        assert len(tx.audit.latest(before=rest[0].id, limit=2)) == 2


def test_an_entry_is_rolled_back_with_its_transaction(store: AnyStore) -> None:
    with suppress(ZeroDivisionError), store.begin() as tx:
        tx.audit.add(evolve(an_entry(), at=NOON))
        raise ZeroDivisionError
    with store.view() as tx:
        assert list(tx.audit.latest()) == []


def test_entries_of_one_object_are_found(store: AnyStore) -> None:
    """The newest first, and no more than asked for."""
    with store.begin() as tx:
        for number, (model, thing) in enumerate(
            [("schedule", "1"), ("job", "1"), ("schedule", "2"), ("schedule", "1")]
        ):
            tx.audit.add(
                AuditEntry(
                    user_id=UserId(1),
                    action=f"A{number}",
                    model_name=model,
                    object_id=thing,
                    at=NOON,
                )
            )

    with store.view() as tx:
        assert [entry.action for entry in tx.audit.list_for_object("schedule", "1")] == ["A3", "A0"]
        assert [entry.action for entry in tx.audit.list_for_object("schedule", "1", limit=1)] == [
            "A3"
        ]
