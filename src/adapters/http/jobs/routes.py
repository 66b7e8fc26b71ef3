"""Jobs over HTTP: enqueue, follow, cancel, retry, and see what came."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote

from attrs import frozen

from workbell.adapters.http.jobs.history import history
from workbell.adapters.http.jobs.task_filter import key_of
from workbell.adapters.http.jobs.views import (
    ArtifactBody,
    AttemptBody,
    JobBody,
    LogLineBody,
    ResultBody,
    artifact_body,
    attempt_body,
    job_body,
    log_line_body,
    result_body,
)
from workbell.adapters.http.web.operations import (
    Access,
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
)
from workbell.adapters.http.web.pagination import (
    Cursor,
    Ordering,
    PageNumber,
    PageSize,
    ordering,
    unpaged,
)
from workbell.adapters.http.web.query_types import TaskName, Text
from workbell.domain.constraints import Constraints
from workbell.domain.errors import Invalid
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.job import Job, JobId, JobOrigin, Status
from workbell.services.jobs.commands import JobService
from workbell.services.jobs.requests import NewJob
from workbell.services.jobs.task_definitions import TaskDefinitionService

BASE = "/api/v1/jobs"
ONE = BASE + "/{job_id}"
ORDERINGS: Mapping[str, str] = {
    "created_at": "created_at",
    "scheduled_time": "scheduled_time",
    "status": "status",
    "priority": "priority",
    "task_definition": "task",
    "name": "name",
    "queue": "queue",
}
ENDED_WELL_OR_NOT = (Status.SUCCEEDED, Status.FAILED)
SANDBOX = "sandbox; default-src 'none'; frame-ancestors 'none'"


@frozen(kw_only=True)
class JobFilters:
    """Which jobs to list; what is left out narrows nothing down. Each style has its statuses."""

    task_definition: TaskName | None = None
    queue: Text | None = None
    origin: Sequence[JobOrigin] | None = None
    schedule: int | None = None
    owner: int | None = None
    created_at__gte: datetime | None = None
    created_at__lte: datetime | None = None
    scheduled_time__gte: datetime | None = None
    scheduled_time__lte: datetime | None = None
    search: Text | None = None
    ordering: Ordering = ""
    page: PageNumber = 1
    page_size: PageSize = None
    cursor: Cursor = None
    status: Sequence[StrEnum] | None = None


@frozen(kw_only=True)
class JobQuery(JobFilters):
    """Which jobs to list, newest first unless ordered otherwise."""

    status: Sequence[Status] | None = None


@frozen(kw_only=True)
class ResultQuery:
    """Which results to list, those of the newest jobs first."""

    task_definition: TaskName | None = None
    page: PageNumber = 1
    page_size: PageSize = None
    cursor: Cursor = None


@frozen(kw_only=True)
class LogQuery:
    """Which lines of a job's log to show: after a `seq`, at most so many."""

    attempt: Annotated[int, Constraints(ge=1)] | None = None
    after: Annotated[int, Constraints(ge=0)] = 0
    limit: Annotated[int, Constraints(ge=1, le=1000)] = 1000


