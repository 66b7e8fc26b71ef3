"""Jobs of delivery other than those that send."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from workbell.domain.delivery.delivery import LOST_ATTEMPTS, QUEUE
from workbell.domain.delivery.destination import DestinationId
from workbell.domain.jobs.job import Job, JobOrigin

RELEASE_TASK: Final = "delivery.release"
CANCEL_TASK: Final = "delivery.cancel"
REPLAY_TASK: Final = "delivery.replay"
CLOSE_TASK: Final = "delivery.close"
TIMEOUT_SECONDS: Final = 3_600
"""Time limit of these jobs; they continue in the next attempt."""


def release_job(destination_id: DestinationId, now: datetime, due_at: datetime) -> Job:
    """
    Return the job that releases parked deliveries of a destination.

    It releases all of them if the destination is active with a closed breaker,
    and one, as a probe, if the breaker's pause is over.
    """
    return _job(RELEASE_TASK, {"destination": destination_id}, now, due_at)


def cancel_job(destination_id: DestinationId, now: datetime) -> Job:
    """Return the job that cancels all unfinished deliveries of a deleted destination."""
    return _job(CANCEL_TASK, {"destination": destination_id}, now, now)


def close_job(sending: Mapping[str, Any], error: str | None, now: datetime) -> Job:
    """
    Return the job that closes a delivery whose sending job ended without a result.

    `sending` are the parameters of that job. Without an `error` it was cancelled.
    """
    return _job(CLOSE_TASK, {**sending, "error": error}, now, now)


def _job(task: str, parameters: Mapping[str, Any], now: datetime, due_at: datetime) -> Job:
    return Job(
        task=task,
        parameters=parameters,
        due_at=due_at,
        queue=QUEUE,
        origin=JobOrigin.DELIVERY,
        max_attempts=LOST_ATTEMPTS,
        timeout_seconds=TIMEOUT_SECONDS,
        created_at=now,
    )
