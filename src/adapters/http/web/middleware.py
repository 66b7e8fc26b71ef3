"""Middleware: allowed hosts, CORS, request ids, headers, error handlers."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from time import perf_counter
from typing import Any

import falcon
import structlog
from attrs import Factory, field, frozen

from workbell.adapters.http.web.operations import PROBLEM, AnyOperation, Style
from workbell.adapters.http.web.problems import (
    ErrorResponse,
    error_response,
    get_status,
    http_error_response,
    in_style,
    unexpected_error_response,
)
from workbell.adapters.http.web.request import parse_request_id
from workbell.adapters.logs import get_logger
from workbell.adapters.serialization import json_codec as jsontext
from workbell.domain.client_address import client_address, is_secure
from workbell.domain.errors import WorkbellError
from workbell.domain.identity.actor import ANONYMOUS, ClientInfo
from workbell.domain.rate_limits.policy import RateLimited, rate_limit_headers
from workbell.ports.system import Ids

API_CSP = "default-src 'none'; frame-ancestors 'none'"
PROBE_PATHS = frozenset({"/livez", "/readyz", "/api/health", "/metrics"})
"""Exempt from host and HTTPS checks: probes and Prometheus connect by IP address."""
CORS_EXPOSED = "ETag, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-ID"
CORS_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": (
        "Authorization, Content-Type, Idempotency-Key, If-Match, X-Request-ID"
    ),
    "Access-Control-Max-Age": "600",
}


@frozen(kw_only=True)
class HttpSettings:
    """Settings of the HTTP application."""

    public_url: str = "http://127.0.0.1:8000"
    allowed_hosts: Sequence[str] = ("localhost", "127.0.0.1", "[::1]")
    cors_origins: Sequence[str] = ()
    trusted_proxies: Sequence[IPv4Network | IPv6Network] = ()
    hsts_seconds: int = 31_536_000
    force_https: bool = False
    max_body_bytes: int = 1024 * 1024
    require_verified_email: str = "jobs"
    metrics_token: str | None = field(default=None, repr=False)
    version: str = "0"
    docs: bool = True


@frozen
class HttpMiddleware:
    """Falcon middleware that runs before and after every request."""

    ids: Ids
    hosts: frozenset[str]
    headers: Mapping[str, str]
    settings: HttpSettings
    log: Any = Factory(get_logger)

    @classmethod
    def from_settings(cls, settings: HttpSettings, ids: Ids) -> "HttpMiddleware":
        """Return the middleware for the settings."""
        headers = {
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "x-frame-options": "DENY",
            "cross-origin-opener-policy": "same-origin",
        }
        if settings.public_url.startswith("https://") and settings.hsts_seconds:
            headers["strict-transport-security"] = f"max-age={settings.hsts_seconds}"
        hosts = frozenset(host.strip("[]").lower() for host in settings.allowed_hosts)
        return cls(ids, hosts, headers, settings)

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Set up the request context, check the host, and answer CORS preflights.

        Raises:
            HTTPBadRequest: The host is not an allowed one.
            HTTPPermanentRedirect: HTTPS is required, and the request used HTTP.
        """
        context = req.context
        context.started = perf_counter()
        request_id = parse_request_id(req.get_header("X-Request-ID")) or self.ids.new()
        agent = req.user_agent or ""
        forwarded = req.get_header("X-Forwarded-For") or ""
        address = client_address(req.remote_addr or "", forwarded, self.settings.trusted_proxies)
        context.client_info = ClientInfo(request_id=request_id, address=address, user_agent=agent)
        context.operation = None
        context.user_id = None
        context.by_cookie = False
        context.actor = ANONYMOUS
        context.is_credential_refused = False
        context.limits = ()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        if not self._is_allowed_host(req):
            raise falcon.HTTPBadRequest(
                description="The Host header is not an allowed host (ALLOWED_HOSTS)."
            )
        if self.settings.force_https and not self._is_secure(req):
            raise falcon.HTTPPermanentRedirect(f"https://{req.host}{req.relative_uri}")
        if req.method == "OPTIONS" and req.get_header("Access-Control-Request-Method"):
            self._preflight(req, resp)

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, _: object, __: bool
    ) -> None:
        """Set the common response headers and log the request."""
        context = req.context
        request_id = context.client_info.request_id
        resp.set_headers(self.headers)
        resp.set_header("x-request-id", request_id)
        resp.set_headers(rate_limit_headers(context.limits))
        if resp.get_header("content-security-policy") is None:
            resp.set_header("content-security-policy", API_CSP)
        if self.settings.cors_origins:
            self._add_cors(req, resp)
        operation: AnyOperation | None = context.operation
        log = self.log.debug if _is_probe(req) and resp.status_code == 200 else self.log.info
        log(
            "request",
            method=req.method,
            route=req.uri_template or "",
            operation=operation.name if operation else "",
            status=resp.status_code,
            request_id=request_id,
            ms=round((perf_counter() - context.started) * 1000, 2),
            user_id=context.user_id,
        )
        structlog.contextvars.unbind_contextvars("request_id")

    def _is_secure(self, req: falcon.Request) -> bool:
        forwarded = req.get_header("X-Forwarded-Proto") or ""
        peer = req.remote_addr or ""
        return _is_probe(req) or is_secure(
            peer, req.scheme, forwarded, self.settings.trusted_proxies
        )

    def _is_allowed_host(self, req: falcon.Request) -> bool:
        if "*" in self.hosts or _is_probe(req):
            return True
        try:
            return req.host.strip("[]").lower() in self.hosts
        except ValueError:
            return False

    def _preflight(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.status = 204
        resp.complete = True
        if req.get_header("Origin") in self.settings.cors_origins:
            resp.set_headers(CORS_PREFLIGHT)

    def _add_cors(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.append_header("Vary", "Origin")
        origin = req.get_header("Origin")
        if origin and origin in self.settings.cors_origins:
            resp.set_header("Access-Control-Allow-Origin", origin)
            resp.set_header("Access-Control-Expose-Headers", CORS_EXPOSED)


def _is_probe(req: falcon.Request) -> bool:
    return req.path.rstrip("/") in PROBE_PATHS


@frozen
class ErrorHandlers:
    """Falcon error handlers; each responds with a problem document."""

    log: Any = Factory(get_logger)

    def handle_workbell_error(
        self, req: falcon.Request, resp: falcon.Response, error: WorkbellError, _: object
    ) -> None:
        """Respond to an error of the domain or the services."""
        operation: AnyOperation | None = req.context.operation
        if isinstance(error, RateLimited):
            req.context.limits = error.decisions
        status = get_status(error, operation.statuses if operation else {})
        self._respond(req, resp, error_response(error, status, req.context.client_info.request_id))

    def handle_http_error(
        self, req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, _: object
    ) -> None:
        """Respond to an error that Falcon or an HTTP check raised."""
        self._respond(req, resp, http_error_response(error, req.context.client_info.request_id))

    def handle_unexpected_error(
        self, req: falcon.Request, resp: falcon.Response, error: Exception, _: object
    ) -> None:
        """Log an unexpected error and respond with 500, without its details."""
        self.log.error("unexpected_error", exc_info=error, path=req.path)
        self._respond(req, resp, unexpected_error_response(req.context.client_info.request_id))

    def _respond(self, req: falcon.Request, resp: falcon.Response, error: ErrorResponse) -> None:
        operation: AnyOperation | None = req.context.operation
        style = operation.style if operation else Style.CANONICAL
        resp.status = error.status
        resp.set_headers(dict(error.headers))
        resp.set_header("cache-control", "no-store")
        resp.content_type = PROBLEM
        resp.stream = None
        resp.data = jsontext.dumps(in_style(error, style))
