"""Repeated failures leave few audit entries."""

from datetime import timedelta

import pytest

from tests.services.accounts import make_accounts
from tests.services.registration import CLIENT, NOON
from workbell.adapters.memory.audit import MemoryAuditRepository
from workbell.adapters.memory.tables import Tables
from workbell.domain.audit.entry import AuditEntry
from workbell.domain.identity.actor import ClientInfo
from workbell.domain.identity.user import WrongCredentials
from workbell.services.audit.entries import MAX_KEYS, AuditBurstFilter, account_audit_entry

pytestmark = pytest.mark.unit


class Trail(MemoryAuditRepository):
    def __init__(self) -> None:
        super().__init__(Tables())

    @property
    def entries(self) -> list[AuditEntry]:
        return list(self.latest(limit=1000))[::-1]


def test_repeats_are_one_entry_a_minute_and_the_next_has_their_number() -> None:
    burst_filter, trail = AuditBurstFilter(), Trail()
    for second in range(130):
        at = NOON + timedelta(seconds=second)
        burst_filter.add(
            trail, account_audit_entry(None, "LOGIN_FAILED", CLIENT, at, {"reason": [None, "x"]})
        )
    assert [one.changes.get("repeated") for one in trail.entries] == [None, [None, 59], [None, 59]]
    assert trail.entries[1].changes["reason"] == [None, "x"]


def test_repeats_are_counted_per_address_and_action() -> None:
    burst_filter, trail = AuditBurstFilter(), Trail()
    for address in ("192.0.2.1", "192.0.2.2"):
        for action in ("A", "B"):
            for _ in range(3):
                burst_filter.add(
                    trail, account_audit_entry(None, action, ClientInfo(address=address), NOON)
                )
    assert len(trail.entries) == 4


def test_the_number_of_watched_keys_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_KEYS == 10_000
    monkeypatch.setattr("workbell.services.audit.entries.MAX_KEYS", 2)
    burst_filter, trail = AuditBurstFilter(), Trail()
    for action in ("A", "B", "C", "A"):
        burst_filter.add(trail, account_audit_entry(None, action, CLIENT, NOON))
    assert len(trail.entries) == 4


def test_a_thousand_failed_logins_are_a_few_entries() -> None:
    accounts = make_accounts("ana")
    for _ in range(1000):
        with pytest.raises(WrongCredentials):
            accounts.login(password="wrong")
    assert accounts.actions() == ["LOGIN_FAILED"]
    accounts.clock.wait(61)
    with pytest.raises(WrongCredentials):
        accounts.login(password="wrong")
    assert accounts.audit()[-1].changes["repeated"] == [None, 999]
