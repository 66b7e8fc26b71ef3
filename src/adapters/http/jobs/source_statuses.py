"""Job statuses of the InsightHub and Job Processing APIs."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from workbell.domain.jobs.job import Status


class InsightHubStatus(StrEnum):
    """Run statuses of InsightHub; skipped runs are reported as cancelled."""

    PENDING = "pending"
    RUNNING = "running"
    RETRY = "retry"
    SUCCESS = "success"
    FAILURE = "failure"
    CANCELLED = "cancelled"


class JobProcessingStatus(StrEnum):
    """Job statuses of Job Processing; skipped jobs map to cancelled."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


INSIGHTHUB_STATUSES: Mapping[Status, InsightHubStatus] = {
    Status.PENDING: InsightHubStatus.PENDING,
    Status.RUNNING: InsightHubStatus.RUNNING,
    Status.RETRYING: InsightHubStatus.RETRY,
    Status.SUCCEEDED: InsightHubStatus.SUCCESS,
    Status.FAILED: InsightHubStatus.FAILURE,
    Status.CANCELLED: InsightHubStatus.CANCELLED,
    Status.SKIPPED: InsightHubStatus.CANCELLED,
}
JOB_PROCESSING_STATUSES: Mapping[Status, JobProcessingStatus] = {
    Status.PENDING: JobProcessingStatus.PENDING,
    Status.RUNNING: JobProcessingStatus.IN_PROGRESS,
    Status.RETRYING: JobProcessingStatus.PENDING,
    Status.SUCCEEDED: JobProcessingStatus.COMPLETED,
    Status.FAILED: JobProcessingStatus.FAILED,
    Status.CANCELLED: JobProcessingStatus.CANCELLED,
    Status.SKIPPED: JobProcessingStatus.CANCELLED,
}


def matching_statuses(
    translation: Mapping[Status, StrEnum], given: Sequence[StrEnum] | None
) -> tuple[Status, ...] | None:
    """Return the statuses that translate to the given ones; None for None."""
    if given is None:
        return None
    return tuple(status for status, name in translation.items() if name in given)
