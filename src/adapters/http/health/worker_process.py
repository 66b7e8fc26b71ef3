"""Liveness, readiness and metrics of worker and scheduler processes."""

import hmac
from collections.abc import Callable, Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import falcon
from attrs import field, frozen

from workbell.adapters.observability.metrics import CONTENT_TYPE, MetricsRegistry
from workbell.domain.errors import Unavailable
from workbell.ports.store import Health

WsgiApp = falcon.App[falcon.Request, falcon.Response]


@frozen(kw_only=True)
class Readiness:
    """
    Readiness check of a process.

    Attributes:
        cache: Raises Unavailable if the cache does not respond, which is
            reported but does not make the process unready.
        outdated: Schema revisions that are too old for this code. Unknown
            (newer) revisions are accepted, for rolling upgrades.
        health_problems: Returns other reasons for not being ready.
    """

    database: Health
    cache: Callable[[], None]
    outdated: Collection[str] = ()
    health_problems: Callable[[], Sequence[str]] = tuple

    def check(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """Return the reasons for not being ready, and the state of the parts."""
        reasons = list(self.health_problems())
        state = {"cache": probe(self.cache)}
        try:
            revision = state["schema_version"] = self.database.schema_version()
        except Unavailable as error:
            return [*reasons, error.detail], state
        if revision in self.outdated:
            reasons.append(f"The database schema has the outdated revision {revision}: migrate it.")
        return reasons, state


def probe(ping: Callable[[], None]) -> str:
    """Return "connected", or "disconnected" if `ping` raises Unavailable."""
    try:
        ping()
    except Unavailable:
        return "disconnected"
    return "connected"


@frozen(kw_only=True)
class WorkerHealthRoutes:
    """
    Health and metrics endpoints of a worker or scheduler process.

    The port is meant for probes and Prometheus only. If `token` is set,
    metrics require it as Bearer token.
    """

    readiness: Readiness
    metrics_registry: MetricsRegistry
    token: str | None = field(repr=False)

    def live(self, _: falcon.Request, resp: falcon.Response) -> None:
        """Report that the process is alive."""
        resp.media = {"status": "alive"}

    def ready(self, _: falcon.Request, resp: falcon.Response) -> None:
        """Report whether the process is ready, or the reasons why not."""
        reasons, state = self.readiness.check()
        status = "not ready" if reasons else "ready"
        resp.status = 503 if reasons else 200
        resp.media = {"status": status, "reasons": [*reasons], **state}

    def metrics(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return the metrics of the process."""
        given = req.get_header("Authorization", default="").encode()
        if self.token is not None and not hmac.compare_digest(
            given, f"Bearer {self.token}".encode()
        ):
            raise falcon.HTTPUnauthorized(challenges=["Bearer"])
        resp.content_type = CONTENT_TYPE
        resp.data = self.metrics_registry.exposition()


def make_worker_health_app(routes: WorkerHealthRoutes) -> WsgiApp:
    """Return the WSGI application with the health endpoints of a process."""
    app = falcon.App()
    responders: dict[str, Any] = {
        "/livez": routes.live,
        "/readyz": routes.ready,
        "/metrics": routes.metrics,
    }
    for path, responder in responders.items():
        app.add_route(path, SimpleNamespace(on_get=responder, on_head=responder), compile=False)
    return app
