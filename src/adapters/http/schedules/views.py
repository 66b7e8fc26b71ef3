"""Schedules as they are answered: themselves, their runs, and previews."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from attrs import fields, frozen

from workbell.adapters.http.jobs.source_statuses import INSIGHTHUB_STATUSES, InsightHubStatus
from workbell.adapters.serialization.scalars import write_duration
from workbell.domain.cron.preview import Preview
from workbell.domain.cron.rule import ClockChange, DstGap, DstOverlap
from workbell.domain.jobs.job import Job, Status
from workbell.domain.schedules.schedule import MisfirePolicy, OverlapPolicy
from workbell.ports.schedules.views import ListedSchedule, ScheduleView
from workbell.services.schedules.commands import BackfillPlan


@frozen(kw_only=True, slots=False)
class ScheduleFacts:
    """What is answered of a schedule in every style."""

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
class ScheduleBody(ScheduleFacts):
    """A schedule: one task, run whenever a cron expression fires."""

    last_status: Status | None


@frozen(kw_only=True, slots=False)
class InsightHubScheduleBody(ScheduleFacts):
    """A schedule, its last run in InsightHub's words."""

    last_status: InsightHubStatus | None


@frozen(kw_only=True, slots=False)
class InsightHubToggledBody(InsightHubScheduleBody):
    """A schedule, and in words which way it was switched."""

    message: str


@frozen(kw_only=True, slots=False)
class RunFacts:
    """What is answered of a schedule's run in every style."""

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
class RunBody(RunFacts):
    """One run of a schedule."""

    status: Status


@frozen(kw_only=True, slots=False)
class InsightHubRunBody(RunFacts):
    """One run of a schedule, in InsightHub's words."""

    status: InsightHubStatus


@frozen(kw_only=True, slots=False)
class UpcomingBody:
    """One run to come: in UTC, on the zone's clock, and what a clock change does to it."""

    at: datetime
    local: datetime
    note: ClockChange


@frozen(kw_only=True, slots=False)
class PreviewBody:
    """What an expression will do, in words and in runs."""

    words: str
    runs: Sequence[UpcomingBody]
    warnings: Sequence[str]
    smallest_gap: str | None


@frozen(kw_only=True, slots=False)
class BackfillSummary:
    """How many past runs a backfill comes to, and the first and the last of them."""

    count: int
    first: datetime | None
    last: datetime | None
    dry_run: bool


@frozen(kw_only=True, slots=False)
class BackfillBody:
    """What a backfill would do."""

    backfill: BackfillSummary


_Listed: Any = msgspec.defstruct(
    "_Listed", [(each.name, Any) for each in fields(ScheduleBody)], gc=False
)
"""The names of an answer, in the order in which a list has its values: sooner made than a dict."""


def listed_body(listed: ListedSchedule) -> Any:
    """Return a schedule of a list as it is answered: what `ScheduleBody` describes."""
    return _Listed(*listed[:-1])  # the last one, the task's key, is not told


def insighthub_listed_body(listed: ListedSchedule) -> dict[str, Any]:
    """Return the same as InsightHub's routes answer it: what `InsightHubScheduleBody` describes."""
    told = msgspec.structs.asdict(listed_body(listed))
    return {**told, "last_status": _a_word(listed.last_status)}


def schedule_body(view: ScheduleView) -> Any:
    """Return a schedule as it is answered."""
    return listed_body(ListedSchedule.from_view(view))


def insighthub_schedule_body(view: ScheduleView) -> dict[str, Any]:
    """Return a schedule as InsightHub's routes answer it."""
    return insighthub_listed_body(ListedSchedule.from_view(view))


def insighthub_toggled_body(view: ScheduleView, message: str) -> dict[str, Any]:
    """Return a schedule that was switched on or off: what `InsightHubToggledBody` describes."""
    return {**insighthub_schedule_body(view), "message": message}


def _a_word(status: Status | None) -> InsightHubStatus | None:
    return None if status is None else INSIGHTHUB_STATUSES[status]


def _run_facts(job: Job, view: ScheduleView) -> dict[str, Any]:
    took = job.ended_at - job.started_at if job.started_at and job.ended_at else None
    return {
        "id": job.id,
        "schedule_id": view.schedule.id,
        "task_name": view.task_name,
        "user_username": view.owner_username,
        "job_id": job.id,
        "started_at": job.started_at,
        "completed_at": job.ended_at,
        "result": job.result,
        "error_message": job.reason,
        "execution_time": None if took is None else write_duration(took),
        "duration_seconds": None if took is None else took / timedelta(seconds=1),
        "is_completed": job.state.ended,
    }


def run_body(job: Job, view: ScheduleView) -> RunBody:
    """Return a schedule's run as it is answered."""
    return RunBody(status=job.status, **_run_facts(job, view))


def insighthub_run_body(job: Job, view: ScheduleView) -> InsightHubRunBody:
    """Return a schedule's run as InsightHub's routes answer it."""
    return InsightHubRunBody(status=INSIGHTHUB_STATUSES[job.status], **_run_facts(job, view))


def preview_body(preview: Preview) -> PreviewBody:
    """Return a preview as it is answered."""
    gap = preview.smallest_gap
    return PreviewBody(
        words=preview.words,
        runs=[UpcomingBody(at=r.at, local=r.local, note=r.note) for r in preview.runs],
        warnings=preview.warnings,
        smallest_gap=None if gap is None else write_duration(gap),
    )


def backfill_summary(plan: BackfillPlan) -> BackfillSummary:
    """Return what a backfill comes to."""
    return BackfillSummary(count=plan.count, first=plan.first, last=plan.last, dry_run=plan.dry_run)
