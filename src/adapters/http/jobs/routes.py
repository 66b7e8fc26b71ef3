"""Jobs over HTTP: enqueue, list, cancel, retry, results, logs and files."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote

from attrs import frozen

from workbell.adapters.http.jobs.history import StatusQuery, job_page
from workbell.adapters.http.jobs.task_filter import get_task_key
from workbell.adapters.http.jobs.views import (
    ArtifactBody,
    AttemptBody,
    JobBody,
    LogLineBody,
    ResultBody,
    attempt_body,
    job_body,
    result_body,
)
from workbell.adapters.http.web.mapping import copy_fields
from workbell.adapters.http.web.operations import (
    Access,
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
)
from workbell.adapters.http.web.pagination import CursorQuery, Ordering, unpaged
from workbell.adapters.http.web.query_types import FilterText, TaskReference
from workbell.domain.constraints import Constraints, Instant
from workbell.domain.errors import Invalid
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.job import Job, JobId, JobOrigin, Status
from workbell.domain.list_filters import parse_ordering
from workbell.services.jobs.commands import JobService
from workbell.services.jobs.requests import NewJob
from workbell.services.jobs.task_definitions import TaskDefinitionService

BASE = "/api/v1/jobs"
ONE = BASE + "/{job_id}"
SHARED: Mapping[str, Any] = {"tag": "jobs", "access": Access.VERIFIED}
ORDERINGS: Mapping[str, str] = {
    "created_at": "created_at",
    "scheduled_time": "scheduled_time",
    "status": "status",
    "priority": "priority",
    "task_definition": "task",
    "name": "name",
    "queue": "queue",
}
COMPLETED = (Status.SUCCEEDED, Status.FAILED)
SANDBOX_CSP = "sandbox; default-src 'none'; frame-ancestors 'none'"


@frozen(kw_only=True)
class JobFilters(StatusQuery):
    """Filters (combined with AND), ordering and page of a list of jobs."""

    task_definition: TaskReference | None = None
    queue: FilterText | None = None
    origin: Sequence[JobOrigin] | None = None
    schedule: int | None = None
    owner: int | None = None
    created_at__gte: Instant | None = None
    created_at__lte: Instant | None = None
    scheduled_time__gte: Instant | None = None
    scheduled_time__lte: Instant | None = None
    search: FilterText | None = None
    ordering: Ordering = ""


@frozen(kw_only=True)
class JobQuery(JobFilters):
    """Filters, ordering and page of a list of jobs; newest first by default."""

    status: Sequence[Status] | None = None


@frozen(kw_only=True)
class ResultQuery(CursorQuery):
    """Filter and page of a list of results."""

    task_definition: TaskReference | None = None


@frozen(kw_only=True)
class LogQuery:
    """Log lines with a `seq` greater than `after`, at most `limit`."""

    attempt: Annotated[int, Constraints(ge=1)] | None = None
    after: Annotated[int, Constraints(ge=0)] = 0
    limit: Annotated[int, Constraints(ge=1, le=1000)] = 1000


@frozen(kw_only=True)
class JobRoutes:
    """Jobs in one style: base path, response bodies and statuses."""

    jobs: JobService
    definitions: TaskDefinitionService
    base: str = BASE
    show: Callable[[Job], Any] = job_body
    statuses: Callable[[Sequence[StrEnum] | None], Sequence[Any] | None] = lambda given: given

    def list(self, request: ApiRequest[object, JobFilters]) -> ApiResponse:
        """Return a page of the jobs that match the query."""
        query = request.query
        filters = {
            "statuses": self.statuses(query.status),
            "task": self._task(query.task_definition),
            "queue": query.queue,
            "origins": query.origin,
            "schedule_id": query.schedule,
            "owner": _owner(request, query.owner),
            "created_from": query.created_at__gte,
            "created_to": query.created_at__lte,
            "due_from": query.scheduled_time__gte,
            "due_to": query.scheduled_time__lte,
            "search": query.search,
        }
        return job_page(request, self.jobs, query, filters, self.show, _order(query))

    def create(self, request: ApiRequest[NewJob]) -> ApiResponse:
        """Enqueue a job."""
        return self.enqueue(request, request.body)

    def enqueue(self, request: ApiRequest, new: NewJob) -> ApiResponse:
        """Enqueue a job, or return the job of the same idempotency key."""
        job, _ = self.jobs.create(request.actor, new, idempotency_key=request.idempotency_key)
        location = {"Location": f"{self.base}/{job.id}"}
        return ApiResponse(status=201, body=self.show(job), headers=location)

    def get(self, request: ApiRequest) -> ApiResponse:
        """Return one job."""
        return ApiResponse(body=self.show(self.jobs.get(request.actor, _id(request))))

    def cancel(self, request: ApiRequest) -> ApiResponse:
        """Cancel a waiting job, or request cancellation of a running one."""
        return ApiResponse(body=self.show(self.jobs.cancel(request.actor, _id(request))))

    def retry(self, request: ApiRequest) -> ApiResponse:
        """Retry a failed or cancelled job; copy a succeeded one into a new job."""
        job, new = self.jobs.retry(request.actor, _id(request))
        headers = {"Location": f"{self.base}/{job.id}"} if new else {}
        return ApiResponse(status=201 if new else 200, body=self.show(job), headers=headers)

    def remove(self, request: ApiRequest) -> ApiResponse:
        """Cancel an unfinished job, or hide a finished one."""
        self.jobs.remove(request.actor, _id(request))
        return ApiResponse(status=204)

    def result(self, request: ApiRequest) -> ApiResponse:
        """Return the result of a completed job."""
        return ApiResponse(body=result_body(self.jobs.result(request.actor, _id(request))))

    def results(self, request: ApiRequest[object, ResultQuery]) -> ApiResponse:
        """Return a page of the results of completed jobs."""
        query = request.query
        filters = {"statuses": COMPLETED, "task": self._task(query.task_definition)}
        return job_page(request, self.jobs, query, filters, result_body)

    def attempts(self, request: ApiRequest) -> ApiResponse:
        """Return a job's attempts, oldest first."""
        attempts = self.jobs.attempts(request.actor, _id(request))
        return unpaged([attempt_body(attempt) for attempt in attempts])

    def logs(self, request: ApiRequest[object, LogQuery]) -> ApiResponse:
        """Return log lines of a job, ordered by attempt and `seq`."""
        query = request.query
        lines = self.jobs.logs(
            request.actor, _id(request), attempt=query.attempt, after=query.after, limit=query.limit
        )
        return unpaged([copy_fields(LogLineBody, line) for line in lines])

    def artifacts(self, request: ApiRequest) -> ApiResponse:
        """Return the files that a job created."""
        files = self.jobs.artifacts(request.actor, _id(request))
        bodies = [
            copy_fields(ArtifactBody, file, url=f"{request.url}/{quote(file.name, safe='')}")
            for file in files
        ]
        return unpaged(bodies)

    def artifact(self, request: ApiRequest) -> ApiResponse:
        """Return the content of one of a job's files."""
        artifact, chunks = self.jobs.artifact(request.actor, _id(request), request.names["name"])
        return ApiResponse(
            body=chunks,
            media_type=_safe_media_type(artifact.media_type),
            headers={
                "Content-Length": str(artifact.size),
                "Content-Disposition": f"attachment; filename*=UTF-8''{quote(artifact.name, safe='')}",
                "Content-Security-Policy": SANDBOX_CSP,
            },
        )

    def _task(self, name: int | str | None) -> str | None:
        return None if name is None else get_task_key(self.definitions, name)


