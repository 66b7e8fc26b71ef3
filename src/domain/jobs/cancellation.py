"""Cancellations of many waiting jobs, in batches."""

from datetime import datetime

from attrs import frozen

from workbell.domain.identity.user import UserId
from workbell.domain.jobs.job import JobId


@frozen(kw_only=True)
class Cancellation:
    """
    The cancellation of all waiting runs of a schedule, or jobs of an owner.

    Attributes:
        schedule_id: The schedule; None for all jobs of the owner.
        last_job_id: Jobs with higher ids were enqueued later, and stay.
        cancelled: Jobs that were cancelled so far.
    """

    id: int = 0
    owner: UserId
    schedule_id: int | None = None
    last_job_id: JobId
    reason: str
    started_at: datetime
    cancelled: int = 0
