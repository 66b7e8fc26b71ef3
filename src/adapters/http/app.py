"""The WSGI application of the API."""

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from types import SimpleNamespace

import falcon
from attrs import Factory, field, frozen

from workbell.adapters.http.audit import routes as audit
from workbell.adapters.http.compat import (
    datamanager,
    datamanager_events,
    insighthub,
    jobprocessing,
    learnflow,
)
from workbell.adapters.http.delivery import accounts, destinations, ingest, log_routes, members
from workbell.adapters.http.goals import progress, summaries
from workbell.adapters.http.goals import routes as goals
from workbell.adapters.http.health import api_process
from workbell.adapters.http.health.worker_process import Readiness
from workbell.adapters.http.identity import (
    account,
    auth,
    browser_session_routes,
    second_factor,
    users,
)
from workbell.adapters.http.jobs import admin_routes
from workbell.adapters.http.jobs import routes as jobs
from workbell.adapters.http.notifications import routes as notifications
from workbell.adapters.http.projects.api import ProjectsApi
from workbell.adapters.http.schedules import cancellations
from workbell.adapters.http.schedules import routes as schedules
from workbell.adapters.http.web import docs_pages as docs
from workbell.adapters.http.web.browser_sessions import BrowserSessions
from workbell.adapters.http.web.dispatch import Dispatcher, VerifiedEmailPolicy
from workbell.adapters.http.web.middleware import ErrorHandlers, HttpMiddleware, HttpSettings
from workbell.adapters.http.web.openapi import make_document
from workbell.adapters.http.web.operations import AnyOperation, group_by_path
from workbell.adapters.http.web.query_params import QueryReader
from workbell.adapters.http.web.request import BodyReader
from workbell.adapters.observability.metrics import MetricsRegistry
from workbell.adapters.serialization import json_codec as jsontext
from workbell.domain.errors import WorkbellError
from workbell.ports.serialization import Serializer
from workbell.ports.store import Health
from workbell.ports.system import Ids
from workbell.services.audit.entries import RefusalAudit
from workbell.services.audit.log import AuditLog
from workbell.services.audit.verification import AuditVerifier
from workbell.services.delivery.accounts import AccountService
from workbell.services.delivery.destinations import DestinationService
from workbell.services.delivery.ingest import IngestService
from workbell.services.delivery.log import DeliveryLog
from workbell.services.delivery.members import MemberService
from workbell.services.delivery.publish import PublishService
from workbell.services.delivery.replay import ReplayService
from workbell.services.delivery.users import AccountUserService
from workbell.services.goals.commands import GoalService
from workbell.services.goals.preferences import PreferenceService
from workbell.services.goals.progress import ProgressService
from workbell.services.goals.summaries import SummaryService
from workbell.services.goals.timers import TimerService
from workbell.services.identity.api_keys import ApiKeyService
from workbell.services.identity.login import LoginService
from workbell.services.identity.passwords import PasswordService
from workbell.services.identity.profiles import ProfileService
from workbell.services.identity.registration import RegistrationService
from workbell.services.identity.second_factor import SecondFactorService
from workbell.services.identity.sessions import SessionService
from workbell.services.identity.users import UserAdministration
from workbell.services.jobs.commands import JobService
from workbell.services.jobs.task_definitions import TaskDefinitionService
from workbell.services.notifications.inbox import NotificationService
from workbell.services.rate_limits import RateLimiting
from workbell.services.schedules.commands import ScheduleService

FalconApp = falcon.App[falcon.Request, falcon.Response]


@frozen(kw_only=True)
class AppDependencies:
    """
    Services and settings of the HTTP application.

    Attributes:
        serializer: Parses bodies and queries.
        cache: Raises Unavailable if the cache does not respond.
        outdated: Schema revisions that are too old for this code.
        health_problems: Returns reasons why the process is not ready.
        worker_lease: Workers without a heartbeat for this long count as lost.
        rate_limits: None disables rate limiting.
    """

    identity: RegistrationService
    login: LoginService
    passwords: PasswordService
    profiles: ProfileService
    users: UserAdministration
    sessions: SessionService
    api_keys: ApiKeyService
    second_factor: SecondFactorService
    schedules: ScheduleService
    jobs: JobService
    definitions: TaskDefinitionService
    goals: GoalService
    progress: ProgressService
    timers: TimerService
    summaries: SummaryService
    notifications: NotificationService
    preferences: PreferenceService
    accounts: AccountService
    members: MemberService
    destinations: DestinationService
    account_users: AccountUserService
    publishing: PublishService
    replays: ReplayService
    delivery_log: DeliveryLog
    audit_log: AuditLog
    audit_verifier: AuditVerifier
    projects: ProjectsApi
    serializer: Serializer
    ids: Ids
    database: Health
    settings: HttpSettings = Factory(HttpSettings)
    cache: Callable[[], None] = lambda: None
    outdated: Collection[str] = ()
    health_problems: Callable[[], Sequence[str]] = tuple
    metrics: MetricsRegistry = field(factory=MetricsRegistry)
    worker_lease: timedelta = timedelta(seconds=30)
    rate_limits: RateLimiting | None = None


