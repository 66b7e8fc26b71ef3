"""Outcomes of jobs of deliveries that end without a result."""

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
from workbell.ports.jobs.repository import JobsTx
from workbell.ports.system import Clock
from workbell.services.delivery.jobs import close_job

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
class DeliveryJobOutcomes:
    """Settlement hook that closes the deliveries of failed and cancelled jobs."""

    clock: Clock

    def applies_to(self, settlement: Settlement) -> bool:
        """Whether the job may be that of a delivery, and may have no result."""
        # a job that is to be retried becomes CANCELLED if that was requested
        key = settlement.concurrency_key or ""
        return settlement.state is not JobState.SUCCEEDED and key.startswith(CONCURRENCY_PREFIX)

    def prepare(
        self, tx: JobsTx, settlements: Sequence[Settlement]
    ) -> Callable[[Sequence[Settlement]], None]:
        """Return the reaction; it needs no lock before those of the jobs."""
        del settlements
        return partial(self._close, tx)

    def _close(self, tx: JobsTx, settlements: Sequence[Settlement]) -> None:
        now = self.clock.now()
        ended = [tx.jobs.get(ALL_OWNERS, each.id) for each in settlements if self.applies_to(each)]
        closing = [job for each in ended if (job := closing_job(each, now)) is not None]
        if closing:
            tx.jobs.add(closing, now)
