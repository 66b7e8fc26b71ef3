"""The WSGI application, made of the services that it serves."""

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from types import SimpleNamespace

import falcon
from attrs import Factory, field, frozen

from workbell.adapters.http.compat import datamanager, insighthub, jobprocessing, learnflow
from workbell.adapters.http.goals import progress, summaries
from workbell.adapters.http.goals import routes as goals
from workbell.adapters.http.health import api_process
from workbell.adapters.http.health.worker_process import Readiness
from workbell.adapters.http.identity import account, browser_session_routes, second_factor, users
from workbell.adapters.http.identity import auth as identity
from workbell.adapters.http.jobs import admin_routes
from workbell.adapters.http.jobs import routes as jobs
from workbell.adapters.http.notifications import routes as notifications
from workbell.adapters.http.schedules import routes as schedules
from workbell.adapters.http.web import browser_sessions as browser
from workbell.adapters.http.web import docs_pages as docs
from workbell.adapters.http.web.dispatch import Dispatcher, Verified
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
from workbell.services.audit import RefusalAudit
from workbell.services.goals.commands import GoalService
from workbell.services.goals.progress import ProgressService
from workbell.services.goals.reminders import ReminderService
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
from workbell.services.rate_limits import RateLimiting
from workbell.services.schedules.commands import ScheduleService

FalconApp = falcon.App[falcon.Request, falcon.Response]


def _always() -> None:
    """Answer for a cache that lives in the process: it is always there."""


@frozen(kw_only=True)
class AppDependencies:
    """
    Services and settings of the HTTP application.

    `serializer` reads bodies and queries, so its message for unknown names
    should speak of fields. `outdated` are the database revisions that this
    code cannot work with; `cache` raises Unavailable if a cache does not
    answer; `ailments` returns the problems of the process; a worker without
    a heartbeat for `worker_lease` counts as lost. Without `throttling` no rate
    limits apply.
    """

    identity: RegistrationService
    signing_in: LoginService
    passwords: PasswordService
    profiles: ProfileService
    people: UserAdministration
    sessions: SessionService
    api_keys: ApiKeyService
    second_factor: SecondFactorService
    scheduling: ScheduleService
    jobs: JobService
    definitions: TaskDefinitionService
    goals: GoalService
    progress: ProgressService
    timers: TimerService
    summaries: SummaryService
    reminding: ReminderService
    serializer: Serializer
    ids: Ids
    database: Health
    settings: HttpSettings = Factory(HttpSettings)
    cache: Callable[[], None] = _always
    outdated: Collection[str] = ()
    ailments: Callable[[], Sequence[str]] = tuple
    metrics: MetricsRegistry = field(factory=MetricsRegistry)
    worker_lease: timedelta = timedelta(seconds=30)
    rate_limits: RateLimiting | None = None


def make_operations(dependencies: AppDependencies) -> tuple[AnyOperation, ...]:
    """Return every operation except those that serve the documentation."""
    return (*_canonical(dependencies), *_compatible(dependencies))


def _canonical(dependencies: AppDependencies) -> tuple[AnyOperation, ...]:
    sessions = browser_session_routes
    return (
        *identity.operations(_people(dependencies)),
        *sessions.operations(
            sessions.BrowserSessionRoutes(
                browser=_browser(dependencies), identity=dependencies.identity
            )
        ),
        *account.operations(
            account.AccountRoutes(
                signing_in=dependencies.signing_in,
                passwords=dependencies.passwords,
                profiles=dependencies.profiles,
                sessions=dependencies.sessions,
                api_keys=dependencies.api_keys,
            )
        ),
        *second_factor.operations(
            second_factor.SecondFactorRoutes(
                second_factor=dependencies.second_factor, people=dependencies.people
            )
        ),
        *users.operations(users.UserRoutes(people=dependencies.people)),
        *schedules.operations(_schedules(dependencies)),
        *jobs.operations(_jobs(dependencies)),
        *admin_routes.operations(
            admin_routes.JobAdminRoutes(
                jobs=dependencies.jobs, definitions=dependencies.definitions
            )
        ),
        *goals.operations(_goals(dependencies)),
        *progress.operations(_progress(dependencies)),
        *summaries.operations(summaries.SummaryRoutes(summaries=dependencies.summaries)),
        *notifications.operations(
            notifications.NotificationRoutes(reminding=dependencies.reminding)
        ),
        *api_process.operations(_service(dependencies)),
    )


def _compatible(dependencies: AppDependencies) -> tuple[AnyOperation, ...]:
    return (
        *_insighthub(dependencies),
        *_learnflow(dependencies),
        *datamanager.identity_operations(
            datamanager.DataManagerUserRoutes(
                identity=dependencies.identity,
                signing_in=dependencies.signing_in,
                profiles=dependencies.profiles,
                people=dependencies.people,
            )
        ),
        *_jobprocessing(dependencies),
    )


def _insighthub(dependencies: AppDependencies) -> tuple[AnyOperation, ...]:
    own = insighthub.InsightHubAuthRoutes(
        identity=dependencies.identity, signing_in=dependencies.signing_in
    )
    schedule_routes = insighthub.make_schedule_routes(_schedules(dependencies))
    return (
        *insighthub.identity_operations(own, _people(dependencies)),
        *insighthub.task_operations(
            insighthub.InsightHubTaskRoutes(definitions=dependencies.definitions)
        ),
        *insighthub.schedule_operations(
            schedule_routes, insighthub.InsightHubScheduleRoutes(schedules=schedule_routes)
        ),
    )


