"""The engine's operations on many jobs: together, or each by itself if one fails."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from attrs import frozen

from workbell.domain.errors import Unavailable
from workbell.domain.jobs.attempt import Claim, LogLine
from workbell.domain.jobs.job import JobId, Progress
from workbell.ports.jobs.queues import WorkerInfo
from workbell.ports.jobs.repository import JobRef, JobsTx
from workbell.ports.store import Store
from workbell.services.faults import describe_fault
from workbell.services.jobs.quarantine import JobQuarantine
from workbell.services.transaction_retry import retry_on_contention

TxT = TypeVar("TxT", bound=JobsTx)

LOG_HEAD = 200
LOG_TAIL = 800


@frozen(kw_only=True)
class EngineRows(Generic[TxT]):
    """
    Each operation is one transaction for all of its jobs.

    If it fails for another reason than an unavailable store, it is repeated for
    each job by itself, and the job for which it fails is quarantined.
    """

    store: Store[TxT]
    quarantine: JobQuarantine[TxT]

    def release(self, refs: Sequence[JobRef]) -> set[JobId]:
        """Release claims whose jobs were never started; return the accepted ids."""
        try:
            return self._release(refs)
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - of one of the rows
            released = self.quarantine.each(refs, lambda ref: self._release([ref]))
        return set().union(*released)

    def heartbeat(
        self, worker: WorkerInfo, refs: Sequence[JobRef], until: datetime
    ) -> Mapping[JobId, bool]:
        """Renew leases and the worker's row; return whether each renewed job should stop."""
        try:
            return self._heartbeat(worker, refs, until)
        except Unavailable:
            raise
        except Exception:
            if not refs:
                raise
        self._heartbeat(worker, (), until)
        renewed = self.quarantine.each(refs, lambda ref: self._heartbeat(worker, [ref], until))
        return {job_id: stop for each in renewed for job_id, stop in each.items()}

    def record_progress(
        self,
        progress: Sequence[tuple[Claim, Progress]],
        lines: Mapping[JobId, Sequence[LogLine]],
    ) -> None:
        """Store progress and log lines of running attempts."""
        try:
            self._record_progress(progress, lines)
            return
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - of one of the rows
            by_ref: dict[JobRef, tuple[Claim, Progress]] = {
                (claim.id, claim.token): (claim, at) for claim, at in progress
            }
        self.quarantine.each(by_ref, lambda ref: self._record_progress([by_ref[ref]], {}))
        for job_id, job_lines in lines.items():
            self._record_lines(job_id, job_lines)

    def stage(self, now: datetime) -> int:
        """Move due jobs to READY or HELD; return how many."""
        try:
            with self.store.view() as tx:
                due = tx.jobs.next_due()
            return self._stage(now, None) if due is not None and due <= now else 0
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - of one of the rows
            with self.store.view() as tx:
                refs = tx.jobs.list_due(now)
        return sum(self.quarantine.each(refs, lambda ref: self._stage(now, ref[0])))

    def expired(self, now: datetime) -> Sequence[Claim]:
        """Return running jobs whose lease has expired."""
        try:
            return self._expired(now, None)
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - of one of the rows
            with self.store.view() as tx:
                refs = tx.jobs.list_expired(now)
        found = self.quarantine.each(refs, lambda ref: self._expired(now, ref[0]))
        return [claim for each in found for claim in each]

    @retry_on_contention
    def _release(self, refs: Sequence[JobRef]) -> set[JobId]:
        with self.store.begin() as tx:
            return tx.jobs.release(refs)

    @retry_on_contention
    def _heartbeat(
        self, worker: WorkerInfo, refs: Sequence[JobRef], until: datetime
    ) -> Mapping[JobId, bool]:
        with self.store.begin() as tx:
            tx.workers.heartbeat(worker)
            return tx.jobs.renew_leases(refs, until) if refs else {}

    @retry_on_contention
    def _record_progress(
        self,
        progress: Sequence[tuple[Claim, Progress]],
        lines: Mapping[JobId, Sequence[LogLine]],
    ) -> None:
        with self.store.begin() as tx:
            if progress:
                tx.jobs.record_progress([(claim.id, claim.token, at) for claim, at in progress])
            for job_id, job_lines in lines.items():
                tx.logs.append(job_id, job_lines, keep_head=LOG_HEAD, keep_tail=LOG_TAIL)

    def _record_lines(self, job_id: JobId, lines: Sequence[LogLine]) -> None:
        try:
            self._record_progress((), {job_id: lines})
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - of these lines
            attempt = lines[-1].attempt if lines else None
            self.quarantine.fail(job_id, describe_fault(error), attempt=attempt)

    @retry_on_contention
    def _stage(self, now: datetime, only: JobId | None) -> int:
        with self.store.begin() as tx:
            return tx.jobs.stage(now, only=only)

    def _expired(self, now: datetime, only: JobId | None) -> Sequence[Claim]:
        with self.store.view() as tx:
            return tx.jobs.expired(now, only=only)
