"""Sealing, verification and erasure of the audit log, on every store."""

from collections.abc import Callable
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest
from attrs import Factory, define, evolve
from sqlalchemy import Executable, delete, update

from tests.contract.factories import ALICE, NOON, AnyStore, ManualClock, a_user, after
from workbell.adapters.memory.store import MemoryStore
from workbell.adapters.sql.schema.audit import (
    audit,
    audit_chain,
    audit_checkpoints,
    audit_private,
)
from workbell.adapters.sql.store import SqlStore
from workbell.domain.audit.chain import ChainHead
from workbell.domain.audit.checkpoint import Checkpoint, CheckpointSigner
from workbell.domain.audit.entry import AuditEntry
from workbell.domain.audit.query import AuditFilter, AuditScope
from workbell.domain.errors import Conflict, NotAllowed, NotFound
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.identity.user import UserId
from workbell.services.audit.log import AuditLog
from workbell.services.audit.retention import BATCH as RETENTION_BATCH
from workbell.services.audit.retention import AuditRetention
from workbell.services.audit.sealing import BATCH, AuditSealer
from workbell.services.audit.verification import AuditReport, AuditVerifier

KEY = b"k" * 32


@define
class CheckpointList:
    """Checkpoints outside the store."""

    checkpoints: list[Checkpoint] = Factory(list[Checkpoint])

    def append(self, checkpoint: Checkpoint) -> None:
        self.checkpoints.append(checkpoint)

    def read(self) -> list[Checkpoint]:
        return self.checkpoints


@define
class ChainFixture:
    store: AnyStore
    clock: ManualClock
    outside: CheckpointList = Factory(CheckpointList)
    signer: CheckpointSigner = Factory(lambda: CheckpointSigner.of([KEY]))

    def add(self, count: int, **facts: Any) -> None:
        with self.store.begin() as tx:
            for number in range(count):
                tx.audit.add(an_entry(number, at=self.clock.at, **facts))

    def seal(self) -> int:
        sealer = AuditSealer(
            store=self.store, clock=self.clock, signer=self.signer, log=self.outside
        )
        return sealer.seal()

    def add_sealed(self, count: int, **facts: Any) -> None:
        self.add(count, **facts)
        self.clock.at = max(self.clock.at, after(60))
        assert self.seal() == count

    def verify(self, **how: Any) -> AuditReport:
        verifier = AuditVerifier(store=self.store, signer=self.signer, log=self.outside)
        return verifier.verify(SYSTEM, **how)

    def fault(self) -> tuple[int, str]:
        fault = self.verify().fault
        assert fault is not None
        return fault.seal_seq, fault.reason


def an_entry(number: int, **facts: Any) -> AuditEntry:
    values: dict[str, Any] = {
        "user_id": ALICE,
        "action": "UPDATE",
        "model_name": "task",
        "object_id": str(number),
        "project_id": number or None,
        "changes": {"title": ["ä", "新"], "weight": [None, 1.5], "labels": [[], ["a"]]},
        "address": "192.0.2.1",
        "user_agent": "ü",
        "request_id": "r",
        "at": NOON,
    }
    return AuditEntry(**values | facts)


@pytest.fixture
def log(store: AnyStore, clock: ManualClock) -> ChainFixture:
    return ChainFixture(store, clock)


def test_entries_are_sealed_once_they_are_old_enough(log: ChainFixture) -> None:
    log.add(3)
    assert log.seal() == 0
    log.clock.at = after(60)
    log.add(2)
    assert log.seal() == 3
    assert log.seal() == 0
    report = log.verify()
    assert (report.is_intact, report.verified, report.unsealed) == (True, 3, 2)
    log.clock.at = after(120)
    assert log.seal() == 2
    assert (log.verify().verified, log.verify().unsealed) == (5, 0)


def test_an_empty_log_is_intact(log: ChainFixture) -> None:
    assert log.seal() == 0
    report = log.verify()
    assert (report.is_intact, report.verified, report.first_seal_seq) == (True, 0, 1)
    assert log.outside.checkpoints == []


def test_more_entries_than_a_batch_are_sealed_in_several_transactions(log: ChainFixture) -> None:
    log.add_sealed(BATCH + 5)
    report = log.verify()
    assert (report.is_intact, report.verified) == (True, BATCH + 5)
    assert [one.seal_seq for one in log.outside.checkpoints] == [BATCH]


