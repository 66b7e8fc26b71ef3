"""The hash chain: its bytes are pinned, and every manipulation is found."""

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from attrs import asdict, evolve
from hypothesis import given
from hypothesis import strategies as st

from workbell.domain.audit.chain import (
    GENESIS,
    AuditRecord,
    ChainFault,
    ChainHead,
    ChainVerifier,
    SealedRecord,
    seal,
)
from workbell.domain.audit.checkpoint import CheckpointSigner
from workbell.domain.audit.entry import AuditEntry, PrivatePart
from workbell.domain.identity.user import UserId

pytestmark = pytest.mark.unit

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SALT = "00112233445566778899aabbccddeeff"


def a_record(number: int = 1, **facts: Any) -> AuditRecord:
    values: dict[str, Any] = {
        "id": number,
        "user_id": UserId(7),
        "action": "UPDATE",
        "model_name": "task",
        "object_id": "12",
        "project_id": 3,
        "changes": {"title": ["alt", "nëu \u2603"], "n": [None, 1.5]},
        "request_id": "r1",
        "at": NOON + timedelta(microseconds=number),
        "payload_digest": PRIVATE.digest(SALT),
    }
    return AuditRecord(**values | facts)


PRIVATE = PrivatePart(address="::1", user_agent="cürl", changes={"email": ["a@b.c", None]})


def test_the_bytes_that_are_hashed_never_change() -> None:
    """If this test fails, no log that exists can be verified any more."""
    assert a_record().canonical() == (
        b'{"action":"UPDATE","at":"2030-01-01T12:00:00.000001+00:00",'
        b'"changes":{"n":[null,1.5],"title":["alt","n\\u00ebu \\u2603"]},"id":1,'
        b'"model_name":"task","object_id":"12",'
        b'"payload_digest":"8297404bba1d8b2ec95ddbb9a4a2a60cfdc7022fe918bb56af7107cb1cc65c7e",'
        b'"project_id":3,"request_id":"r1","user_id":7}'
    )
    assert GENESIS == "0" * 64
    first = ChainHead().next(a_record())
    assert first == ChainHead(1, "06a69b333838fd379f8f2610810d1594d1d0d9654f832c51e35b3a1778ba3aca")
    assert first.next(a_record(2)).seal_seq == 2


TEXTS = st.text()
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
)


@given(TEXTS, TEXTS, st.dictionaries(TEXTS, JSON), st.none() | st.integers())
def test_the_bytes_are_the_canonical_json_of_all_fields(
    first: str, second: str, changes: dict[str, Any], number: int | None
) -> None:
    record = a_record(
        action=first, request_id=second, object_id=first, changes=changes, project_id=number
    )
    values = asdict(record) | {"at": record.at.isoformat(timespec="microseconds")}
    expected = json.dumps(values, sort_keys=True, separators=(",", ":"))
    assert record.canonical() == expected.encode()
    private = PrivatePart(address=first, user_agent=second, changes=changes)
    content = json.dumps(asdict(private), sort_keys=True, separators=(",", ":"))
    assert private.digest(SALT) == hashlib.sha256((SALT + content).encode()).hexdigest()


def test_the_time_zone_of_an_entry_does_not_change_its_bytes() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5)))
    assert a_record(at=elsewhere).canonical() == a_record(at=NOON).canonical()


def test_an_entry_divides_into_public_and_private_parts() -> None:
    entry = AuditEntry(
        user_id=UserId(7),
        action="UPDATE",
        model_name="user",
        object_id="7",
        changes={"email": ["a@b.c", "d@e.f"], "tier": ["free", "premium"]},
        address="::1",
        at=NOON,
    )
    assert entry.public_changes == {"tier": ["free", "premium"]}
    changes = {"email": ["a@b.c", "d@e.f"]}
    assert entry.private == PrivatePart(address="::1", changes=changes)
    assert evolve(entry, changes={}, address="").private is None


def sealed(count: int) -> tuple[ChainHead, list[SealedRecord]]:
    records = [a_record(number) for number in range(1, count + 1)]
    head, seals = seal(ChainHead(), records)
    return head, [
        SealedRecord(record=r, seal_seq=s.seal_seq, hash=s.hash, salt=SALT, private=PRIVATE)
        for r, s in zip(records, seals, strict=True)
    ]


