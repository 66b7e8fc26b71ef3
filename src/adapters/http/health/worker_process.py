"""A process without an API about itself: alive, ready, and what it counts."""

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
    Whether a process can do its work.

    `outdated` are the revisions of tables that this code cannot work with; a
    newer one than it knows is that of the next release, which is made to let
    this one end its work. `cache` raises Unavailable where it does not answer,
    which only makes work slower; `ailments` tells what else is wrong.
    """

    database: Health
    cache: Callable[[], None]
    outdated: Collection[str] = ()
    ailments: Callable[[], Sequence[str]] = tuple

    def check(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """Return what is in the way, and what there is to know."""
        wrong = list(self.ailments())
        facts = {"cache": probe(self.cache)}
        try:
            found = facts["schema_version"] = self.database.schema_version()
        except Unavailable as error:
            return [*wrong, error.detail], facts
        if found in self.outdated:
            wrong.append(f"The tables have the outdated revision {found}: migrate them first.")
        return wrong, facts


def probe(ask: Callable[[], None]) -> str:
    """Return how it is with something that raises Unavailable where it does not answer."""
    try:
        ask()
    except Unavailable:
        return "disconnected"
    return "connected"


@frozen(kw_only=True)
class WorkerHealthRoutes:
    """
    What a worker or a scheduler answers over HTTP.

    Its port is for probes and for Prometheus, and not for the world; what it
    counts is for who has the token, if there is one.
    """

    readiness: Readiness
    metrics_registry: MetricsRegistry
    token: str | None = field(repr=False)

    def live(self, _: falcon.Request, resp: falcon.Response) -> None:
        """Answer that the process is alive."""
        resp.media = {"status": "alive"}

    def ready(self, _: falcon.Request, resp: falcon.Response) -> None:
        """Answer whether it can do its work, or why not."""
        wrong, facts = self.readiness.check()
        resp.status = 503 if wrong else 200
        resp.media = {"status": "not ready" if wrong else "ready", "reasons": [*wrong], **facts}

    def metrics(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return the metrics of the process."""
        given = req.get_header("Authorization", default="").encode()
        if self.token is not None and not hmac.compare_digest(
            given, f"Bearer {self.token}".encode()
        ):
            raise falcon.HTTPUnauthorized(challenges=["Bearer"])
        resp.content_type = CONTENT_TYPE
        resp.data = self.metrics_registry.exposition()


def make_worker_health_app(face: WorkerHealthRoutes) -> WsgiApp:
    """Return the application of a process without an API."""
    app = falcon.App()
    routes: dict[str, Any] = {
        "/livez": face.live,
        "/readyz": face.ready,
        "/metrics": face.metrics,
    }
    for path, responder in routes.items():
        app.add_route(path, SimpleNamespace(on_get=responder, on_head=responder), compile=False)
    return app
