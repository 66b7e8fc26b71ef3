"""Response bodies of schedules, runs and previews."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from attrs import fields, frozen

from workbell.adapters.http.jobs.source_statuses import INSIGHTHUB_STATUSES, InsightHubStatus
from workbell.adapters.http.web.mapping import copy_fields
from workbell.adapters.serialization.scalars import write_duration
from workbell.domain.cron.preview import Preview
from workbell.domain.cron.rule import ClockChange, DstGap, DstOverlap
from workbell.domain.jobs.job import Job, Status
from workbell.domain.schedules.schedule import MisfirePolicy, OverlapPolicy
from workbell.ports.schedules.views import ListedSchedule, ScheduleView


@frozen(kw_only=True, slots=False)
class ScheduleFields:
    """Fields of a schedule that all styles share."""

    id: int
    user_id: int
    user_username: str
    user_full_name: str
    task_definition_id: int
    task_definition_name: str
    task_definition_description: str
    name: str
    cron_expression: str
    time_zone: str
    parameters: Mapping[str, Any]
    is_active: bool
    misfire_policy: MisfirePolicy
    overlap_policy: OverlapPolicy
    dst_gap: DstGap
    dst_overlap: DstOverlap
    starts_at: datetime | None
    ends_at: datetime | None
    max_runs: int | None
    jitter_seconds: int
    queue: str | None
    priority: int
    max_attempts: int | None
    timeout_seconds: int | None
    alert_after_seconds: int | None
    overdue_since: datetime | None
    next_run_time: datetime | None
    last_run_time: datetime | None
    paused_reason: str | None
    created_at: datetime
    updated_at: datetime
    version: int


@frozen(kw_only=True, slots=False)
class ScheduleBody(ScheduleFields):
    """A task that runs at the times of a cron expression."""

    last_status: Status | None


@frozen(kw_only=True, slots=False)
class InsightHubScheduleBody(ScheduleFields):
    """A schedule with InsightHub's statuses."""

    last_status: InsightHubStatus | None


@frozen(kw_only=True, slots=False)
class InsightHubToggledBody(InsightHubScheduleBody):
    """A schedule, and a message that says whether it is active."""

    message: str


@frozen(kw_only=True, slots=False)
class RunFields:
    """Fields of a schedule's run that all styles share."""

    id: int
    schedule_id: int
    task_name: str
    user_username: str
    job_id: int
    started_at: datetime | None
    completed_at: datetime | None
    result: Any
    error_message: str | None
    execution_time: str | None
    duration_seconds: float | None
    is_completed: bool


@frozen(kw_only=True, slots=False)
class RunBody(RunFields):
    """One run of a schedule."""

    status: Status


@frozen(kw_only=True, slots=False)
class InsightHubRunBody(RunFields):
    """One run of a schedule with InsightHub's statuses."""

    status: InsightHubStatus


@frozen(kw_only=True, slots=False)
class UpcomingBody:
    """A future run in UTC and local time; `note` marks a clock change."""

    at: datetime
    local: datetime
    note: ClockChange


@frozen(kw_only=True, slots=False)
class PreviewBody:
    """A cron expression in words, with its next runs and warnings."""

    words: str
    runs: Sequence[UpcomingBody]
    warnings: Sequence[str]
    smallest_gap: str | None


@frozen(kw_only=True, slots=False)
class BackfillSummary:
    """Number of past runs in a backfill, and the first and last of them."""

    count: int
    first: datetime | None
    last: datetime | None
    dry_run: bool


@frozen(kw_only=True, slots=False)
class BackfillBody:
    """The runs of a dry run, or of a range without runs."""

    backfill: BackfillSummary


# a struct is built faster than a dict; its fields are in the order of `ListedSchedule`
_ListedBody: Any = msgspec.defstruct(
    "_ListedBody", [(each.name, Any) for each in fields(ScheduleBody)], gc=False
)


def listed_body(listed: ListedSchedule) -> Any:
    """Return the `ScheduleBody` of a list entry."""
    return _ListedBody(*listed[:-1])  # without the task's key


def insighthub_listed_body(listed: ListedSchedule) -> dict[str, Any]:
    """Return the `InsightHubScheduleBody` of a list entry."""
    status = listed.last_status
    last_status = None if status is None else INSIGHTHUB_STATUSES[status]
    return {**msgspec.structs.asdict(listed_body(listed)), "last_status": last_status}


def schedule_body(view: ScheduleView) -> Any:
    """Return the `ScheduleBody` of a schedule."""
    return listed_body(ListedSchedule.from_view(view))


def insighthub_schedule_body(view: ScheduleView) -> dict[str, Any]:
    """Return the `InsightHubScheduleBody` of a schedule."""
    return insighthub_listed_body(ListedSchedule.from_view(view))


def _run_fields(job: Job, view: ScheduleView) -> dict[str, Any]:
    """Return the fields of a run that differ from those of its job."""
    took = job.ended_at - job.started_at if job.started_at and job.ended_at else None
    return {
        "schedule_id": view.schedule.id,
        "task_name": view.task_name,
        "user_username": view.owner_username,
        "job_id": job.id,
        "completed_at": job.ended_at,
        "error_message": job.reason,
        "execution_time": None if took is None else write_duration(took),
        "duration_seconds": None if took is None else took / timedelta(seconds=1),
        "is_completed": job.state.ended,
    }


def run_body(job: Job, view: ScheduleView) -> RunBody:
    """Return the body of a run."""
    return copy_fields(RunBody, job, **_run_fields(job, view))


def insighthub_run_body(job: Job, view: ScheduleView) -> InsightHubRunBody:
    """Return the InsightHub body of a run."""
    status = INSIGHTHUB_STATUSES[job.status]
    return copy_fields(InsightHubRunBody, job, status=status, **_run_fields(job, view))


def preview_body(preview: Preview) -> PreviewBody:
    """Return the body of a preview."""
    gap = preview.smallest_gap
    return copy_fields(
        PreviewBody,
        preview,
        runs=[copy_fields(UpcomingBody, run) for run in preview.runs],
        smallest_gap=None if gap is None else write_duration(gap),
    )
