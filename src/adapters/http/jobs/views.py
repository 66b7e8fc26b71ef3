"""Jobs as they are answered: with results, attempts, logs and files."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import frozen

from workbell.adapters.http.jobs.source_statuses import JOB_PROCESSING_STATUSES, JobProcessingStatus
from workbell.domain.jobs.attempt import Artifact, Attempt, LogLine, Outcome
from workbell.domain.jobs.job import Job, JobOrigin, Status
from workbell.domain.jobs.task import TaskDefinition
from workbell.ports.jobs.queues import JobStats, QueueStats, WorkerInfo


@frozen(kw_only=True, slots=False)
class JobProgressBody:
    """How far a job is; `total` is null where nobody knows."""

    done: float
    total: float | None
    note: str


@frozen(kw_only=True, slots=False)
class JobFacts:
    """What is answered of a job in every style."""

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


@frozen(kw_only=True, slots=False)
class JobBody(JobFacts):
    """A piece of work, due at a time."""

    status: Status


@frozen(kw_only=True, slots=False)
class JobProcessingJobBody(JobFacts):
    """A piece of work, in Job Processing's words."""

    status: JobProcessingStatus


@frozen(kw_only=True, slots=False)
class ResultBody:
    """What came of a completed job."""

    job: int
    output: Any
    error_message: str | None
    completed_at: datetime | None


@frozen(kw_only=True, slots=False)
class AttemptBody:
    """One try of a job; a running one has neither end nor outcome."""

    number: int
    queued_at: datetime | None
    started_at: datetime
    ended_at: datetime | None
    outcome: Outcome | None
    error_message: str | None
    worker: str | None


@frozen(kw_only=True, slots=False)
class LogLineBody:
    """One line that a job's body logged; `seq` counts from 1 within the attempt."""

    attempt: int
    seq: int
    at: datetime
    level: str
    text: str


@frozen(kw_only=True, slots=False)
class ArtifactBody:
    """A file that a job made, and where to download it."""

    name: str
    media_type: str
    size: int
    sha256: str
    url: str


@frozen(kw_only=True, slots=False)
class DefinitionBody:
    """A task that can be scheduled, with the JSON Schema of its parameters."""

    id: int
    key: str
    name: str
    description: str
    schema: Mapping[str, Any]
    input_schema: Mapping[str, str]
    input_fields: Sequence[str]
    is_active: bool
    created_at: datetime


@frozen(kw_only=True, slots=False)
class QueueBody:
    """A queue: its switch, and how many jobs stand where."""

    name: str
    state: str
    scheduled: int
    held: int
    ready: int
    running: int
    oldest_ready_at: datetime | None


@frozen(kw_only=True, slots=False)
class WorkerBody:
    """A process that runs jobs, as it last told of itself."""

    id: str
    host: str
    pid: int
    started_at: datetime
    seen_at: datetime
    threads: int
    running: int
    queues: Sequence[str]


@frozen(kw_only=True, slots=False)
class StatsBody:
    """How many jobs stand in each state, and how the finished ones went."""

    by_status: Mapping[str, int]
    finished_last_hour: int
    failed_last_hour: int
    oldest_ready_at: datetime | None
    schedules_active: int
    schedules_overdue: int


def job_facts(job: Job) -> dict[str, Any]:
    """Return what is answered of a job in every style, by field."""
    at = job.progress
    return {
        "id": job.id,
        "owner": job.owner,
        "name": job.name,
        "description": job.description,
        "task_definition": job.task,
        "parameters": job.parameters,
        "scheduled_time": job.due_at,
        "progress": JobProgressBody(done=at.done, total=at.total, note=at.note) if at else None,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "queue": job.queue,
        "priority": job.priority,
        "schedule_id": job.schedule_id,
        "rerun_of": job.rerun_of,
        "origin": job.origin,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "completed_at": job.ended_at,
        "error_message": job.reason,
    }


def job_body(job: Job) -> JobBody:
    """Return a job as it is answered."""
    return JobBody(status=job.status, **job_facts(job))


def jobprocessing_job_body(job: Job) -> JobProcessingJobBody:
    """Return a job as Job Processing's routes answer it."""
    return JobProcessingJobBody(status=JOB_PROCESSING_STATUSES[job.status], **job_facts(job))


def result_body(job: Job) -> ResultBody:
    """Return what came of a job."""
    return ResultBody(
        job=job.id, output=job.result, error_message=job.reason, completed_at=job.ended_at
    )


def attempt_body(attempt: Attempt) -> AttemptBody:
    """Return one try of a job."""
    return AttemptBody(
        number=attempt.number,
        queued_at=attempt.queued_at,
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        outcome=attempt.outcome,
        error_message=attempt.error,
        worker=attempt.worker,
    )


def log_line_body(line: LogLine) -> LogLineBody:
    """Return one line of a job's log."""
    return LogLineBody(
        attempt=line.attempt, seq=line.seq, at=line.at, level=line.level, text=line.text
    )


def artifact_body(artifact: Artifact, url: str) -> ArtifactBody:
    """Return a file that a job made; `url` is where it is downloaded."""
    return ArtifactBody(
        name=artifact.name,
        media_type=artifact.media_type,
        size=artifact.size,
        sha256=artifact.sha256,
        url=url,
    )


def definition_body(definition: TaskDefinition) -> DefinitionBody:
    """Return a task as it is answered."""
    flat = definition.flat_schema()
    return DefinitionBody(
        id=definition.id,
        key=definition.key,
        name=definition.name,
        description=definition.description,
        schema=definition.schema,
        input_schema=flat,
        input_fields=list(flat),
        is_active=definition.is_active,
        created_at=definition.created_at,
    )


def queue_body(queue: QueueStats) -> QueueBody:
    """Return a queue as it is answered."""
    return QueueBody(
        name=queue.name,
        state=queue.state,
        scheduled=queue.scheduled,
        held=queue.held,
        ready=queue.ready,
        running=queue.running,
        oldest_ready_at=queue.oldest_ready_at,
    )


def worker_body(worker: WorkerInfo) -> WorkerBody:
    """Return a process that runs jobs."""
    return WorkerBody(
        id=worker.id,
        host=worker.host,
        pid=worker.pid,
        started_at=worker.started_at,
        seen_at=worker.seen_at,
        threads=worker.threads,
        running=worker.running,
        queues=worker.queues,
    )


def stats_body(stats: JobStats) -> StatsBody:
    """Return counts of jobs."""
    return StatsBody(
        by_status=stats.by_status,
        finished_last_hour=stats.finished_last_hour,
        failed_last_hour=stats.failed_last_hour,
        oldest_ready_at=stats.oldest_ready_at,
        schedules_active=stats.schedules_active,
        schedules_overdue=stats.schedules_overdue,
    )
