"""Log event for the end of an attempt."""

from workbell.adapters.logs import get_logger
from workbell.domain.jobs.attempt import Claim, Settlement, queue_wait, to_seconds
from workbell.domain.jobs.job import ClaimMode

log = get_logger()


def log_attempt(claim: Claim, settlement: Settlement) -> None:
    """Log how and after how long an attempt ended; batch tasks are too many to log."""
    if claim.mode is ClaimMode.BATCH:
        return
    log.info(
        "attempt_ended",
        job=claim.id,
        attempt=claim.attempt,
        task=claim.task,
        outcome=str(settlement.outcome),
        queue_wait_seconds=to_seconds(queue_wait(claim.queued_at, claim.started_at)),
        duration_seconds=to_seconds(settlement.ended_at - settlement.started_at),
        error=settlement.error,
    )
