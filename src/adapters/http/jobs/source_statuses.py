"""Status words: how the public words for a job's state read in each style."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from workbell.domain.jobs.job import Status


class AStatus(StrEnum):
    """How source A reads a run's state; skipped runs read as cancelled."""

    PENDING = "pending"
    RUNNING = "running"
    RETRY = "retry"
    SUCCESS = "success"
    FAILURE = "failure"
    CANCELLED = "cancelled"


class EStatus(StrEnum):
    """How source E reads a job's state; retrying reads as pending, skipped as cancelled."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


A_WORDS: Mapping[Status, AStatus] = {
    Status.PENDING: AStatus.PENDING,
    Status.RUNNING: AStatus.RUNNING,
    Status.RETRYING: AStatus.RETRY,
    Status.SUCCEEDED: AStatus.SUCCESS,
    Status.FAILED: AStatus.FAILURE,
    Status.CANCELLED: AStatus.CANCELLED,
    Status.SKIPPED: AStatus.CANCELLED,
}
E_WORDS: Mapping[Status, EStatus] = {
    Status.PENDING: EStatus.PENDING,
    Status.RUNNING: EStatus.IN_PROGRESS,
    Status.RETRYING: EStatus.PENDING,
    Status.SUCCEEDED: EStatus.COMPLETED,
    Status.FAILED: EStatus.FAILED,
    Status.CANCELLED: EStatus.CANCELLED,
    Status.SKIPPED: EStatus.CANCELLED,
}


def statuses(
    words: Mapping[Status, StrEnum], given: Sequence[StrEnum] | None
) -> tuple[Status, ...] | None:
    """Return every status that one of the given words may stand for."""
    if given is None:
        return None
    return tuple(status for status, word in words.items() if word in given)
