"""Job Processing's routes: sign-in by address, and jobs in its own words."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from attrs import Factory, evolve, field, frozen

from workbell.adapters.http.identity.auth import (
    Address,
    Code,
    CodeBody,
    MessageBody,
    PairBody,
    Secret,
    pair_body,
)
from workbell.adapters.http.jobs.routes import JobFilters, JobRoutes, ResultQuery
from workbell.adapters.http.jobs.source_statuses import (
    JOB_PROCESSING_STATUSES,
    JobProcessingStatus,
    statuses,
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
from workbell.adapters.http.web.query_types import TaskName
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

    email: Address
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
    task_definition: TaskName = "echo"
    parameters: Mapping[str, Any] = Factory(dict[str, Any])


@frozen(kw_only=True)
class JobProcessingJobQuery(JobFilters):
    """Which jobs to list, newest first unless ordered otherwise."""

    status: Sequence[JobProcessingStatus] | None = None


@frozen(kw_only=True)
class JobProcessingIdentity:
    """Registering and signing in by address, in Job Processing's shapes."""

    identity: RegistrationService
    signing_in: LoginService

    def register(self, call: ApiRequest[JobProcessingAccountBody]) -> ApiResponse:
        """Register somebody, and answer the same whether the address was known."""
        self.identity.register_without_disclosure(call.body.email, call.body.password, call.origin)
        return ApiResponse(status=201, body=MessageBody(message=REGISTERED))

    def verify(self, call: ApiRequest[CodeBody]) -> ApiResponse:
        """Verify an address by the mailed code."""
        asked = call.body
        self.identity.verify_otp(asked.email, asked.code, call.origin)
        return ApiResponse(body=MessageBody(message=VERIFIED))

    def login(self, call: ApiRequest[JobProcessingLoginBody]) -> ApiResponse:
        """Sign in somebody whose address is verified."""
        found = self.signing_in.login(
            call.body.email,
            call.body.password,
            call.origin,
            code=call.body.code,
            require_verified=True,
        )
        return ApiResponse(body=pair_body(found))


@frozen(kw_only=True)
class JobProcessingJobs:
    """What Job Processing asks of a new job."""

    jobs: JobRoutes

    def create(self, call: ApiRequest[JobProcessingNewJob]) -> ApiResponse:
        """Enqueue a job; without a task it runs the built-in `echo`."""
        asked = call.body
        new = NewJob(
            name=asked.name,
            description=asked.description,
            task_definition=asked.task_definition,
            parameters=asked.parameters,
            scheduled_time=asked.scheduled_time,
        )
        return self.jobs.enqueue(call, new)


def jobs_of(jobs: JobRoutes) -> JobRoutes:
    """Return the canonical resource, showing jobs as Job Processing does."""
    return evolve(
        jobs,
        base=BASE,
        show=jobprocessing_job_body,
        statuses=partial(statuses, JOB_PROCESSING_STATUSES),
    )


def identity_operations(own: JobProcessingIdentity) -> Sequence[AnyOperation]:
    """Return the routes under /api/ that sign people in."""
    style: dict[str, Any] = {
        "style": Style.JOB_PROCESSING,
        "tag": "Job Processing",
        "who": Access.ANYONE,
    }
    verifies = [
        Operation(
            method="POST", path=f"/api/{path}", name=f"jobprocessing_{path.replace('-', '_')}",
            summary="Verify an e-mail address by the mailed code.", handler=own.verify,
            request=CodeBody, answers={200: MessageBody}, **style,
        )
        for path in ("verify-otp", "verify-email")
    ]  # fmt: skip
    return (
        Operation(
            method="POST", path="/api/register", name="jobprocessing_register", summary="Register.",
            handler=own.register, request=JobProcessingAccountBody, answers={201: MessageBody}, **style,
        ),
        *verifies,
        Operation(
            method="POST", path="/api/login", name="jobprocessing_login", summary="Sign in.",
            handler=own.login, request=JobProcessingLoginBody, answers={200: PairBody},
            errors=(401, 403), **style,
        ),
    )  # fmt: skip


def job_operations(jobs: JobRoutes, own: JobProcessingJobs) -> Sequence[AnyOperation]:
    """Return the routes under /api/jobs/ and /api/job-results/."""
    style: dict[str, Any] = {
        "style": Style.JOB_PROCESSING,
        "tag": "Job Processing",
        "who": Access.VERIFIED,
    }
    return (
        Operation(
            method="GET", path=BASE, name="jobprocessing_list_jobs", summary="List jobs, newest first.",
            handler=jobs.list, query=JobProcessingJobQuery, answers={200: ListOf(JobProcessingJobBody, history=True)},
            errors=(404,), **style,
        ),
        Operation(
            method="POST", path=BASE, name="jobprocessing_create_job", summary="Enqueue a job.",
            handler=own.create, request=JobProcessingNewJob, answers={201: JobProcessingJobBody}, errors=(409,),
            idempotent=True, **style,
        ),
        Operation(
            method="GET", path=ONE, name="jobprocessing_get_job", summary="Show a job.",
            handler=jobs.get, answers={200: JobProcessingJobBody}, **style,
        ),
        Operation(
            method="DELETE", path=ONE, name="jobprocessing_delete_job",
            summary="Cancel a job that has not ended; hide one that has.",
            handler=jobs.remove, answers={204: None}, errors=(409,), **style,
        ),
        Operation(
            method="GET", path=f"{ONE}/result", name="jobprocessing_get_job_result",
            summary="Show what came of a completed job.", handler=jobs.result,
            answers={200: ResultBody}, errors=(400,), **style,
        ),
        Operation(
            method="GET", path="/api/job-results", name="jobprocessing_list_job_results",
            summary="List what came of completed jobs.", handler=jobs.results,
            query=ResultQuery, answers={200: ListOf(ResultBody, history=True)},
            errors=(404,), **style,
        ),
    )  # fmt: skip
