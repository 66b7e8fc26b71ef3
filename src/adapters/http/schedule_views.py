"""Schedules as they are answered: themselves, their runs, and previews."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import frozen

from ...domain.cron import DstGap, DstOverlap, Note
from ...domain.cron_preview import Preview
from ...domain.jobs import Job, Status
from ...domain.scheduling import MisfirePolicy, OverlapPolicy
from ...ports.scheduling import ScheduleView
from ...services.scheduling import BackfillPlan
from ..json_values import write_duration
from .words import A_WORDS, AStatus


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
class AScheduleBody(ScheduleFacts):
    """A schedule, its last run in source A's words."""

    last_status: AStatus | None


@frozen(kw_only=True, slots=False)
class AToggledBody(AScheduleBody):
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
class ARunBody(RunFacts):
    """One run of a schedule, in source A's words."""

    status: AStatus


@frozen(kw_only=True, slots=False)
class UpcomingBody:
    """One run to come: in UTC, on the zone's clock, and what a clock change does to it."""

    at: datetime
    local: datetime
    note: Note


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


def _facts(view: ScheduleView) -> dict[str, Any]:
    schedule = view.schedule
    return {
        "id": schedule.id,
        "user_id": schedule.owner,
        "user_username": view.owner_username,
        "user_full_name": view.owner_full_name,
        "task_definition_id": view.task_id,
        "task_definition_name": view.task_name,
        "task_definition_description": view.task_description,
        "name": schedule.name,
        "cron_expression": schedule.cron.line,
        "time_zone": schedule.cron.zone,
        "parameters": schedule.parameters,
        "is_active": schedule.is_active,
        "misfire_policy": schedule.misfire_policy,
        "overlap_policy": schedule.overlap_policy,
        "dst_gap": schedule.cron.dst_gap,
        "dst_overlap": schedule.cron.dst_overlap,
        "starts_at": schedule.starts_at,
        "ends_at": schedule.ends_at,
        "max_runs": schedule.max_runs,
        "jitter_seconds": schedule.jitter_seconds,
        "queue": schedule.queue,
        "priority": schedule.priority,
        "max_attempts": schedule.max_attempts,
        "timeout_seconds": schedule.timeout_seconds,
        "alert_after_seconds": schedule.alert_after_seconds,
        "overdue_since": schedule.overdue_since,
        "next_run_time": schedule.next_at,
        "last_run_time": view.last_run_time,
        "paused_reason": schedule.paused_reason,
        "created_at": schedule.created_at,
        "updated_at": schedule.updated_at,
        "version": schedule.version,
    }


def schedule_body(view: ScheduleView) -> ScheduleBody:
    """Return a schedule as it is answered."""
    return ScheduleBody(last_status=view.last_status, **_facts(view))


def a_schedule_body(view: ScheduleView) -> AScheduleBody:
    """Return a schedule as source A's routes answer it."""
    return AScheduleBody(last_status=_a_word(view.last_status), **_facts(view))


def a_toggled_body(view: ScheduleView, message: str) -> AToggledBody:
    """Return a schedule that was switched on or off."""
    return AToggledBody(message=message, last_status=_a_word(view.last_status), **_facts(view))


def _a_word(status: Status | None) -> AStatus | None:
    return None if status is None else A_WORDS[status]


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


def a_run_body(job: Job, view: ScheduleView) -> ARunBody:
    """Return a schedule's run as source A's routes answer it."""
    return ARunBody(status=A_WORDS[job.status], **_run_facts(job, view))


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
