"""Lists of jobs: the conditions, and a page."""

from collections.abc import Sequence
from datetime import datetime

from attrs import frozen

from workbell.domain.identity.actor import Scope
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.job import Job, JobId, JobOrigin, Status


@frozen(kw_only=True)
class JobFilter:
    """
    Conditions of a list of jobs; None means any. Time bounds are inclusive.

    `search` matches part of name, task and description, case-insensitively.
    """

    statuses: Sequence[Status] | None = None
    task: str | None = None
    queue: str | None = None
    origins: Sequence[JobOrigin] | None = None
    schedule_id: int | None = None
    owner: UserId | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    due_from: datetime | None = None
    due_to: datetime | None = None
    search: str | None = None
    before_id: JobId | None = None

    def needs_window(self, scope: Scope, ordering: Sequence[str]) -> bool:
        """
        Whether a list reads the newest `SEARCH_WINDOW` rows of its index.

        The index of a schedule, of statuses or of the owner selects the rows; other
        conditions, orderings, and an owner's status `succeeded` apply to the window.
        """
        fields = (self.task, self.queue, self.origins, self.search)
        times = (self.created_from, self.created_to, self.due_from, self.due_to)
        return (
            any(value is not None for value in (*fields, *times))
            or (self.schedule_id is not None and self._is_owned(scope))
            or (self.statuses is not None and not self.is_by_status(scope))
            or tuple(ordering) not in {("-id",), ("id",)}
        )

    def is_by_status(self, scope: Scope) -> bool:
        """Whether an index selects the rows by status."""
        if self.statuses is None or self.schedule_id is not None:
            return False
        return not (self._is_owned(scope) and Status.SUCCEEDED in self.statuses)

    def _is_owned(self, scope: Scope) -> bool:
        return self.owner is not None or scope.owner is not None


@frozen(kw_only=True)
class JobPage:
    """
    A page of a list of jobs.

    Attributes:
        count: How many jobs match, counting up to `COUNT_CAP` + 1; 0 if not asked for.
        next_before: The `before_id` of the next window, if only the newest
            `SEARCH_WINDOW` jobs were searched and there are older ones.
    """

    jobs: Sequence[Job]
    count: int = 0
    next_before: JobId | None = None
