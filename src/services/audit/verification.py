"""Verification of the audit log against its hash chain and checkpoints."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

from attrs import Factory, define, frozen

from workbell.domain.audit.chain import (
    GENESIS,
    ChainFault,
    ChainHead,
    ChainVerifier,
)
from workbell.domain.audit.checkpoint import Checkpoint, CheckpointSigner
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, check
from workbell.ports.audit import AuditTx, CheckpointLog
from workbell.ports.store import Store
from workbell.services.audit.log import SUPERUSERS_ONLY

PAGE: Final = 2_000
"""Entries per query."""


@frozen(kw_only=True)
class AuditReport:
    """
    The result of a verification.

    Attributes:
        verified: Number of entries that match the chain.
        first_seal_seq: Number of the first verified entry; earlier ones were skipped, or
            deleted by their age.
        unsealed: Entries that no seal protects yet.
        erased: Entries whose personal data was erased.
        checkpoints: Checkpoints with a valid signature.
        unverifiable_checkpoints: Checkpoints whose key is not configured.
        fault: The first difference; None if the log is intact.
    """

    verified: int
    first_seal_seq: int
    unsealed: int
    erased: int
    checkpoints: int
    unverifiable_checkpoints: int
    fault: ChainFault | None

    @property
    def is_intact(self) -> bool:
        """Whether no difference was found."""
        return self.fault is None


@define
class _Checkpoints:
    """Hashes by number, and what is wrong with the checkpoints themselves."""

    hashes: dict[int, str] = Factory(dict[int, str])
    valid: int = 0
    unverifiable: int = 0
    fault: ChainFault | None = None

    def add(self, checkpoint: Checkpoint, is_valid: bool | None) -> None:
        """Add a checkpoint; is_valid is None if its key is not configured."""
        number = checkpoint.seal_seq
        if is_valid is False:
            self.report(number, "the signature of a checkpoint is invalid")
            return
        if self.hashes.setdefault(number, checkpoint.hash) != checkpoint.hash:
            self.report(number, "two checkpoints have different hashes")
        self.valid += is_valid is True
        self.unverifiable += is_valid is None

    def report(self, number: int, reason: str) -> None:
        """Set the fault, if it is the first one."""
        if self.fault is None:
            self.fault = ChainFault(seal_seq=number, audit_id=None, reason=reason)


@frozen(kw_only=True)
class AuditVerifier:
    """Verifies the log against its chain, and the chain against all checkpoints."""

    store: Store[AuditTx]
    signer: CheckpointSigner
    log: CheckpointLog

    def verify(
        self,
        actor: Actor,
        *,
        newest: int | None = None,
        exported: Iterable[Checkpoint] = (),
        on_progress: Callable[[int, int], object] = lambda _done, _total: None,
    ) -> AuditReport:
        """
        Verify all sealed entries, or the newest ones only; for superusers.

        `exported` are checkpoints besides those of the database and of the log
        file. `on_progress` is called with the verified and the total number.
        """
        check(actor, Action.VERIFY_AUDIT, SUPERUSERS_ONLY)
        outside = [*self.log.read(), *exported]
        while True:
            with self.store.view() as tx:
                pruned = tx.audit_chain.pruned()
                report = self._verify(tx, pruned, outside, newest, on_progress)
            if report.is_intact:
                return report
            with self.store.view() as tx:
                if tx.audit_chain.pruned() == pruned:
                    return report
            # old entries were deleted while they were read: verify the rest

    def _verify(
        self,
        tx: AuditTx,
        pruned: Checkpoint | None,
        outside: Iterable[Checkpoint],
        newest: int | None,
        on_progress: Callable[[int, int], object],
    ) -> AuditReport:
        # The head is read last: it is never older than a checkpoint or an entry.
        checkpoints = self._checkpoints(chain(_stored(tx), outside))
        begin = self._begin(pruned, checkpoints)
        last = tx.audit_chain.last_number()
        head = tx.audit_chain.head()
        if newest is not None and (start := head.seal_seq - newest) > begin.seal_seq:
            begin = ChainHead(start, tx.audit_chain.find_hash(start) or GENESIS)
        start = begin.seal_seq
        expected = {n: each for n, each in checkpoints.hashes.items() if n > start}
        verifier = ChainVerifier(begin, expected)
        last = max(last, head.seal_seq)
        fault = _check_until(tx, verifier, last, on_progress) or verifier.finish(head)
        fault = fault or checkpoints.fault
        return AuditReport(
            verified=verifier.verified,
            first_seal_seq=start + 1,
            unsealed=tx.audit_chain.count_unsealed(),
            erased=verifier.erased,
            checkpoints=checkpoints.valid,
            unverifiable_checkpoints=checkpoints.unverifiable,
            fault=fault,
        )

    def _begin(self, pruned: Checkpoint | None, checkpoints: _Checkpoints) -> ChainHead:
        """Return where the stored entries begin; report a false signature of it."""
        if pruned is None:
            return ChainHead()
        if not self.signer.is_valid_pruned(pruned):
            checkpoints.report(pruned.seal_seq, "the signature of the deleted entries is invalid")
        elif checkpoints.hashes.get(pruned.seal_seq, pruned.hash) != pruned.hash:
            checkpoints.report(pruned.seal_seq, "the deleted entries differ from a checkpoint")
        return ChainHead(pruned.seal_seq, pruned.hash)

    def _checkpoints(self, stored: Iterable[Checkpoint]) -> _Checkpoints:
        found = _Checkpoints()
        for each in dict.fromkeys(stored):
            found.add(each, self.signer.is_valid(each))
        return found


def _check_until(
    tx: AuditTx,
    verifier: ChainVerifier,
    last: int,
    on_progress: Callable[[int, int], object],
) -> ChainFault | None:
    """Check the entries up to a number; entries with higher ones were sealed later."""
    start = verifier.head.seal_seq
    while verifier.head.seal_seq < last:
        before = verifier.head.seal_seq
        for sealed in tx.audit_chain.iterate_sealed(after=before, limit=PAGE):
            if sealed.seal_seq > last:
                break
            if (fault := verifier.check(sealed)) is not None:
                return fault
        on_progress(verifier.head.seal_seq - start, last - start)
        if verifier.head.seal_seq < before + PAGE:
            break
    return None


def _stored(tx: AuditTx) -> Iterator[Checkpoint]:
    before: int | None = None
    while page := tx.audit_chain.list_checkpoints(before=before, limit=PAGE):
        yield from page
        before = page[-1].seal_seq


def export(tx: AuditTx) -> Sequence[Checkpoint]:
    """Return all checkpoints of the database, oldest first."""
    return [*_stored(tx)][::-1]