@frozen(kw_only=True)
class JobRoutes:
    """Jobs, shown in the form and the words of one style."""

    jobs: JobService
    definitions: TaskDefinitionService
    base: str = BASE
    show: Callable[[Job], Any] = job_body
    statuses: Callable[[Sequence[StrEnum] | None], Sequence[Any] | None] = lambda given: given

    def list(self, call: ApiRequest[object, JobFilters]) -> ApiResponse:
        """Return a page of the jobs that the query selects."""
        query = call.query
        filters = {
            "statuses": self.statuses(query.status),
            "task": self._task(query.task_definition),
            "queue": query.queue,
            "origins": query.origin,
            "schedule_id": query.schedule,
            "owner": _owner(call, query.owner),
            "created_from": query.created_at__gte,
            "created_to": query.created_at__lte,
            "due_from": query.scheduled_time__gte,
            "due_to": query.scheduled_time__lte,
            "search": query.search,
        }
        return history(call, self.jobs, query, filters, self.show, _order(query))

    def create(self, call: ApiRequest[NewJob]) -> ApiResponse:
        """Enqueue a job; the same key and body answer the first one's."""
        return self.enqueue(call, call.body)

    def enqueue(self, call: ApiRequest, new: NewJob) -> ApiResponse:
        """Enqueue a job under the request's idempotency key, if it has one."""
        job, _ = self.jobs.create(call.actor, new, idempotency_key=call.idempotency_key)
        location = {"Location": f"{self.base}/{job.id}"}
        return ApiResponse(status=201, body=self.show(job), headers=location)

    def get(self, call: ApiRequest) -> ApiResponse:
        """Return one job."""
        return ApiResponse(body=self.show(self.jobs.get(call.actor, _id(call))))

    def cancel(self, call: ApiRequest) -> ApiResponse:
        """Cancel a waiting job, or ask a running one to stop."""
        return ApiResponse(body=self.show(self.jobs.cancel(call.actor, _id(call))))

    def retry(self, call: ApiRequest) -> ApiResponse:
        """Try a failed or cancelled job once more; do a succeeded one again."""
        job, new = self.jobs.retry(call.actor, _id(call))
        headers = {"Location": f"{self.base}/{job.id}"} if new else {}
        return ApiResponse(status=201 if new else 200, body=self.show(job), headers=headers)

    def remove(self, call: ApiRequest) -> ApiResponse:
        """Cancel a job that has not ended; hide one that has."""
        self.jobs.remove(call.actor, _id(call))
        return ApiResponse(status=204)

    def result(self, call: ApiRequest) -> ApiResponse:
        """Return what came of a completed job."""
        return ApiResponse(body=result_body(self.jobs.result(call.actor, _id(call))))

    def results(self, call: ApiRequest[object, ResultQuery]) -> ApiResponse:
        """Return a page of what came of completed jobs."""
        query = call.query
        filters = {"statuses": ENDED_WELL_OR_NOT, "task": self._task(query.task_definition)}
        return history(call, self.jobs, query, filters, result_body)

    def attempts(self, call: ApiRequest) -> ApiResponse:
        """Return a job's attempts, oldest first."""
        found = self.jobs.attempts(call.actor, _id(call))
        return unpaged([attempt_body(attempt) for attempt in found])

    def logs(self, call: ApiRequest[object, LogQuery]) -> ApiResponse:
        """Return lines of a job's log, attempt by attempt."""
        query = call.query
        lines = self.jobs.logs(
            call.actor, _id(call), attempt=query.attempt, after=query.after, limit=query.limit
        )
        return unpaged([log_line_body(line) for line in lines])

    def artifacts(self, call: ApiRequest) -> ApiResponse:
        """Return the files that a job has made."""
        found = self.jobs.artifacts(call.actor, _id(call))
        shown = [artifact_body(file, f"{call.url}/{quote(file.name, safe='')}") for file in found]
        return unpaged(shown)

    def artifact(self, call: ApiRequest) -> ApiResponse:
        """Return the content of one of a job's files."""
        artifact, pieces = self.jobs.artifact(call.actor, _id(call), call.names["name"])
        return ApiResponse(
            body=pieces,
            media_type=_plain_media_type(artifact.media_type),
            headers={
                "Content-Length": str(artifact.size),
                "Content-Disposition": f"attachment; filename*=UTF-8''{quote(artifact.name, safe='')}",
                "Content-Security-Policy": SANDBOX,
            },
        )

    def _task(self, name: int | str | None) -> str | None:
        return None if name is None else key_of(self.definitions, name)


def _id(call: ApiRequest) -> JobId:
    return JobId(call.ids["job_id"])


