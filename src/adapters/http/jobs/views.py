"""Response bodies of jobs and their results, tasks, queues and workers."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from attrs import frozen

from workbell.adapters.http.jobs.source_statuses import JOB_PROCESSING_STATUSES, JobProcessingStatus
from workbell.adapters.http.web.mapping import copy_fields
from workbell.domain.jobs.attempt import Attempt, Outcome, to_seconds
from workbell.domain.jobs.job import Job, JobOrigin, Status
from workbell.domain.jobs.task import Isolation, TaskDefinition


@frozen(kw_only=True, slots=False)
class JobProgressBody:
    """Progress of a running job; `total` is null if unknown."""

    done: float
    total: float | None
    note: str


@frozen(kw_only=True, slots=False)
class JobFields:
    """Fields of a job that all styles share."""

    id: int
    owner: int
    name: str
    description: str
    task_definition: str
    parameters: Mapping[str, Any]
    scheduled_time: datetime
    progress: JobProgressBody | None
    attempt: int
    max_attempts: int
    queue: str
    priority: int
    schedule_id: int | None
    rerun_of: int | None
    origin: JobOrigin
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    error_message: str | None


JobT = TypeVar("JobT", bound=JobFields)


@frozen(kw_only=True, slots=False)
class JobBody(JobFields):
    """
    One execution of a task, due at `scheduled_time`.

    A running job with `cancel_requested` stops at its next check.
    """

    status: Status
    cancel_requested: bool


@frozen(kw_only=True, slots=False)
class JobProcessingJobBody(JobFields):
    """A job with Job Processing's statuses."""

    status: JobProcessingStatus


@frozen(kw_only=True, slots=False)
class ResultBody:
    """The result of a completed job."""

    job: int
    output: Any
    error_message: str | None
    completed_at: datetime | None


@frozen(kw_only=True, slots=False)
class AttemptBody:
    """
    One attempt of a job; its end and outcome are null until it ends.

    `queue_wait_seconds` is the time from `queued_at`, when the job was ready to
    run, to `started_at`. `isolation` is where the task ran; null if the worker
    did not report the end. `traceback` shows where the task failed.
    """

    number: int
    queued_at: datetime | None
    started_at: datetime
    ended_at: datetime | None
    queue_wait_seconds: float | None
    duration_seconds: float | None
    outcome: Outcome | None
    worker: str | None
    isolation: Isolation | None
    error_message: str | None
    traceback: str | None


@frozen(kw_only=True, slots=False)
class LogLineBody:
    """One log line of a job; `seq` starts at 1 in each attempt."""

    attempt: int
    seq: int
    at: datetime
    level: str
    text: str


@frozen(kw_only=True, slots=False)
class ArtifactBody:
    """A file that a job created, with its download URL."""

    name: str
    media_type: str
    size: int
    sha256: str
    url: str


@frozen(kw_only=True, slots=False)
class DefinitionBody:
    """
    A task that can be scheduled, with the JSON Schema of its parameters.

    `parked_since` is set while workers run and none knows the task: its jobs are held.
    `held_jobs` counts the jobs that are held because of it, or are still to be released
    after it was activated, up to 10,000.
    """

    id: int
    key: str
    name: str
    description: str
    schema: Mapping[str, Any]
    input_schema: Mapping[str, str]
    input_fields: Sequence[str]
    is_active: bool
    parked_since: datetime | None
    held_jobs: int
    created_at: datetime


@frozen(kw_only=True, slots=False)
class QueueBody:
    """A queue (running, draining or paused), with its unfinished jobs."""

    name: str
    state: str
    scheduled: int
    held: int
    ready: int
    running: int
    oldest_ready_at: datetime | None


@frozen(kw_only=True, slots=False)
class WorkerBody:
    """
    A worker process, as of its last heartbeat (`seen_at`).

    `written_off` are threads that run a body whose attempt was closed, `knows`
    are the tasks that it can run, `excluded` those it cannot, with the time since
    when it leaves their jobs to other processes.
    """

    id: str
    host: str
    pid: int
    started_at: datetime
    seen_at: datetime
    threads: int
    running: int
    written_off: int
    queues: Sequence[str]
    knows: Sequence[str]
    excluded: Mapping[str, datetime]


@frozen(kw_only=True, slots=False)
class StatsBody:
    """
    Job counts by status and over the last hour, and schedule counts.

    Counts stop at 10,000, and those of the last hour are taken from the 10,000 newest
    jobs of each status; `count_capped` is true if one of them exceeds that.
    """

    by_status: Mapping[str, int]
    finished_last_hour: int
    failed_last_hour: int
    oldest_ready_at: datetime | None
    schedules_active: int
    schedules_overdue: int
    count_capped: bool


def make_job_body(cls: type[JobT], job: Job, **values: Any) -> JobT:
    """Return the body of a job in a class of `JobFields`."""
    return copy_fields(
        cls,
        job,
        task_definition=job.task,
        scheduled_time=job.due_at,
        progress=copy_fields(JobProgressBody, job.progress) if job.progress else None,
        completed_at=job.ended_at,
        error_message=job.reason,
        **values,
    )


def job_body(job: Job) -> JobBody:
    """Return the body of a job."""
    return make_job_body(JobBody, job)


def jobprocessing_job_body(job: Job) -> JobProcessingJobBody:
    """Return the Job Processing body of a job."""
    return make_job_body(JobProcessingJobBody, job, status=JOB_PROCESSING_STATUSES[job.status])


def attempt_body(attempt: Attempt) -> AttemptBody:
    """Return the body of an attempt."""
    return copy_fields(
        AttemptBody,
        attempt,
        queue_wait_seconds=to_seconds(attempt.queue_wait),
        duration_seconds=to_seconds(attempt.duration),
        error_message=attempt.error,
    )


def result_body(job: Job) -> ResultBody:
    """Return the result of a job."""
    return ResultBody(
        job=job.id, output=job.result, error_message=job.reason, completed_at=job.ended_at
    )


def definition_body(definition: TaskDefinition, held_jobs: int = 0) -> DefinitionBody:
    """Return the body of a task definition."""
    flat = definition.flat_schema()
    return copy_fields(
        DefinitionBody,
        definition,
        parked_since=definition.parked_at,
        held_jobs=held_jobs,
        input_schema=flat,
        input_fields=list(flat),
    )