def _learnflow(dependencies: AppDependencies) -> tuple[AnyOperation, ...]:
    own = learnflow.LearnFlowAuthRoutes(
        identity=dependencies.identity,
        signing_in=dependencies.signing_in,
        people=dependencies.people,
    )
    return (
        *learnflow.identity_operations(own, _people(dependencies)),
        *learnflow.goal_operations(_goals(dependencies), _progress(dependencies)),
        *learnflow.summary_operations(summaries.SummaryRoutes(summaries=dependencies.summaries)),
    )


def _jobprocessing(dependencies: AppDependencies) -> tuple[AnyOperation, ...]:
    own = jobprocessing.JobProcessingAuthRoutes(
        identity=dependencies.identity, signing_in=dependencies.signing_in
    )
    job_routes = jobprocessing.make_job_routes(_jobs(dependencies))
    return (
        *jobprocessing.identity_operations(own),
        *jobprocessing.job_operations(
            job_routes, jobprocessing.JobProcessingJobRoutes(jobs=job_routes)
        ),
    )


def _people(dependencies: AppDependencies) -> identity.AuthRoutes:
    return identity.AuthRoutes(identity=dependencies.identity, signing_in=dependencies.signing_in)


def _schedules(dependencies: AppDependencies) -> schedules.ScheduleRoutes:
    return schedules.ScheduleRoutes(
        scheduling=dependencies.scheduling,
        jobs=dependencies.jobs,
        definitions=dependencies.definitions,
    )


def _jobs(dependencies: AppDependencies) -> jobs.JobRoutes:
    return jobs.JobRoutes(jobs=dependencies.jobs, definitions=dependencies.definitions)


def _goals(dependencies: AppDependencies) -> goals.GoalRoutes:
    return goals.GoalRoutes(goals=dependencies.goals, timers=dependencies.timers)


def _progress(dependencies: AppDependencies) -> progress.ProgressRoutes:
    return progress.ProgressRoutes(
        progress=dependencies.progress,
        goals=dependencies.goals,
        rate_limits=dependencies.rate_limits,
    )


def make_openapi(dependencies: AppDependencies, server: str) -> bytes:
    """Return the OpenAPI document of the whole API on a server, as JSON."""
    described = (*make_operations(dependencies), *docs.operations(docs.DocsRoutes.of(b"", "")))
    return jsontext.dumps(
        make_document(described, dependencies.serializer, dependencies.settings.version, server)
    )


def build_app(dependencies: AppDependencies) -> FalconApp:
    """Return the application; what can be made once is made here."""
    operations: Sequence[AnyOperation] = make_operations(dependencies)
    if dependencies.settings.docs:
        # a reader of these pages calls the server that serves them, under any of its names
        pages = docs.DocsRoutes.of(make_openapi(dependencies, "/"), "Workbell API")
        operations = (*operations, *docs.operations(pages))
    dispatch = Dispatcher.of(
        _browser(dependencies),
        BodyReader(dependencies.serializer, dependencies.settings.most_body_bytes),
        QueryReader(dependencies.serializer),
        Verified(dependencies.settings.require_verified_email),
        RefusalAudit(store=dependencies.signing_in.store, clock=dependencies.signing_in.clock),
        dependencies.rate_limits,
    )
    middleware = HttpMiddleware.of(dependencies.settings, dependencies.ids)
    app = falcon.App(middleware=[middleware], independent_middleware=True)
    app.req_options.strip_url_path_trailing_slash = True
    _add_error_handlers(app)
    for path, methods in group_by_path(operations).items():
        responders = {
            f"on_{method.lower()}": dispatch.responder(one) for method, one in methods.items()
        }
        if "on_get" in responders:
            responders["on_head"] = responders["on_get"]
        app.add_route(path, SimpleNamespace(**responders), compile=False)
    app.add_sink(_server_options, prefix=r"\*$")
    return app


def _server_options(req: falcon.Request, resp: falcon.Response, **_: object) -> None:  # noqa: ARG001
    """Answer `OPTIONS *`, the only request whose target is no path (RFC 9110, 9.3.7)."""
    resp.status = 204


def _add_error_handlers(app: FalconApp) -> None:
    problems = ErrorHandlers()
    app.add_error_handler(Exception, problems.unknown)
    app.add_error_handler(falcon.HTTPError, problems.of_http)
    app.add_error_handler(WorkbellError, problems.known)


def _browser(dependencies: AppDependencies) -> browser.BrowserSessions:
    return browser.BrowserSessions(
        signing_in=dependencies.signing_in, public_url=dependencies.settings.public_url
    )


def _service(dependencies: AppDependencies) -> api_process.HealthRoutes:
    return api_process.HealthRoutes(
        readiness=Readiness(
            database=dependencies.database,
            cache=dependencies.cache,
            outdated=dependencies.outdated,
            ailments=dependencies.ailments,
        ),
        jobs=dependencies.jobs,
        signing_in=dependencies.signing_in,
        metrics_registry=dependencies.metrics,
        worker_lease=dependencies.worker_lease,
        metrics_token=dependencies.settings.metrics_token,
        version=dependencies.settings.version,
    )
