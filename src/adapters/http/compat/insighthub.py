"""InsightHub's routes: sign-in, tasks and schedules under /api/."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial, wraps
from typing import Any, TypeVar

from attrs import evolve, field, frozen

from workbell.adapters.http.identity.auth import (
    AuthRoutes,
    RefreshBody,
    Secret,
    ShortText,
    TokenPairBody,
    UserBody,
    UsernameLoginBody,
    user_body,
)
from workbell.adapters.http.jobs.history import StatusQuery
from workbell.adapters.http.jobs.source_statuses import (
    INSIGHTHUB_STATUSES,
    InsightHubStatus,
    matching_statuses,
)
from workbell.adapters.http.jobs.views import definition_body
from workbell.adapters.http.schedules.filters import ORDERINGS, ScheduleSearch
from workbell.adapters.http.schedules.routes import (
    ScheduleRoutes,
    collection_operations,
    item_operations,
)
from workbell.adapters.http.schedules.views import (
    InsightHubRunBody,
    InsightHubScheduleBody,
    InsightHubToggledBody,
    insighthub_listed_body,
    insighthub_run_body,
    insighthub_schedule_body,
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
from workbell.adapters.http.web.pagination import PageQuery, single_page
from workbell.domain.errors import Invalid, LimitReached
from workbell.domain.identity.registration import Registration
from workbell.domain.identity.user import WrongCredentials
from workbell.domain.jobs.task import TaskDefinition
from workbell.domain.list_filters import parse_ordering
from workbell.domain.rate_limits.policy import Route
from workbell.ports.schedules.views import ScheduleView
from workbell.services.identity.login import LoginService
from workbell.services.identity.registration import RegistrationService
from workbell.services.jobs.task_definitions import TaskDefinitionService

B = TypeVar("B")
Q = TypeVar("Q")

BASE = "/api/schedules"
ONE = BASE + "/{schedule_id}"
LIMIT_TEXT = "Regular users cannot have more than {} active jobs"
TYPE_MESSAGES = {"must be an integer": "must be a integer", "must be a number": "must be a float"}
TOGGLED = {True: "Schedule activated.", False: "Schedule deactivated."}
STYLE: Mapping[str, Any] = {"style": Style.INSIGHTHUB, "tag": "InsightHub"}


@frozen(kw_only=True)
class InsightHubRegistrationBody:
    """A new user."""

    username: ShortText
    email: ShortText
    password: Secret = field(repr=False)
    password_confirm: Secret = field(repr=False)
    first_name: ShortText = ""
    last_name: ShortText = ""


@frozen(kw_only=True, slots=False)
class InsightHubRegistrationResponse:
    """The new user and a confirmation message."""

    user: UserBody
    message: str


@frozen(kw_only=True, slots=False)
class InsightHubLoginResponse:
    """An access token and a refresh token, with their user."""

    access_token: str
    refresh_token: str
    user: UserBody


@frozen(kw_only=True, slots=False)
class InsightHubTaskBody:
    """A task definition, with its parameters as names and types."""

    id: int
    name: str
    description: str
    input_schema: Mapping[str, str]
    input_fields: Sequence[str]
    is_active: bool
    created_at: datetime


@frozen(kw_only=True)
class InsightHubRunsQuery(StatusQuery):
    """Statuses and page of a schedule's runs."""

    status: Sequence[InsightHubStatus] | None = None


def _task_body(definition: TaskDefinition) -> InsightHubTaskBody:
    return copy_fields(InsightHubTaskBody, definition_body(definition))


@frozen(kw_only=True)
class InsightHubAuthRoutes:
    """Registration and sign-in of the InsightHub API."""

    identity: RegistrationService
    login_service: LoginService

    def register(self, request: ApiRequest[InsightHubRegistrationBody]) -> ApiResponse:
        """Create an account and email a verification code."""
        user = self.identity.register(copy_fields(Registration, request.body), request.client_info)
        body = InsightHubRegistrationResponse(
            user=user_body(user), message="The user was registered."
        )
        return ApiResponse(status=201, body=body)

    def login(self, request: ApiRequest[UsernameLoginBody]) -> ApiResponse:
        """Sign a user in with JWT tokens."""
        data = request.body
        login = self.login_service.login(
            data.username, data.password, request.client_info, code=data.code
        )
        body = InsightHubLoginResponse(
            access_token=login.access, refresh_token=login.refresh, user=user_body(login.user)
        )
        return ApiResponse(body=body)


@frozen(kw_only=True)
class InsightHubTaskRoutes:
    """Task definitions, ordered by id."""

    definitions: TaskDefinitionService

    def list(self, request: ApiRequest[object, PageQuery]) -> ApiResponse:
        """Return a page of all task definitions."""
        return single_page(request, [_task_body(task) for task in self.definitions.all()])

    def list_available(self, request: ApiRequest[object, PageQuery]) -> ApiResponse:
        """Return a page of the active task definitions."""
        active = [_task_body(task) for task in self.definitions.all() if task.is_active]
        return single_page(request, active)


@frozen(kw_only=True)
class InsightHubScheduleRoutes:
    """Search and toggling of schedules in the InsightHub API."""

    schedules: ScheduleRoutes

    def search(self, request: ApiRequest[ScheduleSearch]) -> ApiResponse:
        """Return a page of the schedules that match the body."""
        data = request.body
        order = parse_ordering(data.ordering, ORDERINGS, "ordering")
        return self.schedules.list_page(
            request, data.filters, order, data.page, data.page_size, "filters."
        )

    def toggle(self, request: ApiRequest) -> ApiResponse:
        """Pause or resume a schedule; the response has a message."""
        return evolve(self.schedules, show=_toggled_body).toggle(request)


