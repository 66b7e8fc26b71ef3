"""The usual probe of /livez, answered ahead of Falcon."""

from collections.abc import Iterable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import falcon
import structlog
from attrs import Factory, frozen

from workbell.adapters.http.health.api_process import NO_STORE, LiveBody
from workbell.adapters.http.web.operations import JSON
from workbell.adapters.http.web.request import request_id
from workbell.adapters.observability.tracing import span
from workbell.adapters.serialization import json_codec as jsontext
from workbell.ports.system import Ids

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LIVE: Final = "/livez"
FalconApp = falcon.App[falcon.Request, falcon.Response]

_BODY: Final = jsontext.dumps(LiveBody(status="alive"))
_PECULIAR: Final = ("HTTP_ORIGIN", "QUERY_STRING")


@frozen
class Alive:
    """
    Answers the usual probe, exactly as the operation does.

    A probe that asks for more than the answer (a query, a media type, a word
    to another origin) is left to the operation.
    """

    ids: Ids
    headers: Sequence[tuple[str, str]]
    log: Any = Factory(structlog.get_logger)

    @classmethod
    def of(cls, ids: Ids, headers: Iterable[tuple[str, str]]) -> "Alive":
        """Return what answers with the headers that every answer has."""
        own = {"content-type": JSON, "content-length": str(len(_BODY)), **NO_STORE}
        return cls(ids, [(name.lower(), value) for name, value in (*own.items(), *headers)])

    def is_asked(self, env: "WSGIEnvironment") -> bool:
        """Whether this is the usual probe."""
        return (
            env["PATH_INFO"] == LIVE
            and env["REQUEST_METHOD"] == "GET"
            and env.get("HTTP_ACCEPT", "*/*") == "*/*"
            and not any(env.get(name) for name in _PECULIAR)
        )

    def answer(self, env: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer that the process is alive."""
        began = perf_counter()
        found = request_id(env.get("HTTP_X_REQUEST_ID")) or self.ids.new()
        with span(f"GET {LIVE}", request=found):
            start_response("200 OK", [*self.headers, ("x-request-id", found)])
        self.log.debug(
            "request",
            method="GET",
            route=LIVE,
            operation="get_liveness",
            status=200,
            request_id=found,
            ms=round((perf_counter() - began) * 1000, 2),
            user_id=None,
        )
        return (_BODY,)


class App(FalconApp):
    """Falcon's application, and ahead of it what answers probes."""

    alive: Alive | None = None

    def __call__(self, env: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a WSGI request."""
        if self.alive is not None and self.alive.is_asked(env):
            return self.alive.answer(env, start_response)
        return super().__call__(env, start_response)