def _id(request: ApiRequest) -> JobId:
    return JobId(request.ids["job_id"])


def _owner(request: ApiRequest, owner: int | None) -> UserId | None:
    if owner is not None and not request.actor.is_super_user:
        raise Invalid.field("owner", "is for superusers only")
    return None if owner is None else UserId(owner)


def _order(query: JobFilters) -> Sequence[str]:
    if not query.ordering:
        return ("-id",)
    if query.cursor is not None:
        raise Invalid.field("ordering", "cannot be combined with cursor")
    return parse_ordering(query.ordering, ORDERINGS, "ordering")


def _safe_media_type(media_type: str) -> str:
    """Return the media type if it is a valid header value, else octet-stream."""
    is_valid = media_type.isascii() and media_type.isprintable() and "/" in media_type
    return media_type if is_valid else "application/octet-stream"


def operations(routes: JobRoutes) -> Sequence[AnyOperation]:
    """Return the canonical operations on jobs."""
    return (*_job_operations(routes), *_result_operations(routes))


def _job_operations(routes: JobRoutes) -> Sequence[AnyOperation]:
    return (
        Operation(
            method="GET", path=BASE, name="list_jobs", summary="List jobs, newest first.",
            handler=routes.list, query=JobQuery, responses={200: ListOf(JobBody, history=True, windowed=True)},
            errors=(404,), **SHARED,
        ),
        Operation(
            method="POST", path=BASE, name="create_job",
            summary="Enqueue a job; a repeated Idempotency-Key returns the first request's job.",
            handler=routes.create, request=NewJob, responses={201: JobBody}, errors=(409,),
            idempotent=True, **SHARED,
        ),
        Operation(
            method="GET", path=ONE, name="get_job", summary="Get a job.",
            handler=routes.get, responses={200: JobBody}, **SHARED,
        ),
        Operation(
            method="POST", path=f"{ONE}/cancel", name="cancel_job",
            summary="Cancel a waiting job, or request cancellation of a running one.",
            handler=routes.cancel, responses={200: JobBody}, errors=(409,), **SHARED,
        ),
        Operation(
            method="POST", path=f"{ONE}/retry", name="retry_job",
            summary="Retry a failed or cancelled job, or rerun a succeeded one as a new job.",
            handler=routes.retry, responses={200: JobBody, 201: JobBody}, errors=(409,), **SHARED,
        ),
    )  # fmt: skip