def _owner(call: ApiRequest, owner: int | None) -> UserId | None:
    if owner is not None and not call.actor.is_super_user:
        raise Invalid.field("owner", "is for superusers only")
    return None if owner is None else UserId(owner)


def _order(query: JobFilters) -> Sequence[str]:
    if not query.ordering:
        return ("-id",)
    if query.cursor is not None:
        raise Invalid.field("ordering", "does not go with a cursor")
    return ordering(query.ordering, ORDERINGS, "ordering")


def _plain_media_type(media_type: str) -> str:
    """Return a task's own word for its file, unless it would not make a header."""
    fits = media_type.isascii() and media_type.isprintable() and "/" in media_type
    return media_type if fits else "application/octet-stream"


def operations(jobs: JobRoutes) -> Sequence[AnyOperation]:
    """Return the canonical operations on jobs."""
    return (*_commands(jobs), *_of_outcomes(jobs))


def _commands(jobs: JobRoutes) -> Sequence[AnyOperation]:
    own: dict[str, Any] = {"tag": "jobs", "who": Access.VERIFIED}
    return (
        Operation(
            method="GET", path=BASE, name="list_jobs", summary="List jobs, newest first.",
            handler=jobs.list, query=JobQuery, answers={200: ListOf(JobBody, history=True)},
            errors=(404,), **own,
        ),
        Operation(
            method="POST", path=BASE, name="create_job", summary="Enqueue a job.",
            handler=jobs.create, request=NewJob, answers={201: JobBody}, errors=(409,),
            idempotent=True, **own,
        ),
        Operation(
            method="GET", path=ONE, name="get_job", summary="Show a job.",
            handler=jobs.get, answers={200: JobBody}, **own,
        ),
        Operation(
            method="POST", path=f"{ONE}/cancel", name="cancel_job",
            summary="Cancel a waiting job, or ask a running one to stop.",
            handler=jobs.cancel, answers={200: JobBody}, errors=(409,), **own,
        ),
        Operation(
            method="POST", path=f"{ONE}/retry", name="retry_job",
            summary="Try a failed or cancelled job once more, or do a succeeded one again.",
            handler=jobs.retry, answers={200: JobBody, 201: JobBody}, errors=(409,), **own,
        ),
    )  # fmt: skip


def _of_outcomes(jobs: JobRoutes) -> Sequence[AnyOperation]:
    own: dict[str, Any] = {"tag": "jobs", "who": Access.VERIFIED}
    return (
        Operation(
            method="GET", path=f"{ONE}/result", name="get_job_result",
            summary="Show what came of a completed job.", handler=jobs.result,
            answers={200: ResultBody}, errors=(400,), **own,
        ),
        Operation(
            method="GET", path=f"{ONE}/logs", name="list_job_logs",
            summary="Show what a job has logged.", handler=jobs.logs, query=LogQuery,
            answers={200: ListOf(LogLineBody)}, **own,
        ),
        Operation(
            method="GET", path=f"{ONE}/attempts", name="list_job_attempts",
            summary="List a job's attempts, oldest first.", handler=jobs.attempts,
            answers={200: ListOf(AttemptBody)}, **own,
        ),
        Operation(
            method="GET", path=f"{ONE}/artifacts", name="list_job_artifacts",
            summary="List the files that a job has made.", handler=jobs.artifacts,
            answers={200: ListOf(ArtifactBody)}, **own,
        ),
        Operation(
            method="GET", path=f"{ONE}/artifacts/{{name}}", name="download_job_artifact",
            summary="Download a file that a job has made.", handler=jobs.artifact,
            media=("*/*",), **own,
        ),
        Operation(
            method="GET", path="/api/v1/job-results", name="list_job_results",
            summary="List what came of completed jobs.", handler=jobs.results,
            query=ResultQuery, answers={200: ListOf(ResultBody, history=True)},
            errors=(404,), **own,
        ),
    )  # fmt: skip
