"""The WSGI application: parts in, one Falcon app out."""

from collections.abc import Callable, Collection, Iterable, Sequence
from types import SimpleNamespace

import falcon
from attrs import Factory, field, frozen

from workbell.adapters.http.compat import datamanager as c
from workbell.adapters.http.compat import insighthub as a
from workbell.adapters.http.compat import jobprocessing as e
from workbell.adapters.http.compat import learnflow as b
from workbell.adapters.http.goals import progress, summaries
from workbell.adapters.http.goals import routes as goals
from workbell.adapters.http.health import api_process as service
from workbell.adapters.http.health.worker_process import Readiness
from workbell.adapters.http.identity import account, browser_session_routes, second_factor
from workbell.adapters.http.identity import auth as identity
from workbell.adapters.http.identity import users as people
from workbell.adapters.http.jobs import admin_routes as work
from workbell.adapters.http.jobs import routes as jobs
from workbell.adapters.http.notifications import routes as notifications
from workbell.adapters.http.schedules import routes as schedules
from workbell.adapters.http.web import browser_sessions as browser
from workbell.adapters.http.web import docs_pages as docs
from workbell.adapters.http.web.dispatch import Dispatch, Verified
from workbell.adapters.http.web.middleware import Face, FaceSettings, Problems
from workbell.adapters.http.web.openapi import document
from workbell.adapters.http.web.operations import Operation, by_path
from workbell.adapters.http.web.query_params import QueryReader
from workbell.adapters.http.web.request import BodyReader
from workbell.adapters.observability.metrics import Measure
from workbell.adapters.serialization import json_codec as jsontext
from workbell.domain.errors import WorkbellError
from workbell.ports.serialization import Shapes
from workbell.ports.store import Health
from workbell.ports.system import Ids
from workbell.services.audit import Refusals
from workbell.services.goals.goal_services import GoalKeeping
from workbell.services.goals.reminders import Reminding
from workbell.services.goals.summaries import Summaries
from workbell.services.identity.account_services import Membership
from workbell.services.identity.login import SigningIn
from workbell.services.identity.registration import Identity
from workbell.services.jobs.commands import JobCommands
from workbell.services.jobs.task_definitions import Definitions
from workbell.services.rate_limits import Throttling
from workbell.services.schedules.commands import Scheduling

FalconApp = falcon.App[falcon.Request, falcon.Response]


def _always() -> None:
    """Answer for a cache that lives in the process: it is always there."""


@frozen(kw_only=True)
class Parts:
    """
    What the HTTP face is made of.

    `shapes` reads bodies and queries, so its word for unknown names should
    be one about fields. `outdated` are the revisions of the
    database that this code cannot work with; `cache` raises
    Unavailable where a cache does not answer; `ailments` tells what is wrong
    with the process, `measures` what it counts. Without `throttling` nobody is
    limited.
    """

    identity: Identity
    signing_in: SigningIn
    scheduling: Scheduling
    jobs: JobCommands
    definitions: Definitions
    goals: GoalKeeping
    summaries: Summaries
    reminding: Reminding
    shapes: Shapes
    ids: Ids
    database: Health
    settings: FaceSettings = Factory(FaceSettings)
    cache: Callable[[], None] = _always
    outdated: Collection[str] = ()
    ailments: Callable[[], Sequence[str]] = tuple
    measures: Callable[[], Iterable[Measure]] = tuple
    throttling: Throttling | None = None
    members: Membership = field(
        default=Factory(lambda self: Membership.of(self.identity, self.signing_in), takes_self=True)
    )