def test_a_checkpoint_follows_after_five_minutes(log: ChainFixture) -> None:
    log.add_sealed(2)
    log.add(1)
    log.clock.at = after(120)
    log.seal()
    assert [one.seal_seq for one in log.outside.checkpoints] == [2]
    log.clock.at = after(360)
    assert log.seal() == 0
    assert [one.seal_seq for one in log.outside.checkpoints] == [2, 3]
    log.clock.at = after(9_999)
    log.seal()
    assert len(log.outside.checkpoints) == 2
    with log.store.view() as tx:
        assert list(tx.audit_chain.list_checkpoints()) == log.outside.checkpoints[::-1]
        assert list(tx.audit_chain.list_checkpoints(before=3)) == log.outside.checkpoints[:1]
    assert log.verify().checkpoints == 2


def test_without_a_key_entries_are_sealed_but_not_signed(log: ChainFixture) -> None:
    log.signer = CheckpointSigner.of([])
    log.add_sealed(2)
    assert log.outside.checkpoints == []
    assert log.verify().is_intact


def test_checkpoints_of_an_unknown_key_are_counted(log: ChainFixture) -> None:
    log.add_sealed(2)
    log.signer = CheckpointSigner.of([b"another"])
    report = log.verify()
    assert (report.is_intact, report.checkpoints, report.unverifiable_checkpoints) == (True, 0, 1)