def make_operations(deps: AppDependencies) -> tuple[AnyOperation, ...]:
    """Return every operation except those that serve the documentation."""
    auth_routes = auth.AuthRoutes(identity=deps.identity, login_service=deps.login)
    account_routes = account.AccountRoutes(
        login_service=deps.login,
        passwords=deps.passwords,
        profiles=deps.profiles,
        sessions=deps.sessions,
        api_keys=deps.api_keys,
    )
    schedule_routes = schedules.ScheduleRoutes(
        schedules=deps.schedules, jobs=deps.jobs, definitions=deps.definitions
    )
    job_routes = jobs.JobRoutes(jobs=deps.jobs, definitions=deps.definitions)
    goal_routes = goals.GoalRoutes(goals=deps.goals, timers=deps.timers)
    progress_routes = progress.ProgressRoutes(
        progress=deps.progress, goals=deps.goals, rate_limits=deps.rate_limits
    )
    summary_routes = summaries.SummaryRoutes(summaries=deps.summaries)
    return (
        *auth.operations(auth_routes),
        *_identity_operations(deps, account_routes),
        *schedules.operations(schedule_routes),
        *jobs.operations(job_routes),
        *admin_routes.operations(
            admin_routes.JobAdminRoutes(jobs=deps.jobs, definitions=deps.definitions)
        ),
        *cancellations.operations(
            cancellations.CancellationRoutes(cancellations=deps.schedules.cancellations)
        ),
        *goals.operations(goal_routes),
        *progress.operations(progress_routes),
        *summaries.operations(summary_routes),
        *notifications.operations(
            notifications.NotificationRoutes(
                notifications=deps.notifications, preference_service=deps.preferences
            )
        ),
        *api_process.operations(_make_health_routes(deps)),
        *_delivery_operations(deps),
        *deps.projects.operations(),
        *audit.operations(audit.AuditRoutes(log=deps.audit_log, verifier=deps.audit_verifier)),
        *_compat_identity_operations(deps, auth_routes, account_routes),
        *insighthub.task_operations(insighthub.InsightHubTaskRoutes(definitions=deps.definitions)),
        *insighthub.schedule_operations(schedule_routes),
        *learnflow.goal_operations(goal_routes, progress_routes),
        *learnflow.summary_operations(summary_routes),
        *jobprocessing.job_operations(job_routes),
    )


def _identity_operations(
    deps: AppDependencies, account_routes: account.AccountRoutes
) -> tuple[AnyOperation, ...]:
    session_routes = browser_session_routes.BrowserSessionRoutes(
        browser=_make_browser_sessions(deps), identity=deps.identity
    )
    factor_routes = second_factor.SecondFactorRoutes(
        second_factor=deps.second_factor, users=deps.users
    )
    return (
        *browser_session_routes.operations(session_routes),
        *account.operations(account_routes),
        *second_factor.operations(factor_routes),
        *users.operations(users.UserRoutes(users=deps.users)),
    )


def _compat_identity_operations(
    deps: AppDependencies, auth_routes: auth.AuthRoutes, account_routes: account.AccountRoutes
) -> tuple[AnyOperation, ...]:
    identity, login = deps.identity, deps.login
    insighthub_routes = insighthub.InsightHubAuthRoutes(identity=identity, login_service=login)
    learnflow_routes = learnflow.LearnFlowAuthRoutes(
        identity=identity, login_service=login, users=deps.users
    )
    datamanager_routes = datamanager.DataManagerUserRoutes(
        users=deps.account_users,
        members=deps.members,
        login_service=login,
        profiles=deps.profiles,
    )
    return (
        *insighthub.identity_operations(insighthub_routes, auth_routes),
        *learnflow.identity_operations(learnflow_routes, auth_routes),
        *datamanager.identity_operations(datamanager_routes, account_routes),
        *jobprocessing.identity_operations(
            jobprocessing.JobProcessingAuthRoutes(identity=identity, login_service=login)
        ),
    )