def _toggled_body(view: ScheduleView) -> dict[str, Any]:
    """Return the `InsightHubToggledBody` of a schedule."""
    return {**insighthub_schedule_body(view), "message": TOGGLED[view.schedule.is_active]}


def with_insighthub_errors(
    handler: Callable[[ApiRequest[B, Q]], ApiResponse],
) -> Callable[[ApiRequest[B, Q]], ApiResponse]:
    """Return the handler with InsightHub's error messages."""

    @wraps(handler)
    def handle(request: ApiRequest[B, Q]) -> ApiResponse:
        try:
            return handler(request)
        except LimitReached as error:
            text = LIMIT_TEXT.format(error.limit)
            raise LimitReached(text, used=error.used, limit=error.limit) from error
        except Invalid as error:
            raise Invalid(field_errors=_translate_errors(error.field_errors), detail="") from error

    return handle


def _translate_errors(errors: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    return {
        path: [_translate_type(text) for text in messages]
        if path.startswith("parameters")
        else messages
        for path, messages in errors.items()
    }


def _translate_type(text: str) -> str:
    for canonical, translation in TYPE_MESSAGES.items():
        text = text.replace(canonical, translation)
    return text


def identity_operations(own: InsightHubAuthRoutes, auth: AuthRoutes) -> Sequence[AnyOperation]:
    """Return the routes under /api/auth/."""
    return (
        Operation(
            method="POST", path="/api/auth/register", name="insighthub_register",
            summary="Create an account; a verification code is sent to the email address.",
            handler=own.register, request=InsightHubRegistrationBody,
            responses={201: InsightHubRegistrationResponse}, errors=(503,),
            access=Access.ANYONE, discloses_accounts=True, **STYLE,
        ),
        Operation(
            method="POST", path="/api/auth/login", name="insighthub_login",
            summary="Sign in with a username, and get an access and a refresh token.",
            handler=own.login, request=UsernameLoginBody, responses={200: InsightHubLoginResponse},
            errors=(403,), statuses={WrongCredentials: 400}, access=Access.ANYONE, **STYLE,
        ),
        Operation(
            method="POST", path="/api/auth/refresh", name="insighthub_refresh",
            summary="Exchange a refresh token for a new access and refresh token.",
            handler=auth.refresh, request=RefreshBody, responses={200: TokenPairBody},
            errors=(401,), access=Access.ANYONE, limit=Route.GENERAL, **STYLE,
        ),
        Operation(
            method="GET", path="/api/auth/profile", name="insighthub_profile",
            summary="Get the current user.", handler=auth.me, responses={200: UserBody},
            access=Access.SELF, **STYLE,
        ),
    )  # fmt: skip


def task_operations(tasks: InsightHubTaskRoutes) -> Sequence[AnyOperation]:
    """Return the routes under /api/tasks/."""
    responses: dict[int, type | ListOf | None] = {200: ListOf(InsightHubTaskBody)}
    page: dict[str, Any] = {"query": PageQuery, "responses": responses, "errors": (404,), **STYLE}
    return (
        Operation(
            method="GET", path="/api/tasks", name="insighthub_list_tasks",
            summary="List task definitions.", handler=tasks.list, **page,
        ),
        Operation(
            method="GET", path="/api/tasks/available", name="insighthub_list_available_tasks",
            summary="List active task definitions.", handler=tasks.list_available, **page,
        ),
    )  # fmt: skip


def schedule_operations(canonical: ScheduleRoutes) -> Sequence[AnyOperation]:
    """Return the routes under /api/schedules/."""
    schedules = evolve(
        canonical,
        base=BASE,
        show=insighthub_schedule_body,
        show_listed=insighthub_listed_body,
        show_run=insighthub_run_body,
        statuses=partial(matching_statuses, INSIGHTHUB_STATUSES),
    )
    own = InsightHubScheduleRoutes(schedules=schedules)
    shared = ("insighthub_", InsightHubScheduleBody, STYLE)
    return (
        *map(_with_errors, collection_operations(schedules, *shared)),
        Operation(
            method="POST", path=f"{BASE}/search", name="insighthub_search_schedules",
            summary="List schedules; filters, ordering and page are in the body.",
            handler=own.search, read_only=True, request=ScheduleSearch,
            responses={200: ListOf(InsightHubScheduleBody, windowed=True)}, errors=(404,), **STYLE,
        ),
        *map(_with_errors, item_operations(schedules, *shared)),
        Operation(
            method="POST", path=f"{ONE}/toggle_active", name="insighthub_toggle_schedule",
            summary="Pause an active schedule or resume a paused one.",
            handler=with_insighthub_errors(own.toggle), responses={200: InsightHubToggledBody},
            statuses={LimitReached: 400}, **STYLE,
        ),
        Operation(
            method="GET", path=f"{ONE}/logs", name="insighthub_list_schedule_runs",
            summary="List a schedule's runs, newest first.", handler=schedules.runs,
            query=InsightHubRunsQuery, exists=schedules.get_view,
            responses={200: ListOf(InsightHubRunBody, history=True, windowed=True)}, **STYLE,
        ),
    )  # fmt: skip


def _with_errors(operation: AnyOperation) -> AnyOperation:
    """Return an operation with InsightHub's errors if it reads a body."""
    if operation.request is None:
        return operation
    handler = with_insighthub_errors(operation.handler)
    return evolve(operation, handler=handler, errors=(), statuses={LimitReached: 400})