def test_several_sealers_seal_every_entry_once(log: ChainFixture) -> None:
    log.add(200)
    log.clock.at = after(60)
    counts: list[int] = []
    threads = [Thread(target=lambda: counts.append(log.seal())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 200
    assert log.verify().verified == 200


def test_the_newest_entries_can_be_verified_alone(log: ChainFixture) -> None:
    log.add_sealed(9)
    calls: list[tuple[int, int]] = []
    report = log.verify(newest=4, on_progress=lambda done, total: calls.append((done, total)))
    assert (report.is_intact, report.verified, report.first_seal_seq) == (True, 4, 6)
    assert calls == [(4, 4)]
    tamper(log, 2, action="X")
    assert log.verify(newest=4).is_intact
    assert not log.verify().is_intact


def prune(log: ChainFixture, days: float = 1) -> int:
    return AuditRetention(
        store=log.store, clock=log.clock, signer=log.signer, max_age=timedelta(days=days)
    ).prune()


def test_old_entries_are_deleted_and_the_rest_still_verifies(log: ChainFixture) -> None:
    log.add_sealed(3)
    log.clock.at = after(86_400)
    log.add(2)
    log.clock.at = after(86_500)
    assert log.seal() == 2
    assert prune(log) == 3
    assert prune(log) == 0
    report = log.verify()
    assert (report.fault, report.verified, report.first_seal_seq) == (None, 2, 4)
    with log.store.view() as tx:
        assert len(tx.audit.latest()) == 2
    log.add(1)
    log.clock.at = after(86_600)
    assert log.seal() == 1
    assert log.verify(newest=1).first_seal_seq == 6
    log.clock.at = after(3 * 86_400)
    assert prune(log) == 3
    report = log.verify()
    assert (report.fault, report.verified, report.first_seal_seq) == (None, 0, 7)


def test_more_old_entries_than_a_batch_are_deleted(log: ChainFixture) -> None:
    log.add_sealed(RETENTION_BATCH + 5)
    log.clock.at = after(86_500)
    assert prune(log) == RETENTION_BATCH + 5
    assert log.verify().is_intact


def test_unsealed_and_young_entries_are_not_deleted(log: ChainFixture) -> None:
    log.add(2)
    log.clock.at = after(86_500)
    assert prune(log) == 0
    log.seal()
    assert prune(log, days=2) == 0
    log.signer = CheckpointSigner.of([])
    assert prune(log) == 0


def test_changed_entries_are_not_deleted(log: ChainFixture) -> None:
    """Deleting them would hide the change."""
    log.add_sealed(3)
    tamper(log, 2, action="X")
    log.clock.at = after(86_500)
    with pytest.raises(Conflict, match="number 2"):
        prune(log)
    assert log.fault()[0] == 2


def test_entries_deleted_by_hand_after_a_deletion_by_age_are_found(log: ChainFixture) -> None:
    log.add_sealed(5)
    with log.store.begin() as tx:
        (first,) = tx.audit_chain.iterate_sealed(after=0, limit=1)
        head = ChainHead(1, first.hash)
        tx.audit_chain.prune(log.signer.sign_pruned(head, log.clock.at), after=0)
    assert log.verify().is_intact
    with log.store.begin() as tx:  # a checkpoint is no proof of a deletion by age
        (second,) = tx.audit_chain.iterate_sealed(after=1, limit=1)
        checkpoint = log.signer.sign(ChainHead(2, second.hash), log.clock.at)
        tx.audit_chain.prune(checkpoint, after=1)
    assert log.fault() == (2, "the signature of the deleted entries is invalid")


def execute(log: ChainFixture, statement: Executable) -> None:
    """Execute a statement behind the repository's back."""
    assert isinstance(log.store, SqlStore)
    with log.store.begin() as tx:
        tx.db.execute(statement)


def tamper(log: ChainFixture, number: int, **values: Any) -> None:
    """Change columns of the entry with a number behind the repository's back."""
    if isinstance(log.store, MemoryStore):
        table = log.store._tables.audit
        row = table.rows[number]
        seal = row.seal
        if seal is not None and "hash" in values:
            seal = evolve(seal, hash=values.pop("hash"))
        record: Any = evolve(row.record, **values)
        table.put(number, evolve(row, record=record, seal=seal))
        return
    execute(log, update(audit).where(audit.c.seal_seq == number).values(**values))


@pytest.mark.parametrize(
    "values",
    [
        {"action": "DELETE"},
        {"object_id": "x"},
        {"project_id": 99},
        {"user_id": 99},
        {"changes": {"title": ["ä", "other"]}},
        {"at": after(1)},
        {"request_id": ""},
        {"payload_digest": "0" * 64},
        {"hash": "0" * 64},
    ],
    ids=lambda values: next(iter(values)),
)
def test_an_edited_entry_is_named(log: ChainFixture, values: dict[str, Any]) -> None:
    log.add_sealed(5)
    tamper(log, 3, **values)
    assert log.fault() == (3, "the entry was changed or moved")
    fault = log.verify().fault
    assert fault is not None and fault.audit_id is not None
    assert log.verify().verified == 2


def delete_entries(log: ChainFixture, *numbers: int) -> None:
    if isinstance(log.store, MemoryStore):
        for number in numbers:
            log.store._tables.audit_numbers.delete(number)
        return
    execute(log, delete(audit).where(audit.c.seal_seq.in_(numbers)))


def test_a_deleted_entry_is_named(log: ChainFixture) -> None:
    log.add_sealed(5)
    delete_entries(log, 3)
    assert log.fault() == (3, "the entry was deleted")


def test_deleted_last_entries_are_named(log: ChainFixture) -> None:
    log.add_sealed(5)
    delete_entries(log, 4, 5)
    assert log.fault() == (4, "the log was truncated: it had 5 entries")


def test_a_log_truncated_with_its_head_contradicts_the_checkpoints_outside(
    log: ChainFixture,
) -> None:
    """Also if the checkpoints in the database are deleted, too."""
    log.add_sealed(5)
    with log.store.view() as tx:
        last = tx.audit_chain.find_hash(3)
    assert last is not None
    delete_entries(log, 4, 5)
    if isinstance(log.store, MemoryStore):
        log.store._tables.audit_chain.put("head", ChainHead(3, last))
        log.store._tables.audit_checkpoints.delete(5)
    else:
        execute(log, update(audit_chain).values(seal_seq=3, hash=last))
        execute(log, delete(audit_checkpoints))
    assert log.fault() == (4, "the log was truncated: it had 5 entries")
    exported = log.outside.checkpoints
    log.outside = CheckpointList()
    assert log.verify().is_intact
    assert not log.verify(exported=exported).is_intact


def test_exchanged_entries_are_named(log: ChainFixture) -> None:
    log.add_sealed(5)
    tamper(log, 2, object_id="2")
    tamper(log, 3, object_id="1")
    assert log.fault() == (2, "the entry was changed or moved")


def test_a_forged_checkpoint_is_named(log: ChainFixture) -> None:
    log.add_sealed(3)
    [true] = log.outside.checkpoints
    log.outside.checkpoints = [evolve(true, at=NOON)]
    assert log.fault() == (3, "the signature of a checkpoint is invalid")


def test_a_changed_private_part_is_named(log: ChainFixture) -> None:
    log.add_sealed(3)
    if isinstance(log.store, MemoryStore):
        table = log.store._tables.audit
        row = table.rows[2]
        assert row.private is not None
        table.put(2, evolve(row, private=evolve(row.private, address="192.0.2.2")))
    else:
        forged = update(audit_private).where(audit_private.c.audit_id == 2)
        execute(log, forged.values(address="192.0.2.2"))
    assert log.fault() == (2, "the personal data of the entry was changed")


def erasing(log: ChainFixture) -> Callable[[UserId], int]:
    service = AuditLog(store=log.store, clock=log.clock)
    return lambda user_id: service.erase(SYSTEM, user_id)


def test_personal_data_is_erased_and_the_log_stays_intact(log: ChainFixture) -> None:
    with log.store.begin() as tx:
        ann, bob = tx.users.add(a_user("ann")).id, tx.users.add(a_user("bob")).id
    changes = {"email": ["a@example.org", "b@example.org"], "tier": ["free", "premium"]}
    log.add(1, user_id=ann)
    log.add(1, user_id=bob, model_name="user", object_id=str(ann), changes=changes)
    log.add(1, user_id=bob, model_name="user", object_id=str(bob))
    log.clock.at = after(60)
    assert log.seal() == 3
    with log.store.view() as tx:
        assert tx.audit.latest()[1].changes == changes

    assert erasing(log)(ann) == 2
    assert erasing(log)(ann) == 0
    with log.store.view() as tx:
        erasures, (others, about, own) = tx.audit.latest()[:2], tx.audit.latest()[2:]
    assert [(one.action, one.object_id) for one in erasures] == [("ERASE", str(ann))] * 2
    for erased in (own, about):
        assert (erased.is_erased, erased.address, erased.user_agent) == (True, "", "")
    assert about.changes == {"tier": ["free", "premium"]}
    assert (others.is_erased, others.address) == (False, "192.0.2.1")
    report = log.verify()
    assert (report.is_intact, report.verified, report.erased) == (True, 3, 2)


def test_an_erasure_of_many_entries_is_audited_once(
    log: ChainFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbell.services.audit.log.ERASE_BATCH", 10)
    with log.store.begin() as tx:
        ann, root = tx.users.add(a_user("ann")).id, tx.users.add(a_user("root")).id
    log.add(35, user_id=ann)
    service = AuditLog(store=log.store, clock=log.clock)
    actor = Actor(user_id=root, is_super_user=True)
    assert service.erase(actor, ann) == 35
    with log.store.view() as tx:
        newest, *rest = tx.audit.latest(limit=100)
    assert (newest.action, newest.object_id) == ("ERASE", str(ann))
    assert len(rest) == 35 and all(one.is_erased for one in rest)


def test_only_superusers_erase_and_only_of_existing_users(log: ChainFixture) -> None:
    service = AuditLog(store=log.store, clock=log.clock)
    with pytest.raises(NotAllowed):
        service.erase(Actor(user_id=ALICE), ALICE)
    with pytest.raises(NotFound):
        service.erase(SYSTEM, UserId(999))


def test_an_entry_without_personal_data_is_not_shown_as_erased(log: ChainFixture) -> None:
    log.add_sealed(1, address="", user_agent="")
    with log.store.view() as tx:
        [entry] = tx.audit.latest()
    assert not entry.is_erased
    assert (log.verify().is_intact, log.verify().erased) == (True, 0)


def test_counts_are_of_the_filter_and_the_scope(log: ChainFixture) -> None:
    log.add(5)
    log.add(2, user_id=UserId(99))
    with log.store.view() as tx:
        assert tx.audit.count(AuditFilter()) == 7
        assert tx.audit.count(AuditFilter(object_id="1")) == 2
        assert tx.audit.count(AuditFilter(), scope=AuditScope(user_id=UserId(99))) == 2
        scope = AuditScope(user_id=UserId(99), project_ids=[1, 4])
        assert tx.audit.count(AuditFilter(), scope=scope) == 4
        page = tx.audit.list_page(AuditFilter(), scope=scope, offset=1, limit=2)
    assert [one.object_id for one in page] == ["0", "4"]
