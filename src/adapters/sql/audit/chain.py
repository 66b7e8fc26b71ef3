"""The hash chain over audit entries in SQL."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

from attrs import asdict, fields, frozen
from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from workbell.adapters.sql.database.column_types import instant_reader, json_value
from workbell.adapters.sql.database.statements import (
    AnyRow,
    chunks,
    insert_if_absent,
    prepare,
    row_to_dict,
)
from workbell.adapters.sql.schema.audit import (
    IS_SEALED,
    IS_UNSEALED,
    audit,
    audit_chain,
    audit_checkpoints,
    audit_private,
    audit_pruned,
)
from workbell.domain.audit.chain import AuditRecord, ChainHead, Seal, SealedRecord
from workbell.domain.audit.checkpoint import Checkpoint
from workbell.domain.audit.entry import PrivatePart

CHAIN_ID = 1
"""The id of the only row of the chain."""
audit_c, chain_c, private_c = audit.c, audit_chain.c, audit_private.c
checkpoints_c = audit_checkpoints.c
_RECORD = [audit_c[each.name] for each in fields(AuditRecord)]
_HEAD = select(chain_c.seal_seq, chain_c.hash).where(chain_c.chain_id == CHAIN_ID)
_LOCK = _HEAD.with_for_update()
_NEW_HEAD = (
    update(audit_chain)
    .where(chain_c.chain_id == CHAIN_ID)
    .values(seal_seq=bindparam("new_seal_seq"), hash=bindparam("new_hash"))
)
_UNSEALED = (
    select(*_RECORD)
    .where(IS_UNSEALED, audit_c.at < bindparam("before"))
    .order_by(audit_c.id)
    .limit(bindparam("limit"))
)
_COUNT_UNSEALED = select(func.count()).select_from(audit).where(IS_UNSEALED)
_SEAL = prepare(
    update(audit)
    .where(audit_c.id == bindparam("audit_id"), IS_UNSEALED)
    .values(seal_seq=bindparam("new_seal_seq"), hash=bindparam("new_hash")),
    "audit_id",
    "new_seal_seq",
    "new_hash",
)
_SEALED = prepare(
    select(
        *_RECORD,
        audit_c.seal_seq,
        audit_c.hash,
        private_c.salt,
        private_c.address,
        private_c.user_agent,
        private_c.changes,
    )
    .join(audit_private, private_c.audit_id == audit_c.id, isouter=True)
    .where(IS_SEALED, audit_c.seal_seq > bindparam("after"))
    .order_by(audit_c.seal_seq)
    .limit(bindparam("limit")),
    "after",
    "limit",
)
_HASH = select(audit_c.hash).where(IS_SEALED, audit_c.seal_seq == bindparam("number"))
_LAST = select(func.max(audit_c.seal_seq)).where(IS_SEALED)
_PRUNED_END = select(audit_pruned)
_PRUNED_IDS = select(audit_c.id).where(
    IS_SEALED, audit_c.seal_seq > bindparam("after"), audit_c.seal_seq <= bindparam("last")
)
_DELETE = delete(audit).where(audit_c.id.in_(bindparam("ids", expanding=True)))
_DELETE_PRIVATE = delete(audit_private).where(
    private_c.audit_id.in_(bindparam("ids", expanding=True))
)
_DELETE_CHECKPOINTS = delete(audit_checkpoints).where(checkpoints_c.seal_seq < bindparam("last"))
_CHECKPOINTS = select(audit_checkpoints).order_by(checkpoints_c.seal_seq.desc())


@frozen
class SqlAuditChainRepository:
    """The chain's head is one row, whose lock makes one process at a time the sealer."""

    _db: Connection

    def lock_head(self) -> ChainHead:
        """Lock the chain; return its head."""
        statement = insert_if_absent(audit_chain, self._db.dialect.name)
        while (row := self._db.execute(_LOCK).one_or_none()) is None:
            self._db.execute(statement.values(chain_id=CHAIN_ID, **asdict(ChainHead())))
        return ChainHead(*row)

    def head(self) -> ChainHead:
        """Return the head without a lock."""
        row = self._db.execute(_HEAD).one_or_none()
        return ChainHead() if row is None else ChainHead(*row)

    def list_unsealed(
        self, before: datetime, *, limit: int, without: Collection[int] = ()
    ) -> Sequence[AuditRecord]:
        """Return unsealed entries made before a time, in the order of ids, without some."""
        query = _UNSEALED if not without else _UNSEALED.where(audit_c.id.not_in(without))
        rows = self._db.execute(query, {"before": before, "limit": limit})
        return [AuditRecord(**row_to_dict(row)) for row in rows]

    def list_unsealed_ids(
        self, before: datetime, *, limit: int, without: Collection[int] = ()
    ) -> Sequence[int]:
        """Return the ids of unsealed entries made before a time, in order, without some."""
        query = _UNSEALED.with_only_columns(audit_c.id).where(audit_c.id.not_in(without))
        return self._db.execute(query, {"before": before, "limit": limit}).scalars().all()

    def get_unsealed(self, audit_id: int) -> AuditRecord | None:
        """Return one unsealed entry, or None if it is sealed."""
        query = select(*_RECORD).where(IS_UNSEALED, audit_c.id == audit_id)
        row = self._db.execute(query).one_or_none()
        return None if row is None else AuditRecord(**row_to_dict(row))

    def count_unsealed(self) -> int:
        """Return the number of unsealed entries."""
        return self._db.execute(_COUNT_UNSEALED).scalar_one()

    def append(self, head: ChainHead, seals: Sequence[Seal]) -> None:
        """Store the seals of entries and the new head."""
        _SEAL.execute_many(self._db, [(each.audit_id, each.seal_seq, each.hash) for each in seals])
        self._db.execute(_NEW_HEAD, {"new_seal_seq": head.seal_seq, "new_hash": head.hash})

    def iterate_sealed(self, *, after: int, limit: int) -> Iterator[SealedRecord]:
        """Yield sealed entries after a number, in the order of numbers."""
        read_time = instant_reader(self._db.dialect)
        for row in _SEALED.fetch_all(self._db, (after, limit)):
            yield _sealed(row, read_time)

    def last_number(self) -> int:
        """Return the highest number of a sealed entry."""
        return self._db.execute(_LAST).scalar_one() or 0

    def find_hash(self, seal_seq: int) -> str | None:
        """Return the stored hash of a sealed entry, or None."""
        return self._db.execute(_HASH, {"number": seal_seq}).scalar()

    def add_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Insert a checkpoint, unless its number has one."""
        statement = insert_if_absent(audit_checkpoints, self._db.dialect.name)
        self._db.execute(statement.values(**asdict(checkpoint)))

    def list_checkpoints(
        self, *, before: int | None = None, limit: int = 20
    ) -> Sequence[Checkpoint]:
        """Return checkpoints, newest first."""
        query = _CHECKPOINTS.limit(limit)
        if before is not None:
            query = query.where(checkpoints_c.seal_seq < before)
        return [_checkpoint(row) for row in self._db.execute(query)]

    def pruned(self) -> Checkpoint | None:
        """Return the signed end of the deleted entries, or None."""
        row = self._db.execute(_PRUNED_END).one_or_none()
        return None if row is None else _checkpoint(row)

    def prune(self, pruned: Checkpoint, *, after: int) -> int:
        """Delete entries up to a signed end, and store it; return how many."""
        last = {"after": after, "last": pruned.seal_seq}
        ids = self._db.execute(_PRUNED_IDS, last).scalars().all()
        for part in chunks(ids):
            self._db.execute(_DELETE_PRIVATE, {"ids": part})
            self._db.execute(_DELETE, {"ids": part})
        self._db.execute(_DELETE_CHECKPOINTS, {"last": pruned.seal_seq})
        self._db.execute(delete(audit_pruned))
        self._db.execute(insert(audit_pruned).values(**asdict(pruned)))
        return len(ids)


def _sealed(row: Sequence[Any], read_time: Any) -> SealedRecord:
    (
        id_, user_id, action, model, object_id, project_id, changes, request_id, at, digest,
        seal_seq, hash_, salt, address, user_agent, private_changes,
    ) = row  # fmt: skip
    record = AuditRecord(
        id=id_,
        user_id=user_id,
        action=action,
        model_name=model,
        object_id=object_id,
        project_id=project_id,
        changes=json_value(changes),
        request_id=request_id,
        at=read_time(at),
        payload_digest=digest,
    )
    private = None
    if salt is not None:
        personal = json_value(private_changes) or {}
        private = PrivatePart(address=address, user_agent=user_agent, changes=personal)
    return SealedRecord(record=record, seal_seq=seal_seq, hash=hash_, salt=salt, private=private)


def _checkpoint(row: AnyRow) -> Checkpoint:
    return Checkpoint(**row_to_dict(row))