def find_fault(
    log: list[SealedRecord], head: ChainHead, expected: dict[int, str] | None = None
) -> ChainFault | None:
    verifier = ChainVerifier(ChainHead(), expected or {})
    for each in log:
        if (fault := verifier.check(each)) is not None:
            return fault
    return verifier.finish(head)


def test_an_intact_log_has_no_fault() -> None:
    head, log = sealed(5)
    assert find_fault(log, head, {3: log[2].hash, 5: head.hash}) is None


EDITS: dict[str, Any] = {
    "action": "DELETE", "model_name": "x", "object_id": "13", "project_id": None,
    "changes": {}, "request_id": "", "at": NOON, "user_id": UserId(8), "id": 99,
    "payload_digest": "",
}  # fmt: skip


@given(st.integers(0, 9), st.sampled_from(sorted(EDITS)))
def test_an_edited_field_is_found_at_its_entry(index: int, field: str) -> None:
    head, log = sealed(10)
    record: AuditRecord = evolve(log[index].record, **{field: EDITS[field]})
    log[index] = evolve(log[index], record=record)
    fault = find_fault(log, head)
    assert fault is not None
    assert (fault.seal_seq, fault.reason) == (index + 1, "the entry was changed or moved")


@given(st.integers(0, 9), st.integers(1, 5))
def test_deleted_entries_are_found(first: int, count: int) -> None:
    head, log = sealed(10)
    del log[first : first + count]
    fault = find_fault(log, head)
    assert fault is not None
    assert fault.seal_seq == first + 1
    assert ("deleted" in fault.reason) or ("truncated" in fault.reason)


@given(st.permutations(range(6)))
def test_reordered_entries_are_found(order: list[int]) -> None:
    """Also if their numbers and hashes are exchanged, too."""
    head, log = sealed(6)
    moved = [evolve(log[n], record=log[at].record) for n, at in enumerate(order)]
    fault = find_fault(moved, head)
    if order == [*range(6)]:
        assert fault is None
    else:
        assert fault is not None
        assert fault.seal_seq == next(n for n, at in enumerate(order) if n != at) + 1


def test_a_log_that_was_shortened_with_its_head_contradicts_a_checkpoint() -> None:
    _, log = sealed(9)
    shorter = ChainHead(log[6].seal_seq, log[6].hash)
    assert find_fault(log[:7], shorter) is None
    fault = find_fault(log[:7], shorter, {9: log[8].hash})
    assert fault is not None
    assert (fault.seal_seq, fault.reason) == (8, "the log was truncated: it had 9 entries")


def test_a_rewritten_chain_contradicts_a_checkpoint() -> None:
    _, log = sealed(4)
    records = [evolve(one.record, action="FORGED") for one in log]
    head, seals = seal(ChainHead(), records)
    forged = [
        evolve(one, record=r, hash=s.hash) for one, r, s in zip(log, records, seals, strict=True)
    ]
    assert find_fault(forged, head) is None
    fault = find_fault(forged, head, {2: log[1].hash})
    assert fault is not None and fault.seal_seq == 2


def test_a_changed_private_part_is_found_and_an_erased_one_is_not() -> None:
    head, log = sealed(3)
    erased = [evolve(one, salt=None, private=None) for one in log]
    assert find_fault(erased, head) is None
    log[1] = evolve(log[1], private=evolve(PRIVATE, address="::2"))
    fault = find_fault(log, head)
    assert fault is not None
    assert (fault.seal_seq, fault.audit_id) == (2, 2)
    assert fault.reason == "the personal data of the entry was changed"


def test_a_stored_head_that_differs_is_found() -> None:
    head, log = sealed(3)
    for other in (ChainHead(), ChainHead(2, log[1].hash), evolve(head, hash=GENESIS)):
        assert find_fault(log, other) is not None


def test_checkpoints_are_verified_with_former_keys_too() -> None:
    old, new = CheckpointSigner.of([b"old"]), CheckpointSigner.of([b"new", b"old"])
    head, _ = sealed(3)
    signed = old.sign(head, NOON)
    assert new.is_valid(signed) is True
    assert new.sign(head, NOON).key_id != signed.key_id
    assert new.is_valid(evolve(signed, seal_seq=4)) is False
    assert new.is_valid(evolve(signed, at=NOON + timedelta(seconds=1))) is False
    assert CheckpointSigner.of([b"new"]).is_valid(signed) is None
    assert not CheckpointSigner.of([]).can_sign
