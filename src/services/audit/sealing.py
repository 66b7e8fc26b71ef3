"""Sealing of audit entries into the hash chain, and signed checkpoints."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import field, frozen

from workbell.domain.audit.chain import AuditRecord, ChainHead, seal
from workbell.domain.audit.checkpoint import Checkpoint, CheckpointSigner
from workbell.domain.errors import Unavailable
from workbell.ports.audit import AuditTx, CheckpointLog
from workbell.ports.quarantine import NO_REPORTER, QuarantineReporter
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.faults import describe_fault
from workbell.services.transaction_retry import retry_on_contention

BATCH: Final = 1_000
"""Entries per transaction."""
MAX_BATCHES: Final = 100
"""Transactions per run; the next run continues."""
MIN_AGE: Final = timedelta(seconds=5)
"""Younger entries wait for the next run, so that most are sealed in the order of ids."""
CHECKPOINT_ENTRIES: Final = 1_000
CHECKPOINT_AGE: Final = timedelta(minutes=5)
"""A checkpoint is made after this number of entries, or this long after the previous one."""


@frozen(kw_only=True)
class AuditSealer:
    """
    Gives entries consecutive numbers and hashes after they were committed.

    Several processes may call it: the lock of the chain's head admits one at a
    time. Checkpoints are appended to `log` after the commit; without a key there
    are none. An entry that cannot be sealed is reported and left out until the
    process ends; it stays unsealed.
    """

    store: Store[AuditTx]
    clock: Clock
    signer: CheckpointSigner
    log: CheckpointLog
    reporter: QuarantineReporter = NO_REPORTER
    _left_out: set[int] = field(init=False, factory=set[int])

    def seal(self) -> int:
        """Seal the entries that are old enough; return how many, at most 100,000."""
        try:
            return self._seal()
        except Unavailable:
            raise
        except Exception:
            if not self._leave_out_faulty():
                raise
        return self._seal()

    def _leave_out_faulty(self) -> int:
        """Leave out the next entries that cannot be sealed; return how many."""
        before = self.clock.now() - MIN_AGE
        with self.store.view() as tx:
            ids = tx.audit_chain.list_unsealed_ids(before, limit=BATCH, without=self._left_out)
        return sum(self._is_left_out(audit_id) for audit_id in ids)

    def _is_left_out(self, audit_id: int) -> bool:
        try:
            with self.store.view() as tx:
                record = tx.audit_chain.get_unsealed(audit_id)
            if record is not None:
                seal(ChainHead(), [record])
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the driver's, or of decoding the row
            self._left_out.add(audit_id)
            self.reporter.report("audit_entry", audit_id, describe_fault(error))
            return True
        return False

    def _seal(self) -> int:
        total = 0
        for _ in range(MAX_BATCHES):
            if not self._has_work():
                break
            sealed, checkpoint = self._seal_batch()
            total += sealed
            if checkpoint is not None:
                self.log.append(checkpoint)
            if sealed < BATCH:
                break
        return total

    def _has_work(self) -> bool:
        """Whether there is something to seal or to sign; without a lock."""
        now = self.clock.now()
        with self.store.view() as tx:
            if self._list_unsealed(tx, now, 1):
                return True
            return self._is_checkpoint_due(tx, tx.audit_chain.head(), now)

    @retry_on_contention
    def _seal_batch(self) -> tuple[int, Checkpoint | None]:
        now = self.clock.now()
        with self.store.begin() as tx:
            head = tx.audit_chain.lock_head()
            records = self._list_unsealed(tx, now, BATCH)
            if records:
                head, seals = seal(head, records)
                tx.audit_chain.append(head, seals)
            if not self._is_checkpoint_due(tx, head, now):
                return len(records), None
            checkpoint = self.signer.sign(head, now)
            tx.audit_chain.add_checkpoint(checkpoint)
        return len(records), checkpoint

    def _list_unsealed(self, tx: AuditTx, now: datetime, limit: int) -> Sequence[AuditRecord]:
        return tx.audit_chain.list_unsealed(now - MIN_AGE, limit=limit, without=self._left_out)

    def _is_checkpoint_due(self, tx: AuditTx, head: ChainHead, now: datetime) -> bool:
        if not self.signer.can_sign or head.seal_seq == 0:
            return False
        newest = tx.audit_chain.list_checkpoints(limit=1)
        if not newest:
            return True
        unsigned = head.seal_seq - newest[0].seal_seq
        is_old = now - newest[0].at >= CHECKPOINT_AGE
        return unsigned >= CHECKPOINT_ENTRIES or (unsigned > 0 and is_old)
