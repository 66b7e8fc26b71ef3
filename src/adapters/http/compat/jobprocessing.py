"""Job Processing's routes: sign-in by address, and jobs in its own words."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from attrs import Factory, evolve, field, frozen

from workbell.adapters.http.identity.auth import (
    Code,
    EmailAddress,
    EmailCodeBody,
    MessageBody,
    Secret,
    TokenPairBody,
    token_pair_body,
)
from workbell.adapters.http.jobs.routes import JobFilters, JobRoutes, ResultQuery
from workbell.adapters.http.jobs.source_statuses import (
    JOB_PROCESSING_STATUSES,
    JobProcessingStatus,
)
from workbell.adapters.http.jobs.views import (
    JobProcessingJobBody,
    ResultBody,
    jobprocessing_job_body,
)
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
from workbell.domain.constraints import Constraints
from workbell.services.identity.login import LoginService
from workbell.services.identity.registration import RegistrationService
from workbell.services.jobs.requests import NewJob

BASE = "/api/jobs"
ONE = BASE + "/{job_id}"
REGISTERED = "If the address was not registered yet, a code is on its way to it."
VERIFIED = "The e-mail address is verified; you can sign in now."


@frozen(kw_only=True)
class JobProcessingAccountBody:
    """An address and a password."""

    email: EmailAddress
    password: Secret = field(repr=False)


@frozen(kw_only=True)
class JobProcessingLoginBody(JobProcessingAccountBody):
    """An address and a password, and a code if need be."""

    code: Code = field(default="", repr=False)


@frozen(kw_only=True)
class JobProcessingNewJob:
    """A job with a name, to be run at a time."""

    name: Annotated[str, Constraints(min_length=1, max_length=255)]
    scheduled_time: datetime
    description: Annotated[str, Constraints(max_length=10_000)] = ""
    task_definition: TaskReference = "echo"
    parameters: Mapping[str, Any] = Factory(dict[str, Any])


@frozen(kw_only=True)
class JobProcessingJobQuery(JobFilters):
    """Which jobs to list, newest first unless ordered otherwise."""

    status: Sequence[JobProcessingStatus] | None = None


@frozen(kw_only=True)
class JobProcessingAuthRoutes:
    """Registering and signing in by address, in Job Processing's shapes."""

    identity: RegistrationService
    signing_in: LoginService

    def register(self, request: ApiRequest[JobProcessingAccountBody]) -> ApiResponse:
        """Register somebody, and answer the same whether the address was known."""
        self.identity.register_without_disclosure(
            request.body.email, request.body.password, request.origin
        )
        return ApiResponse(status=201, body=MessageBody(message=REGISTERED))

    def verify(self, request: ApiRequest[EmailCodeBody]) -> ApiResponse:
        """Verify an address by the mailed code."""
        data = request.body
        self.identity.verify_otp(data.email, data.code, request.origin)
        return ApiResponse(body=MessageBody(message=VERIFIED))

    def login(self, request: ApiRequest[JobProcessingLoginBody]) -> ApiResponse:
        """Sign in somebody whose address is verified."""
        found = self.signing_in.login(
            request.body.email,
            request.body.password,
            request.origin,
            code=request.body.code,
            require_verified=True,
        )
        return ApiResponse(body=token_pair_body(found))


@frozen(kw_only=True)
class JobProcessingJobRoutes:
    """What Job Processing asks of a new job."""

    jobs: JobRoutes

    def create(self, request: ApiRequest[JobProcessingNewJob]) -> ApiResponse:
        """Enqueue a job; without a task it runs the built-in `echo`."""
        data = request.body
        new = NewJob(
            name=data.name,
            description=data.description,
            task_definition=data.task_definition,
            parameters=data.parameters,
            scheduled_time=data.scheduled_time,
        )
        return self.jobs.enqueue(request, new)


def make_job_routes(jobs: JobRoutes) -> JobRoutes:
    """Return the canonical resource, showing jobs as Job Processing does."""
    return evolve(
        jobs,
        base=BASE,
        show=jobprocessing_job_body,
        statuses=partial(statuses, JOB_PROCESSING_STATUSES),
    )


def identity_operations(own: JobProcessingAuthRoutes) -> Sequence[AnyOperation]:
    """Return the routes under /api/ that sign people in."""
    style: dict[str, Any] = {
        "style": Style.JOB_PROCESSING,
        "tag": "Job Processing",
        "access": Access.ANYONE,
    }
    verifies = [
        Operation(
            method="POST", path=f"/api/{path}", name=f"jobprocessing_{path.replace('-', '_')}",
            summary="Verify an e-mail address by the mailed code.", handler=own.verify,
            request=EmailCodeBody, responses={200: MessageBody}, **style,
        )
        for path in ("verify-otp", "verify-email")
    ]  # fmt: skip
    return (
        Operation(
            method="POST", path="/api/register", name="jobprocessing_register", summary="Register.",
            handler=own.register, request=JobProcessingAccountBody, responses={201: MessageBody}, **style,
        ),
        *verifies,
        Operation(
            method="POST", path="/api/login", name="jobprocessing_login", summary="Sign in.",
            handler=own.login, request=JobProcessingLoginBody, responses={200: TokenPairBody},
            errors=(401, 403), **style,
        ),
    )  # fmt: skip


def job_operations(jobs: JobRoutes, own: JobProcessingJobRoutes) -> Sequence[AnyOperation]:
    """Return the routes under /api/jobs/ and /api/job-results/."""
    style: dict[str, Any] = {
        "style": Style.JOB_PROCESSING,
        "tag": "Job Processing",
        "access": Access.VERIFIED,
    }
    return (
        Operation(
            method="GET", path=BASE, name="jobprocessing_list_jobs", summary="List jobs, newest first.",
            handler=jobs.list, query=JobProcessingJobQuery, responses={200: ListOf(JobProcessingJobBody, history=True)},
            errors=(404,), **style,
        ),
        Operation(
            method="POST", path=BASE, name="jobprocessing_create_job", summary="Enqueue a job.",
            handler=own.create, request=JobProcessingNewJob, responses={201: JobProcessingJobBody}, errors=(409,),
            idempotent=True, **style,
        ),
        Operation(
            method="GET", path=ONE, name="jobprocessing_get_job", summary="Show a job.",
            handler=jobs.get, responses={200: JobProcessingJobBody}, **style,
        ),
        Operation(
            method="DELETE", path=ONE, name="jobprocessing_delete_job",
            summary="Cancel a job that has not ended; hide one that has.",
            handler=jobs.remove, responses={204: None}, errors=(409,), **style,
        ),
        Operation(
            method="GET", path=f"{ONE}/result", name="jobprocessing_get_job_result",
            summary="Show what came of a completed job.", handler=jobs.result,
            responses={200: ResultBody}, errors=(400,), **style,
        ),
        Operation(
            method="GET", path="/api/job-results", name="jobprocessing_list_job_results",
            summary="List what came of completed jobs.", handler=jobs.results,
            query=ResultQuery, responses={200: ListOf(ResultBody, history=True)},
            errors=(404,), **style,
        ),
    )  # fmt: skip
