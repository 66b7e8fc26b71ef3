"""Job Processing's routes: sign-in by email address, and jobs."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from attrs import Factory, evolve, frozen

from workbell.adapters.http.identity.auth import (
    EmailCodeBody,
    EmailLoginBody,
    EmailPasswordBody,
    MessageBody,
    TokenPairBody,
    message_response,
)
from workbell.adapters.http.jobs.routes import JobFilters, JobRoutes, ResultQuery
from workbell.adapters.http.jobs.source_statuses import (
    JOB_PROCESSING_STATUSES,
    JobProcessingStatus,
    matching_statuses,
)
from workbell.adapters.http.jobs.views import (
    JobProcessingJobBody,
    ResultBody,
    jobprocessing_job_body,
)
from workbell.adapters.http.web.mapping import copy_fields
from workbell.adapters.http.web.operations import (
    Access,
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
    Style,
)
from workbell.adapters.http.web.query_types import TaskReference
from workbell.domain.constraints import Constraints, Instant
from workbell.services.identity.login import LoginService
from workbell.services.identity.registration import RegistrationService
from workbell.services.jobs.requests import NewJob

BASE = "/api/jobs"
ONE = BASE + "/{job_id}"
STYLE: Mapping[str, Any] = {"style": Style.JOB_PROCESSING, "tag": "Job Processing"}


@frozen(kw_only=True)
class JobProcessingNewJob:
    """A job with a name and a scheduled time."""

    name: Annotated[str, Constraints(min_length=1, max_length=255)]
    scheduled_time: Instant
    description: Annotated[str, Constraints(max_length=10_000)] = ""
    task_definition: TaskReference = "echo"
    parameters: Mapping[str, Any] = Factory(dict[str, Any])


@frozen(kw_only=True)
class JobProcessingJobQuery(JobFilters):
    """Filters, ordering and page of a list of jobs; newest first by default."""

    status: Sequence[JobProcessingStatus] | None = None


@frozen(kw_only=True)
class JobProcessingAuthRoutes:
    """Registration and sign-in of the Job Processing API."""

    identity: RegistrationService
    login_service: LoginService

    def register(self, request: ApiRequest[EmailPasswordBody]) -> ApiResponse:
        """Create an account; the response is the same if the address has one."""
        data = request.body
        self.identity.register_without_disclosure(data.email, data.password, request.client_info)
        return message_response("If the address is not registered yet, a code has been sent.", 201)

    def verify(self, request: ApiRequest[EmailCodeBody]) -> ApiResponse:
        """Verify an email address by the emailed code."""
        self.identity.verify_otp(request.body.email, request.body.code, request.client_info)
        return message_response("The email address is verified; you can sign in now.")

    def login(self, request: ApiRequest[EmailLoginBody]) -> ApiResponse:
        """Sign in a user whose email address is verified."""
        data = request.body
        login = self.login_service.login(
            data.email, data.password, request.client_info, code=data.code, require_verified=True
        )
        return ApiResponse(body=copy_fields(TokenPairBody, login))


@frozen(kw_only=True)
class JobProcessingJobRoutes:
    """Creation of jobs in the Job Processing API."""

    jobs: JobRoutes

    def create(self, request: ApiRequest[JobProcessingNewJob]) -> ApiResponse:
        """Enqueue a job; without a task it runs the built-in `echo`."""
        return self.jobs.enqueue(request, copy_fields(NewJob, request.body))


def identity_operations(own: JobProcessingAuthRoutes) -> Sequence[AnyOperation]:
    """Return the routes under /api/ for registration and sign-in."""
    style = {**STYLE, "access": Access.ANYONE}
    verifications = [
        Operation(
            method="POST", path=f"/api/{path}", name=f"jobprocessing_{path.replace('-', '_')}",
            summary="Verify an email address with the emailed code.", handler=own.verify,
            request=EmailCodeBody, responses={200: MessageBody}, **style,
        )
        for path in ("verify-otp", "verify-email")
    ]  # fmt: skip
    return (
        Operation(
            method="POST", path="/api/register", name="jobprocessing_register",
            summary="Create an account; a verification code is sent to the email address.",
            handler=own.register, request=EmailPasswordBody, responses={201: MessageBody}, **style,
        ),
        *verifications,
        Operation(
            method="POST", path="/api/login", name="jobprocessing_login",
            summary="Sign in with an email address, and get an access and a refresh token.",
            handler=own.login, request=EmailLoginBody, responses={200: TokenPairBody},
            errors=(401, 403), **style,
        ),
    )  # fmt: skip


def job_operations(canonical: JobRoutes) -> Sequence[AnyOperation]:
    """Return the routes under /api/jobs/ and /api/job-results/."""
    statuses = partial(matching_statuses, JOB_PROCESSING_STATUSES)
    jobs = evolve(canonical, base=BASE, show=jobprocessing_job_body, statuses=statuses)
    own = JobProcessingJobRoutes(jobs=jobs)
    style = {**STYLE, "access": Access.VERIFIED}
    return (
        Operation(
            method="GET", path=BASE, name="jobprocessing_list_jobs",
            summary="List jobs, newest first.", handler=jobs.list, query=JobProcessingJobQuery,
            responses={200: ListOf(JobProcessingJobBody, history=True, windowed=True)}, errors=(404,), **style,
        ),
        Operation(
            method="POST", path=BASE, name="jobprocessing_create_job", summary="Enqueue a job.",
            handler=own.create, request=JobProcessingNewJob, responses={201: JobProcessingJobBody},
            errors=(409,), idempotent=True, **style,
        ),
        Operation(
            method="GET", path=ONE, name="jobprocessing_get_job", summary="Get a job.",
            handler=jobs.get, responses={200: JobProcessingJobBody}, **style,
        ),
        Operation(
            method="DELETE", path=ONE, name="jobprocessing_delete_job",
            summary="Cancel an unfinished job, or hide a finished one.",
            handler=jobs.remove, responses={204: None}, errors=(409,), **style,
        ),
        Operation(
            method="GET", path=f"{ONE}/result", name="jobprocessing_get_job_result",
            summary="Get the result of a completed job.", handler=jobs.result,
            responses={200: ResultBody}, errors=(400,), **style,
        ),
        Operation(
            method="GET", path="/api/job-results", name="jobprocessing_list_job_results",
            summary="List the results of completed jobs, newest first.", handler=jobs.results,
            query=ResultQuery, responses={200: ListOf(ResultBody, history=True, windowed=True)},
            errors=(404,), **style,
        ),
    )  # fmt: skip