def _result_operations(routes: JobRoutes) -> Sequence[AnyOperation]:
    return (
        Operation(
            method="GET", path=f"{ONE}/result", name="get_job_result",
            summary="Get the result of a completed job.", handler=routes.result,
            responses={200: ResultBody}, errors=(400,), **SHARED,
        ),
        Operation(
            method="GET", path=f"{ONE}/logs", name="list_job_logs",
            summary="List a job's log lines.", handler=routes.logs, query=LogQuery,
            responses={200: ListOf(LogLineBody)}, **SHARED,
        ),
        Operation(
            method="GET", path=f"{ONE}/attempts", name="list_job_attempts",
            summary="List a job's attempts with timings and tracebacks, oldest first.", handler=routes.attempts,
            responses={200: ListOf(AttemptBody)}, **SHARED,
        ),
        Operation(
            method="GET", path=f"{ONE}/artifacts", name="list_job_artifacts",
            summary="List the files that a job created.", handler=routes.artifacts,
            responses={200: ListOf(ArtifactBody)}, **SHARED,
        ),
        Operation(
            method="GET", path=f"{ONE}/artifacts/{{name}}", name="download_job_artifact",
            summary="Download a file that a job created.", handler=routes.artifact,
            media_types=("*/*",), **SHARED,
        ),
        Operation(
            method="GET", path="/api/v1/job-results", name="list_job_results",
            summary="List the results of completed jobs, newest first.", handler=routes.results,
            query=ResultQuery, responses={200: ListOf(ResultBody, history=True, windowed=True)},
            errors=(404,), **SHARED,
        ),
    )  # fmt: skip
