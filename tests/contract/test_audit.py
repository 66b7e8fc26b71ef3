"""The audit trail."""

from contextlib import suppress
from typing import Any

import pytest
from attrs import evolve

from tests.contract.factories import ALICE, NOON, AnyStore, after
from workbell.domain.audit.entry import AuditEntry
from workbell.domain.audit.query import AuditFilter, AuditScope
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


BOB = UserId(9)
ENTRIES = [
    (ALICE, "CREATE", "task", "1", 7),
    (BOB, "UPDATE", "task", "1", 7),
    (BOB, "UPDATE", "task", "2", 8),
    (BOB, "CREATE", "job", "1", None),
    (ALICE, "DELETE", "task", "1", 7),
]


def list_entries(store: AnyStore, **filters: Any) -> list[int]:
    """Return which of ENTRIES are listed."""
    scope, before_id = filters.pop("scope", None), filters.pop("before_id", None)
    with store.view() as tx:
        page = tx.audit.list_page(AuditFilter(**filters), scope=scope, before_id=before_id)
        assert [each.id for each in page] == sorted((each.id for each in page), reverse=True)
        return [each.changes["n"][1] for each in page]


@pytest.fixture
def log(store: AnyStore) -> AnyStore:
    with store.begin() as tx:
        for n, (user, action, model, object_id, project) in enumerate(ENTRIES):
            entry = AuditEntry(
                user_id=user,
                action=action,
                model_name=model,
                object_id=object_id,
                project_id=project,
                changes={"n": [None, n]},
                at=after(n * 7200),
            )
            tx.audit.add(entry)
    return store


def test_a_page_has_the_entries_that_match_every_filter(log: AnyStore) -> None:
    assert list_entries(log) == [4, 3, 2, 1, 0]
    assert list_entries(log, user_id=BOB) == [3, 2, 1]
    assert list_entries(log, action="UPDATE", user_id=ALICE) == []
    assert list_entries(log, model_name="task", object_id="1") == [4, 1, 0]
    assert list_entries(log, project_id=7, action="CREATE") == [0]
    assert list_entries(log, date_from=after(7200), date_to=after(21600)) == [3, 2, 1]
    assert list_entries(log, date_from=after(7201), model_name="task") == [4, 2]
    assert list_entries(log, date_to=after(-1)) == []
    assert list_entries(log, date_from=after(99999)) == []


def test_a_scope_has_ones_own_entries_and_those_of_some_projects_once(log: AnyStore) -> None:
    assert list_entries(log, scope=AuditScope(user_id=ALICE)) == [4, 0]
    assert list_entries(log, scope=AuditScope(user_id=ALICE, project_ids=[7])) == [4, 1, 0]
    scope = AuditScope(user_id=ALICE, project_ids=[7, 8])
    assert list_entries(log, scope=scope) == [4, 2, 1, 0]
    assert list_entries(log, scope=scope, user_id=BOB) == [2, 1]
    assert list_entries(log, scope=AuditScope(user_id=UserId(3))) == []


def test_pages_follow_one_another(log: AnyStore) -> None:
    with log.view() as tx:
        first = tx.audit.list_page(AuditFilter(model_name="task"), limit=2)
    assert list_entries(log, model_name="task", before_id=first[-1].id) == [1, 0]
