"""Jobs that work through the deliveries of one destination in the background."""

from datetime import datetime
from typing import Final

from workbell.domain.delivery.delivery import QUEUE
from workbell.domain.delivery.destination import DestinationId
from workbell.domain.jobs.job import Job, JobOrigin

RELEASE_TASK: Final = "delivery.release"
CANCEL_TASK: Final = "delivery.cancel"
REPLAY_TASK: Final = "delivery.replay"


def release_job(destination_id: DestinationId, now: datetime, due_at: datetime) -> Job:
    """
    Return the job that releases parked deliveries of a destination.

    It releases all of them if the destination is active with a closed breaker,
    and one, as a probe, if the breaker's pause is over.
    """
    return _job(RELEASE_TASK, destination_id, now, due_at)


def cancel_job(destination_id: DestinationId, now: datetime) -> Job:
    """Return the job that cancels all unfinished deliveries of a deleted destination."""
    return _job(CANCEL_TASK, destination_id, now, now)


def _job(task: str, destination_id: DestinationId, now: datetime, due_at: datetime) -> Job:
    return Job(
        task=task,
        parameters={"destination": destination_id},
        due_at=due_at,
        queue=QUEUE,
        origin=JobOrigin.DELIVERY,
        max_attempts=100,
        created_at=now,
    )
