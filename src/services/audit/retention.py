"""Retention of audit entries: deletes the oldest sealed ones by age."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Final

from attrs import frozen

from workbell.domain.audit.chain import ChainHead, ChainVerifier, SealedRecord
from workbell.domain.audit.checkpoint import CheckpointSigner
from workbell.domain.errors import Conflict
from workbell.ports.audit import AuditTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.transaction_retry import retry_on_contention

BATCH: Final = 500
"""Entries per transaction."""


@frozen(kw_only=True)
class AuditRetention:
    """
    Deletes the oldest sealed entries, from the beginning of the chain.

    Every batch is verified before it is deleted, and its end is signed in the same
    transaction: the remaining entries still prove to be complete from there. An entry
    that is too young, or that does not match the chain, stops the deletion.
    """

    store: Store[AuditTx]
    clock: Clock
    signer: CheckpointSigner
    max_age: timedelta | None

    def prune(self) -> int:
        """
        Delete entries older than the maximum age, if there is one; return how many.

        Raises:
            Conflict: An old entry differs from the chain; `workbell audit verify` names it.
        """
        if self.max_age is None or not self.signer.can_sign:
            return 0
        before, total = self.clock.now() - self.max_age, 0
        while deleted := self._prune_batch(before):
            total += deleted
        return total

    @retry_on_contention
    def _prune_batch(self, before: datetime) -> int:
        with self.store.begin() as tx:
            tx.audit_chain.lock_head()
            pruned = tx.audit_chain.pruned()
            begin = ChainHead() if pruned is None else ChainHead(pruned.seal_seq, pruned.hash)
            if pruned is not None and not self.signer.is_valid_pruned(pruned):
                raise Conflict("Audit entries are not deleted: a signature is invalid.")
            sealed = tx.audit_chain.iterate_sealed(after=begin.seal_seq, limit=BATCH)
            old = [*takewhile(lambda each: each.record.at < before, sealed)]
            if not old:
                return 0
            end = self._verify(tx, begin, old)
            signed = self.signer.sign_pruned(end, self.clock.now())
            return tx.audit_chain.prune(signed, after=begin.seal_seq)

    def _verify(self, tx: AuditTx, begin: ChainHead, old: Sequence[SealedRecord]) -> ChainHead:
        """Return the head after old entries; raise Conflict if they differ from the chain."""
        last = begin.seal_seq + len(old)
        stored = tx.audit_chain.list_checkpoints(before=last + 1, limit=BATCH)
        expected = {each.seal_seq: each.hash for each in stored if self.signer.is_valid(each)}
        verifier = ChainVerifier(begin, expected)
        for sealed in old:
            if (fault := verifier.check(sealed)) is not None:
                raise Conflict(
                    f"Audit entries are not deleted: {fault.reason} (number {fault.seal_seq})."
                )
        return verifier.head
