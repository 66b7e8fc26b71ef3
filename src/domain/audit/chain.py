"""The hash chain over audit entries: sealing and verification."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from attrs import define, frozen

from workbell.domain.audit.entry import PrivatePart, canonical_json
from workbell.domain.identity.user import UserId

GENESIS = "0" * 64
"""The hash before the first entry."""


@frozen(kw_only=True)
class AuditRecord:
    """
    An entry as it is sealed: everything except its personal data.

    `payload_digest` is the salted digest of the personal data; "" if the entry
    had none.
    """

    id: int
    user_id: UserId
    action: str
    model_name: str
    object_id: str
    project_id: int | None
    changes: Mapping[str, Any]
    request_id: str
    at: datetime
    payload_digest: str

    def canonical(self) -> bytes:
        """Return the bytes that are hashed; they must never change (see its test)."""
        at = self.at if self.at.tzinfo is UTC else self.at.astimezone(UTC)
        project_id = "null" if self.project_id is None else self.project_id
        # The canonical JSON of all fields, composed: setting up the encoder takes most of its time.
        return (
            f'{{"action":{canonical_json(self.action)},'
            f'"at":"{at.isoformat(timespec="microseconds")}",'
            f'"changes":{canonical_json(self.changes)},'
            f'"id":{self.id},'
            f'"model_name":{canonical_json(self.model_name)},'
            f'"object_id":{canonical_json(self.object_id)},'
            f'"payload_digest":"{self.payload_digest}",'
            f'"project_id":{project_id},'
            f'"request_id":{canonical_json(self.request_id)},'
            f'"user_id":{self.user_id}}}'
        ).encode("ascii")


@frozen
class ChainHead:
    """The number and the hash of the last sealed entry."""

    seal_seq: int = 0
    hash: str = GENESIS

    def next(self, record: AuditRecord) -> "ChainHead":
        """Return the head after another entry."""
        digest = hashlib.sha256(bytes.fromhex(self.hash) + record.canonical())
        return ChainHead(self.seal_seq + 1, digest.hexdigest())


@frozen
class Seal:
    """The position of an entry in the chain, and the hash at this position."""

    audit_id: int
    seal_seq: int
    hash: str


@frozen(kw_only=True)
class SealedRecord:
    """A sealed entry as it is stored, with its personal data unless that is erased."""

    record: AuditRecord
    seal_seq: int
    hash: str
    salt: str | None
    private: PrivatePart | None


@frozen(kw_only=True)
class ChainFault:
    """The first position at which the log differs from what was sealed."""

    seal_seq: int
    audit_id: int | None
    reason: str


def seal(head: ChainHead, records: Iterable[AuditRecord]) -> tuple[ChainHead, Sequence[Seal]]:
    """Append entries to the chain; return the new head and their seals."""
    seals: list[Seal] = []
    for record in records:
        head = head.next(record)
        seals.append(Seal(record.id, head.seal_seq, head.hash))
    return head, seals


@define
class ChainVerifier:
    """
    Verifies sealed entries in the order of their numbers.

    `expected` are the hashes of the checkpoints, by number. After a fault the
    verifier must not be used any more.
    """

    head: ChainHead
    expected: Mapping[int, str]
    verified: int = 0
    erased: int = 0

    def check(self, sealed: SealedRecord) -> ChainFault | None:
        """Compare the next entry with the chain; return the first difference."""
        number, record = self.head.seal_seq + 1, sealed.record
        if sealed.seal_seq != number:
            return ChainFault(seal_seq=number, audit_id=None, reason="the entry was deleted")
        self.head = self.head.next(record)
        reason = self._difference(sealed)
        if reason is None:
            self.verified += 1
            return None
        return ChainFault(seal_seq=number, audit_id=record.id, reason=reason)

    def finish(self, stored: ChainHead) -> ChainFault | None:
        """Compare the end of the log with the stored head and the checkpoints."""
        last = max([stored.seal_seq, *self.expected])
        if last > self.head.seal_seq:
            reason = f"the log was truncated: it had {last} entries"
            return ChainFault(seal_seq=self.head.seal_seq + 1, audit_id=None, reason=reason)
        if stored != self.head:
            reason = "the stored head of the chain differs from the last entry"
            return ChainFault(seal_seq=self.head.seal_seq, audit_id=None, reason=reason)
        return None

    def _difference(self, sealed: SealedRecord) -> str | None:
        digest = sealed.record.payload_digest
        if sealed.hash != self.head.hash:
            return "the entry was changed or moved"
        if self.expected.get(sealed.seal_seq, sealed.hash) != sealed.hash:
            return "the chain up to this entry was replaced: a checkpoint has another hash"
        if sealed.private is None or sealed.salt is None:
            self.erased += bool(digest)
        elif sealed.private.digest(sealed.salt) != digest:
            return "the personal data of the entry was changed"
        return None
