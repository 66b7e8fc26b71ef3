"""What a report is about: the rows of a period, counted and averaged."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import frozen

from workbell.domain.jobs.job import Job, JobState
from workbell.ports.schedules.views import ScheduleView

Cell = str | int | float


@frozen(kw_only=True)
class Section:
    """A part of a report: a table, and what of it may be drawn as bars."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    bars: Sequence[tuple[str, float]] = ()
    note: str = ""


@frozen(kw_only=True)
class ReportFacts:
    """The owner's jobs that were made in a period, and their schedules today."""

    report_type: str
    since: datetime
    until: datetime
    jobs: Sequence[Job]
    schedules: Sequence[ScheduleView]
    complete: bool = True

    def by_status(self) -> dict[str, int]:
        """Return how many jobs there are of each status, the most frequent first."""
        return dict(Counter(str(job.status) for job in self.jobs).most_common())

    def by_day(self) -> dict[str, int]:
        """Return how many jobs were made on each day (UTC), oldest first."""
        return dict(sorted(Counter(f"{job.created_at:%Y-%m-%d}" for job in self.jobs).items()))

    def by_task(self) -> Mapping[str, Sequence[Job]]:
        """Return the jobs of each task, by key."""
        found: dict[str, list[Job]] = {}
        for job in self.jobs:
            found.setdefault(job.task, []).append(job)
        return dict(sorted(found.items()))

    def failed(self) -> Sequence[Job]:
        """Return the failed jobs, the newest first."""
        return [job for job in self.jobs if job.state is JobState.FAILED]


def seconds(job: Job) -> float | None:
    """Return how long a job's last attempt took, if it has ended."""
    if job.started_at is None or job.ended_at is None:
        return None
    return (job.ended_at - job.started_at).total_seconds()


def mean_seconds(jobs: Sequence[Job]) -> float | None:
    """Return how long the last attempts took on average, if any has ended."""
    took = [found for job in jobs if (found := seconds(job)) is not None]
    return sum(took) / len(took) if took else None
