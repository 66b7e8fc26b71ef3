"""Outcomes of sending jobs: results are recorded, lost jobs closed."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from attrs import frozen

from workbell.domain.delivery.delivery import SEND_TASK
from workbell.domain.delivery.destination import CONCURRENCY_PREFIX
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.jobs.attempt import Settlement
from workbell.domain.jobs.job import Job, JobState
from workbell.ports.delivery.repository import DeliveryTx
from workbell.ports.system import Clock
from workbell.services.delivery.jobs import close_job
from workbell.services.delivery.recording import AttemptRecorder, SentDelivery

NO_RESULT: Final = "The job of the delivery has ended without a result."


def closing_job(job: Job, now: datetime) -> Job | None:
    """
    Return the job that closes the delivery of a cancelled or failed job.

    Without it, the delivery would wait for ever. Returns None for other jobs.
    """
    if job.task != SEND_TASK or job.state not in {JobState.CANCELLED, JobState.FAILED}:
        return None
    error = None if job.state is JobState.CANCELLED else job.reason or NO_RESULT
    return close_job(job.parameters, error, now)


@frozen(kw_only=True)
class DeliveryOutcomes:
    """
    Settlement hook of the jobs that send.

    Results are recorded in the transaction of the job's outcome, together with
    those of other threads. Deliveries whose jobs failed or were cancelled
    without a result are closed.
    """

    clock: Clock
    recorder: AttemptRecorder

    def applies_to(self, settlement: Settlement) -> bool:
        """Whether there is a result, or the job may be that of a delivery without one."""
        if isinstance(settlement.data, SentDelivery):
            return True
        # a job that is to be retried becomes CANCELLED if that was requested
        key = settlement.concurrency_key or ""
        return settlement.state is not JobState.SUCCEEDED and key.startswith(CONCURRENCY_PREFIX)

    def prepare(
        self, tx: DeliveryTx, settlements: Sequence[Settlement]
    ) -> Callable[[Sequence[Settlement]], None]:
        """
        Record the results; the turns of their deliveries decide, not the claims.

        Destinations and deliveries are locked before jobs.
        """
        results = [each.data for each in settlements if isinstance(each.data, SentDelivery)]
        if results:
            self.recorder.record(tx, results)
        return partial(self._close, tx)

    def _close(self, tx: DeliveryTx, settlements: Sequence[Settlement]) -> None:
        now = self.clock.now()
        lost = [each for each in settlements if each.data is None and self.applies_to(each)]
        ended = [tx.jobs.get(ALL_OWNERS, each.id) for each in lost]
        closing = [job for each in ended if (job := closing_job(each, now)) is not None]
        if closing:
            tx.jobs.add(closing, now)
