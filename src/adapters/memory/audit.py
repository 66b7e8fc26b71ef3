"""The audit log in memory."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from itertools import islice
from os import urandom

from attrs import define, evolve

from workbell.adapters.memory.listing import count_rows, in_range
from workbell.adapters.memory.tables import AuditRow, Tables
from workbell.adapters.memory.values import isolated_copy
from workbell.domain.audit.chain import AuditRecord, ChainHead, Seal, SealedRecord
from workbell.domain.audit.checkpoint import Checkpoint
from workbell.domain.audit.entry import AuditEntry, PrivatePart
from workbell.domain.audit.query import AuditFilter, AuditScope
from workbell.domain.identity.user import UserId
from workbell.ports.audit import Erasure


@define(eq=False)
class MemoryAuditRepository:
    """Append-only audit entries with erasable personal data."""

    _tables: Tables

    def add(self, entry: AuditEntry) -> None:
        """Append an entry."""
        number = self._tables.audit.next_id()
        entry = evolve(entry, changes=isolated_copy(dict(entry.changes)))
        private, salt = entry.private, urandom(16).hex()
        record = AuditRecord(
            id=number,
            user_id=entry.user_id,
            action=entry.action,
            model_name=entry.model_name,
            object_id=entry.object_id,
            project_id=entry.project_id,
            changes=entry.public_changes,
            request_id=entry.request_id,
            at=entry.at,
            payload_digest="" if private is None else private.digest(salt),
        )
        row = AuditRow(record=record, salt=None if private is None else salt, private=private)
        self._tables.audit.put(number, row)

    def list_page(
        self,
        filters: AuditFilter,
        *,
        scope: AuditScope | None = None,
        before_id: int | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> Sequence[AuditEntry]:
        """Return the matching entries in a scope, newest first."""
        found = self._find(filters, scope, before_id)
        return [_entry(row) for row in islice(found, offset, offset + limit)]

    def count(self, filters: AuditFilter, *, scope: AuditScope | None = None) -> int:
        """Return how many entries match, counting up to `COUNT_CAP` + 1."""
        return count_rows(self._find(filters, scope, None))

    def latest(self, *, before: int | None = None, limit: int = 20) -> Sequence[AuditEntry]:
        """Return the newest entries, or the newest below an id."""
        return self.list_page(AuditFilter(), before_id=before, limit=limit)

    def list_for_object(
        self, model_name: str, object_id: str, *, limit: int = 100
    ) -> Sequence[AuditEntry]:
        """Return the newest entries about one object."""
        return self.list_page(AuditFilter(model_name=model_name, object_id=object_id), limit=limit)

    def erase(self, user_id: UserId, *, after_id: int = 0, limit: int = 500) -> Erasure:
        """Erase the personal data of entries by a user and about the user."""
        concerned = (
            row
            for row in self._tables.audit.rows.values()
            if row.record.id > after_id and _concerns(row.record, user_id)
        )
        rows = list(islice(concerned, limit))
        for row in rows:
            self._tables.audit.put(row.record.id, evolve(row, salt=None, private=None))
        erased = sum(row.private is not None for row in rows)
        return Erasure(erased, rows[-1].record.id if len(rows) == limit else None)

    def _find(
        self, filters: AuditFilter, scope: AuditScope | None, before_id: int | None
    ) -> Iterator[AuditRow]:
        for row in reversed(self._tables.audit.rows.values()):
            record = row.record
            if before_id is not None and record.id >= before_id:
                continue
            if _matches(filters, record) and (scope is None or _is_visible(scope, record)):
                yield row


@define(eq=False)
class MemoryAuditChainRepository:
    """The hash chain over the entries, and its checkpoints."""

    _tables: Tables

    def lock_head(self) -> ChainHead:
        """Return the head: transactions in memory run one at a time."""
        return self.head()

    def head(self) -> ChainHead:
        """Return the head."""
        return self._tables.audit_chain.get("head") or ChainHead()

    def list_unsealed(
        self, before: datetime, *, limit: int, without: Collection[int] = ()
    ) -> Sequence[AuditRecord]:
        """Return unsealed entries made before a time, in the order of ids, without some."""
        rows = self._tables.audit.rows.values()
        unsealed = (row.record for row in rows if row.seal is None and row.record.at < before)
        return list(islice((each for each in unsealed if each.id not in without), limit))

    def list_unsealed_ids(
        self, before: datetime, *, limit: int, without: Collection[int] = ()
    ) -> Sequence[int]:
        """Return the ids of unsealed entries made before a time, in order, without some."""
        return [each.id for each in self.list_unsealed(before, limit=limit, without=without)]

    def get_unsealed(self, audit_id: int) -> AuditRecord | None:
        """Return one unsealed entry, or None if it is sealed."""
        row = self._tables.audit.get(audit_id)
        return row.record if row is not None and row.seal is None else None

    def count_unsealed(self) -> int:
        """Return the number of unsealed entries."""
        return sum(row.seal is None for row in self._tables.audit)

    def append(self, head: ChainHead, seals: Sequence[Seal]) -> None:
        """Store the seals of entries and the new head."""
        for seal in seals:
            row = self._tables.audit.rows[seal.audit_id]
            self._tables.audit.put(seal.audit_id, evolve(row, seal=seal))
            self._tables.audit_numbers.put(seal.seal_seq, seal.audit_id)
        self._tables.audit_chain.put("head", head)

    def iterate_sealed(self, *, after: int, limit: int) -> Sequence[SealedRecord]:
        """Return sealed entries after a number, in the order of numbers."""
        numbers = self._tables.audit_numbers.rows
        pruned = self.pruned()
        start = max(0, after - (0 if pruned is None else pruned.seal_seq))
        ids = islice(numbers.items(), start, start + limit)
        return [self._sealed(self._tables.audit.rows[audit_id], n) for n, audit_id in ids]

    def last_number(self) -> int:
        """Return the highest number of a sealed entry."""
        return max(self._tables.audit_numbers.rows, default=0)

    def find_hash(self, seal_seq: int) -> str | None:
        """Return the stored hash of a sealed entry, or None."""
        sealed = self.iterate_sealed(after=seal_seq - 1, limit=1)
        return sealed[0].hash if sealed and sealed[0].seal_seq == seal_seq else None

    def add_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Insert a checkpoint, unless its number has one."""
        if self._tables.audit_checkpoints.get(checkpoint.seal_seq) is None:
            self._tables.audit_checkpoints.put(checkpoint.seal_seq, checkpoint)

    def list_checkpoints(
        self, *, before: int | None = None, limit: int = 20
    ) -> Sequence[Checkpoint]:
        """Return checkpoints, newest first."""
        newest = sorted(self._tables.audit_checkpoints, key=lambda each: -each.seal_seq)
        return list(islice((c for c in newest if before is None or c.seal_seq < before), limit))

    def pruned(self) -> Checkpoint | None:
        """Return the signed end of the deleted entries, or None."""
        return self._tables.audit_pruned.get("end")

    def prune(self, pruned: Checkpoint, *, after: int) -> int:
        """Delete entries up to a signed end, and store it; return how many."""
        numbers = self._tables.audit_numbers
        old = [(n, at) for n, at in numbers.rows.items() if after < n <= pruned.seal_seq]
        for number, audit_id in old:
            self._tables.audit.delete(audit_id)
            numbers.delete(number)
        for checkpoint in list(self._tables.audit_checkpoints):
            if checkpoint.seal_seq < pruned.seal_seq:
                self._tables.audit_checkpoints.delete(checkpoint.seal_seq)
        self._tables.audit_pruned.put("end", pruned)
        return len(old)

    @staticmethod
    def _sealed(row: AuditRow, number: int) -> SealedRecord:
        assert row.seal is not None
        return SealedRecord(
            record=row.record,
            seal_seq=number,
            hash=row.seal.hash,
            salt=row.salt,
            private=row.private,
        )


def _entry(row: AuditRow) -> AuditEntry:
    record, private = row.record, row.private or PrivatePart()
    return AuditEntry(
        id=record.id,
        user_id=record.user_id,
        action=record.action,
        model_name=record.model_name,
        object_id=record.object_id,
        project_id=record.project_id,
        changes={**record.changes, **private.changes},
        address=private.address,
        user_agent=private.user_agent,
        request_id=record.request_id,
        at=record.at,
        is_erased=bool(record.payload_digest) and row.private is None,
    )


def _concerns(record: AuditRecord, user_id: UserId) -> bool:
    about = (record.model_name, record.object_id) == ("user", str(user_id))
    return about or record.user_id == user_id


def _matches(filters: AuditFilter, record: AuditRecord) -> bool:
    names = ("user_id", "action", "model_name", "object_id", "project_id")
    wanted = ((getattr(filters, name), getattr(record, name)) for name in names)
    return all(value is None or value == stored for value, stored in wanted) and in_range(
        record.at, filters.date_from, filters.date_to
    )


def _is_visible(scope: AuditScope, record: AuditRecord) -> bool:
    return record.user_id == scope.user_id or record.project_id in scope.project_ids
