"""The claims that a worker holds, with the contexts of their attempts."""

from collections.abc import Iterable, Sequence
from typing import Any

from attrs import define, field

from workbell.adapters.dramatiq.job_context import JobContext, LogBuffer
from workbell.adapters.logs import get_logger
from workbell.domain.jobs.attempt import Claim, Settlement
from workbell.domain.jobs.claim_limits import is_counted
from workbell.domain.jobs.job import JobId
from workbell.domain.jobs.task import Cancelled, Isolation, OwnershipLost, ShuttingDown
from workbell.ports.jobs.queues import WorkerInfo
from workbell.ports.system import Clock
from workbell.services.jobs.execution import ExecutionService

log = get_logger()


@define(eq=False)
class HeldClaims:
    """
    The claims of a worker, from the claim to the committed settlement.

    Renews their leases and stores their progress and log lines. The dict needs
    no lock: each call on it is atomic, and a job id has one claim.
    """

    execution: ExecutionService[Any]
    clock: Clock
    _contexts: dict[JobId, JobContext] = field(factory=dict[JobId, JobContext])

    def __len__(self) -> int:
        """Return the number of claims."""
        return len(self._contexts)

    def add(self, claims: Iterable[Claim]) -> None:
        """Add claims, each with a new context."""
        for claim in claims:
            self._contexts[claim.id] = JobContext(
                claim=claim,
                clock=self.clock,
                store_artifact=self.execution.store_artifact,
                buffer=LogBuffer(self.clock, claim.attempt),
                is_isolated=self.execution.isolation_of(claim) is Isolation.PROCESS,
                on_interrupt=self.execution.interrupt_child,
            )

    def claims(self) -> Sequence[Claim]:
        """Return the claims."""
        return [context.claim for context in self._snapshot()]

    def find(self, job_id: JobId) -> JobContext | None:
        """Return the context of a job's claim, or None."""
        return self._contexts.get(job_id)

    def count_by_fairness_key(self, ended: Iterable[Settlement]) -> dict[str, int]:
        """Return how many claims count towards each key's limit, without ended ones."""
        ids = {settlement.id for settlement in ended}
        counts: dict[str, int] = {}
        for context in self._snapshot():
            claim = context.claim
            if claim.id not in ids and is_counted(claim.owner, claim.mode):
                counts[claim.fairness_key] = counts.get(claim.fairness_key, 0) + 1
        return counts

    def release(self, job_ids: Iterable[JobId]) -> None:
        """Remove the claims of some jobs."""
        for job_id in job_ids:
            self._contexts.pop(job_id, None)

    def release_lost(self, context: JobContext) -> None:
        """Remove a claim that is not settled, unless the job was claimed again."""
        if self.find(context.claim.id) is context:
            self._contexts.pop(context.claim.id, None)

    def release_settled(self, settlement: Settlement) -> JobContext | None:
        """Remove the claim that a settlement ends; return its context or None."""
        context = self._contexts.get(settlement.id)
        if context is None or context.claim.token != settlement.token:
            return None
        return self._contexts.pop(settlement.id, None)

    def renew_leases(self, worker: WorkerInfo) -> None:
        """
        Renew the leases of all claims.

        Interrupt attempts whose job was cancelled or whose lease was lost.
        """
        contexts = self._snapshot()
        stop = self.execution.heartbeat([context.claim for context in contexts], worker)
        for context in contexts:
            cancelled = stop.get(context.claim.id)
            if cancelled is None and self.find(context.claim.id) is context:
                context.interrupt(OwnershipLost)
            elif cancelled:
                context.interrupt(Cancelled)

    def store_notes(self) -> None:
        """Store the new progress and log lines of all claims."""
        self._store_notes(self._snapshot())

    def _store_notes(self, contexts: Sequence[JobContext]) -> None:
        progress = [(c.claim, p) for c in contexts if (p := c.drain_progress()) is not None]
        lines = {c.claim.id: drained for c in contexts if (drained := c.buffer.drain())}
        if progress or lines:
            self.execution.record_progress(progress, lines)

    def store_last_notes(self, *contexts: JobContext) -> None:
        """Store the last progress and log lines of attempts; never raises."""
        try:
            self._store_notes(contexts)
        except Exception:
            log.exception("job_log_not_stored", jobs=[context.claim.id for context in contexts])

    def shut_down(self) -> None:
        """Ask every attempt to stop because the process stops."""
        for context in self._snapshot():
            context.interrupt(ShuttingDown)

    def _snapshot(self) -> Sequence[JobContext]:
        return list(self._contexts.values())
