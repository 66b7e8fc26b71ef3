"""Repository of cancellations of many jobs."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from workbell.domain.identity.actor import Scope
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.cancellation import Cancellation
from workbell.domain.jobs.job import JobId


class CancellationRepository(Protocol):
    """
    Unfinished cancellations of many jobs.

    Runs of a schedule that a stored cancellation covers are not claimed.
    """

    def last_job_id(self, owner: UserId, schedule_id: int | None) -> JobId:
        """Return the highest id of an unfinished run of a schedule, or a job of an owner."""

    def cancel_jobs(
        self,
        cancellation: Cancellation,
        now: datetime,
        *,
        excluded_tasks: Collection[str] = (),
        limit: int = 500,
    ) -> int:
        """Cancel waiting jobs; return how many were read: fewer than `limit` at the end."""

    def count_left(self, cancellation: Cancellation, *, limit: int) -> int:
        """Return how many jobs are to be cancelled, counting up to `limit`."""

    def add(self, cancellation: Cancellation) -> Cancellation:
        """Insert a cancellation and return it with its id."""

    def lock_next(self) -> Cancellation | None:
        """Lock and return the oldest cancellation that is not locked, or None."""

    def record(self, cancellation: Cancellation, cancelled: int) -> None:
        """Add to the number of cancelled jobs."""

    def remove(self, cancellation: Cancellation) -> None:
        """Delete a finished cancellation."""

    def all(self, scope: Scope, *, limit: int = 1_000) -> Sequence[Cancellation]:
        """Return the cancellations in a scope, oldest first."""
