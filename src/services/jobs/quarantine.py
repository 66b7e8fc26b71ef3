"""Quarantine: a job whose row cannot be processed fails, and harms no other."""

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from attrs import frozen

from workbell.domain.errors import Unavailable
from workbell.domain.jobs.attempt import Claim, Settlement
from workbell.domain.jobs.job import JobId
from workbell.ports.jobs.repository import JobRef, JobsTx
from workbell.ports.quarantine import QuarantineReporter
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.faults import describe_fault
from workbell.services.jobs.settlement_hooks import SettlementHook
from workbell.services.transaction_retry import retry_on_contention

TxT = TypeVar("TxT", bound=JobsTx)
R = TypeVar("R")


@frozen(kw_only=True)
class JobQuarantine(Generic[TxT]):
    """Fails jobs whose rows cannot be processed, and calls the hooks for them."""

    store: Store[TxT]
    clock: Clock
    reporter: QuarantineReporter
    hooks: Sequence[SettlementHook[TxT]]

    def each(self, refs: Iterable[JobRef], action: Callable[[JobRef], R]) -> list[R]:
        """
        Call an action for each job by itself; return the results.

        A job for which it fails is quarantined, unless the store is unavailable.
        """
        results: list[R] = []
        for ref in refs:
            try:
                results.append(action(ref))
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - the driver's, or of decoding the row
                job_id, token = ref
                self.fail(job_id, describe_fault(error), token=token)
        return results

    def remove_unreadable(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        """Quarantine the claims whose row could not be decoded; return the others."""
        if not any(claim.unreadable for claim in claims):
            return claims
        for claim in claims:
            if claim.unreadable is not None:
                self.fail(claim.id, claim.unreadable, token=claim.token)
        return [claim for claim in claims if claim.unreadable is None]

    def fail(
        self, job_id: JobId, why: str, *, token: int | None = None, attempt: int | None = None
    ) -> None:
        """Fail a job, unless it has ended or its token or attempt is another one."""
        settlement = self._write(job_id, f"quarantined: {why}", token, attempt)
        if settlement is not None:
            self.reporter.report("job", job_id, why)
            self._call_hooks(settlement)

    @retry_on_contention
    def _write(
        self, job_id: JobId, reason: str, token: int | None, attempt: int | None
    ) -> Settlement | None:
        with self.store.begin() as tx:
            now = self.clock.now()
            return tx.jobs.quarantine(job_id, reason, now, token=token, attempt=attempt)

    def _call_hooks(self, settlement: Settlement) -> None:
        """Call each hook in a transaction of its own: one that fails is skipped."""
        for hook in self.hooks:
            if hook.applies_to(settlement):
                try:
                    self._call_hook(hook, settlement)
                except Exception as error:  # noqa: BLE001 - it may need the faulty row
                    self.reporter.report("hook", settlement.id, describe_fault(error))

    @retry_on_contention
    def _call_hook(self, hook: SettlementHook[TxT], settlement: Settlement) -> None:
        with self.store.begin() as tx:
            hook.prepare(tx, [settlement])([settlement])
