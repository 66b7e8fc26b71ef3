"""Audit entries: recorded fields and truncation."""

from datetime import UTC, datetime

import pytest

from workbell.domain.audit.entry import AuditEntry
from workbell.domain.identity.actor import Actor, ClientInfo
from workbell.domain.identity.user import UserId

pytestmark = pytest.mark.unit

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def test_an_entry_records_the_actor_the_object_and_the_client() -> None:
    client_info = ClientInfo(request_id="r1", address="::1", user_agent="curl")
    actor = Actor(user_id=UserId(7), client_info=client_info)
    entry = AuditEntry.of(actor, "UPDATE", "schedule", 3, NOON, {"name": ["a", "b"]})
    assert (entry.user_id, entry.action, entry.model_name) == (7, "UPDATE", "schedule")
    assert (entry.object_id, entry.changes, entry.at) == ("3", {"name": ["a", "b"]}, NOON)
    assert (entry.request_id, entry.address, entry.user_agent) == ("r1", "::1", "curl")


def test_client_info_is_truncated_to_its_columns() -> None:
    client_info = ClientInfo(request_id="r" * 999, address="a" * 999, user_agent="u" * 999)
    entry = AuditEntry.of(
        Actor(user_id=UserId(7), client_info=client_info), "DELETE", "job", 1, NOON
    )
    assert len(entry.request_id) == len(entry.address) == 64
    assert len(entry.user_agent) == 256
    assert entry.changes == {}