def _delivery_operations(deps: AppDependencies) -> tuple[AnyOperation, ...]:
    account_routes = accounts.DeliveryAccountRoutes(accounts=deps.accounts)
    member_routes = members.MemberRoutes(members=deps.members, accounts=deps.accounts)
    destination_routes = destinations.DestinationRoutes(
        destinations=deps.destinations, accounts=deps.accounts, publishing=deps.publishing
    )
    return (
        *accounts.operations(account_routes),
        *members.operations(member_routes),
        *destinations.operations(destination_routes),
        *datamanager.account_operations(account_routes, member_routes, destination_routes),
        *_event_operations(deps),
    )


def _event_operations(deps: AppDependencies) -> tuple[AnyOperation, ...]:
    ingest_routes = ingest.IngestRoutes(ingest=IngestService(publishing=deps.publishing))
    log = log_routes.DeliveryLogRoutes(
        log=deps.delivery_log, replays=deps.replays, destinations=deps.destinations
    )
    return (
        *ingest.operations(ingest_routes),
        *log_routes.operations(log),
        *datamanager_events.operations(
            datamanager_events.DataManagerEventRoutes(
                publishing=deps.publishing, log=deps.delivery_log
            )
        ),
    )


def make_openapi(deps: AppDependencies, server: str) -> bytes:
    """Return the OpenAPI document as JSON, with the URL of the server."""
    described = (*make_operations(deps), *docs.operations(docs.DocsRoutes.from_schema(b"", "")))
    return jsontext.dumps(make_document(described, deps.serializer, deps.settings.version, server))


def build_app(deps: AppDependencies) -> FalconApp:
    """Return the WSGI application."""
    operations: Sequence[AnyOperation] = make_operations(deps)
    if deps.settings.docs:
        # relative server URL: the pages may be reached under several host names
        pages = docs.DocsRoutes.from_schema(make_openapi(deps, "/"), "Workbell API")
        operations = (*operations, *docs.operations(pages))
    dispatcher = Dispatcher(
        browser=_make_browser_sessions(deps),
        bodies=BodyReader(deps.serializer, deps.settings.max_body_bytes),
        queries=QueryReader(deps.serializer),
        verified_email=VerifiedEmailPolicy(deps.settings.require_verified_email),
        refusals=RefusalAudit(store=deps.login.store, clock=deps.login.clock),
        rate_limits=deps.rate_limits,
    )
    middleware = HttpMiddleware.from_settings(deps.settings, deps.ids)
    app = falcon.App(middleware=[middleware], independent_middleware=True)
    app.req_options.strip_url_path_trailing_slash = True
    _add_error_handlers(app)
    for path, methods in group_by_path(operations).items():
        responders = {
            f"on_{method.lower()}": dispatcher.make_responder(operation)
            for method, operation in methods.items()
        }
        if "on_get" in responders:
            responders["on_head"] = responders["on_get"]
        app.add_route(path, SimpleNamespace(**responders), compile=False)
    app.add_sink(_server_options, prefix=r"\*$")
    return app


def _server_options(req: falcon.Request, resp: falcon.Response, **_: object) -> None:  # noqa: ARG001
    """Answer `OPTIONS *`, whose target is not a path (RFC 9110, 9.3.7)."""
    resp.status = 204


def _add_error_handlers(app: FalconApp) -> None:
    handlers = ErrorHandlers()
    app.add_error_handler(Exception, handlers.handle_unexpected_error)
    app.add_error_handler(falcon.HTTPError, handlers.handle_http_error)
    app.add_error_handler(WorkbellError, handlers.handle_workbell_error)


def _make_browser_sessions(deps: AppDependencies) -> BrowserSessions:
    return BrowserSessions(login_service=deps.login, public_url=deps.settings.public_url)


def _make_health_routes(deps: AppDependencies) -> api_process.HealthRoutes:
    return api_process.HealthRoutes(
        readiness=Readiness(
            database=deps.database,
            cache=deps.cache,
            outdated=deps.outdated,
            health_problems=deps.health_problems,
        ),
        jobs=deps.jobs,
        login_service=deps.login,
        metrics_registry=deps.metrics,
        worker_lease=deps.worker_lease,
        metrics_token=deps.settings.metrics_token,
        version=deps.settings.version,
    )
