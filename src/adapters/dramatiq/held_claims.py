"""The claims that a worker holds, with the contexts of their attempts."""

from collections.abc import Iterable, Sequence
from typing import Any

from attrs import define, field

from workbell.adapters.dramatiq.job_context import JobContext, LogBuffer
from workbell.adapters.logs import get_logger
from workbell.domain.jobs.attempt import TIMEOUT_GRACE, Claim, Settlement
from workbell.domain.jobs.job import JobId
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
            )

    def find(self, job_id: JobId) -> JobContext | None:
        """Return the context of a job's claim, or None."""
        return self._contexts.get(job_id)

    def release(self, job_ids: Iterable[JobId]) -> None:
        """Remove the claims of some jobs."""
        for job_id in job_ids:
            self._contexts.pop(job_id, None)

    def release_settled(self, settlement: Settlement) -> JobContext | None:
        """Remove the claim that a settlement ends; return its context or None."""
        context = self._contexts.get(settlement.id)
        if context is None or context.claim.token != settlement.token:
            return None
        return self._contexts.pop(settlement.id, None)

    def renew_leases(self, worker: WorkerInfo) -> int:
        """
        Renew the leases of claims that are within their time limit.

        Mark contexts whose job was cancelled or whose lease was lost. Return the number of
        claims that are past their limit: their threads are stuck.
        """
        now = self.clock.now()
        contexts = self._snapshot()
        renewed = [c for c in contexts if now <= c.claim.deadline + TIMEOUT_GRACE]
        stop = self.execution.heartbeat([c.claim for c in renewed], worker)
        for context in renewed:
            cancelled = stop.get(context.claim.id)
            if cancelled is None and self.find(context.claim.id) is context:
                context.mark_lost()
            elif cancelled:
                context.cancel()
        return len(contexts) - len(renewed)

    def store_notes(self) -> None:
        """Store the new progress and log lines of all claims."""
        contexts = self._snapshot()
        progress = [(c.claim, p) for c in contexts if (p := c.drain_progress()) is not None]
        lines = {c.claim.id: drained for c in contexts if (drained := c.buffer.drain())}
        if progress or lines:
            self.execution.record_progress(progress, lines)

    def store_last_notes(self, context: JobContext) -> None:
        """Store the last progress and log lines of an attempt; never raises."""
        progress, lines = context.drain_progress(), context.buffer.drain()
        if progress is None and not lines:
            return
        try:
            self.execution.record_progress(
                [(context.claim, progress)] if progress else [], {context.claim.id: lines}
            )
        except Exception:
            log.exception("job_log_not_stored", job=context.claim.id)

    def shut_down(self) -> None:
        """Ask every attempt to stop because the process stops."""
        for context in self._snapshot():
            context.shut_down()

    def _snapshot(self) -> Sequence[JobContext]:
        return list(self._contexts.values())
