"""The data of a report: jobs of a period, and schedules."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import frozen

from workbell.domain.jobs.job import Job, JobState
from workbell.ports.schedules.views import ScheduleView

Cell = str | int | float


@frozen(kw_only=True)
class Section:
    """A section of a report: a table, and the values of its bar chart."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    bars: Sequence[tuple[str, float]] = ()
    note: str = ""


@frozen(kw_only=True)
class ReportData:
    """An owner's jobs that were created in a period, and current schedules."""

    report_type: str
    since: datetime
    until: datetime
    jobs: Sequence[Job]
    schedules: Sequence[ScheduleView]
    complete: bool = True

    def by_status(self) -> dict[str, int]:
        """Return the number of jobs by status, the most frequent first."""
        return dict(Counter(str(job.status) for job in self.jobs).most_common())

    def by_day(self) -> dict[str, int]:
        """Return the number of created jobs by day (UTC), the oldest first."""
        return dict(sorted(Counter(f"{job.created_at:%Y-%m-%d}" for job in self.jobs).items()))

    def by_task(self) -> Mapping[str, Sequence[Job]]:
        """Return the jobs by task key."""
        jobs: dict[str, list[Job]] = {}
        for job in self.jobs:
            jobs.setdefault(job.task, []).append(job)
        return dict(sorted(jobs.items()))

    def failed(self) -> Sequence[Job]:
        """Return the failed jobs, the newest first."""
        return [job for job in self.jobs if job.state is JobState.FAILED]


def seconds(job: Job) -> float | None:
    """Return the duration of a job's last attempt, or None before its end."""
    if job.started_at is None or job.ended_at is None:
        return None
    return (job.ended_at - job.started_at).total_seconds()


def mean_seconds(jobs: Sequence[Job]) -> float | None:
    """Return the mean duration of the last attempts, or None."""
    durations = [value for job in jobs if (value := seconds(job)) is not None]
    return sum(durations) / len(durations) if durations else None
