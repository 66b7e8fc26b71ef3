"""Status words: how the public words for a job's state read in each style."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from workbell.domain.jobs.job import Status


class InsightHubStatus(StrEnum):
    """How InsightHub reads a run's state; skipped runs read as cancelled."""

    PENDING = "pending"
    RUNNING = "running"
    RETRY = "retry"
    SUCCESS = "success"
    FAILURE = "failure"
    CANCELLED = "cancelled"


class JobProcessingStatus(StrEnum):
    """How Job Processing reads a job's state; retrying reads as pending, skipped as cancelled."""

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


def statuses(
    words: Mapping[Status, StrEnum], given: Sequence[StrEnum] | None
) -> tuple[Status, ...] | None:
    """Return every status that one of the given words may stand for."""
    if given is None:
        return None
    return tuple(status for status, word in words.items() if word in given)