def operations_of(parts: Parts) -> tuple[Operation, ...]:
    """Return the whole operation table, but for the documentation's own."""
    face = identity.People(identity=parts.identity, signing_in=parts.signing_in)
    schedule_face = schedules.Schedules(
        scheduling=parts.scheduling, jobs=parts.jobs, definitions=parts.definitions
    )
    job_face = jobs.Jobs(jobs=parts.jobs, definitions=parts.definitions)
    a_schedules = a.schedules_of(schedule_face)
    e_jobs = e.jobs_of(job_face)
    return (
        *identity.operations(face),
        *browser_session_routes.operations(
            browser_session_routes.BrowserSession(browser=_browser(parts), identity=parts.identity)
        ),
        *account.operations(account.Account(signing_in=parts.signing_in, members=parts.members)),
        *second_factor.operations(second_factor.SecondFactorFace(members=parts.members)),
        *people.operations(people.Administration(people=parts.members.people)),
        *schedules.operations(schedule_face),
        *jobs.operations(job_face),
        *work.operations(work.Work(jobs=parts.jobs, definitions=parts.definitions)),
        *goals.operations(_goals(parts)),
        *progress.operations(_progress(parts)),
        *summaries.operations(summaries.SummaryFace(summaries=parts.summaries)),
        *notifications.operations(notifications.Notifications(reminding=parts.reminding)),
        *service.operations(_service(parts)),
        *a.identity_operations(
            a.AIdentity(identity=parts.identity, signing_in=parts.signing_in), face
        ),
        *a.task_operations(a.ATasks(definitions=parts.definitions)),
        *a.schedule_operations(a_schedules, a.ASchedules(schedules=a_schedules)),
        *_b_and_c(parts, face),
        *e.identity_operations(e.EIdentity(identity=parts.identity, signing_in=parts.signing_in)),
        *e.job_operations(e_jobs, e.EJobs(jobs=e_jobs)),
    )


def _b_and_c(parts: Parts, face: identity.People) -> tuple[Operation, ...]:
    own_b = b.BIdentity(
        identity=parts.identity, signing_in=parts.signing_in, people=parts.members.people
    )
    own_c = c.CIdentity(identity=parts.identity, signing_in=parts.signing_in, members=parts.members)
    return (
        *b.identity_operations(own_b, face),
        *b.goal_operations(_goals(parts), _progress(parts)),
        *b.summary_operations(summaries.SummaryFace(summaries=parts.summaries)),
        *c.identity_operations(own_c),
    )


def _goals(parts: Parts) -> goals.Goals:
    return goals.Goals(goals=parts.goals.goals, timers=parts.goals.timers)


def _progress(parts: Parts) -> progress.Progress:
    return progress.Progress(
        progress=parts.goals.progress, goals=parts.goals.goals, throttling=parts.throttling
    )


def openapi_of(parts: Parts, server: str) -> bytes:
    """Return the OpenAPI document of the whole face on a server, as JSON."""
    described = (*operations_of(parts), *docs.operations(docs.Docs.of(b"", "")))
    return jsontext.dumps(document(described, parts.shapes, parts.settings.version, server))


def build_app(parts: Parts) -> FalconApp:
    """Return the application; what can be made once is made here."""
    operations: Sequence[Operation] = operations_of(parts)
    if parts.settings.docs:
        # whoever reads it here asks the same server, by whichever name it was found
        pages = docs.Docs.of(openapi_of(parts, "/"), "Workbell API")
        operations = (*operations, *docs.operations(pages))
    dispatch = Dispatch.of(
        _browser(parts),
        BodyReader(parts.shapes, parts.settings.most_body_bytes),
        QueryReader(parts.shapes),
        Verified(parts.settings.require_verified_email),
        Refusals(store=parts.signing_in.store, clock=parts.signing_in.clock),
        parts.throttling,
    )
    face = Face.of(parts.settings, parts.ids)
    app = falcon.App(middleware=[face], independent_middleware=True)
    app.req_options.strip_url_path_trailing_slash = True
    _add_error_handlers(app)
    for path, methods in by_path(operations).items():
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
    problems = Problems()
    app.add_error_handler(Exception, problems.unknown)
    app.add_error_handler(falcon.HTTPError, problems.of_http)
    app.add_error_handler(WorkbellError, problems.known)


def _browser(parts: Parts) -> browser.Browser:
    return browser.Browser(signing_in=parts.signing_in, public_url=parts.settings.public_url)


def _service(parts: Parts) -> service.Service:
    return service.Service(
        readiness=Readiness(
            database=parts.database,
            cache=parts.cache,
            outdated=parts.outdated,
            ailments=parts.ailments,
        ),
        jobs=parts.jobs,
        signing_in=parts.signing_in,
        measures=parts.measures,
        metrics_token=parts.settings.metrics_token,
        version=parts.settings.version,
    )
