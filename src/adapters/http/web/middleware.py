"""Middleware: hosts, origins, request ids, headers and problem documents."""

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
    http_refusal,
    in_style,
    status_of,
    unexpected_error_response,
)
from workbell.adapters.http.web.request import request_id
from workbell.adapters.serialization import json_codec as jsontext
from workbell.domain.client_address import client_address, is_secure
from workbell.domain.errors import WorkbellError
from workbell.domain.identity.actor import ANONYMOUS, ClientInfo
from workbell.domain.rate_limits.policy import RateLimited, rate_limit_headers
from workbell.ports.system import Ids

API_CSP = "default-src 'none'; frame-ancestors 'none'"
UNHOSTED = frozenset({"/livez", "/readyz", "/api/health", "/metrics"})
"""Where probes and Prometheus ask by address; nothing there depends on the host."""
EXPOSED = "ETag, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-ID"
MAX_AGE = "600"


@frozen(kw_only=True)
class HttpSettings:
    """Settings of the HTTP application."""

    public_url: str = "http://127.0.0.1:8000"
    allowed_hosts: Sequence[str] = ("localhost", "127.0.0.1", "[::1]")
    cors_origins: Sequence[str] = ()
    trusted_proxies: Sequence[IPv4Network | IPv6Network] = ()
    hsts_seconds: int = 31_536_000
    force_https: bool = False
    most_body_bytes: int = 1024 * 1024
    require_verified_email: str = "jobs"
    metrics_token: str | None = field(default=None, repr=False)
    version: str = "0"
    docs: bool = True


@frozen
class HttpMiddleware:
    """Falcon middleware that runs before and after every operation."""

    ids: Ids
    hosts: frozenset[str]
    origins: frozenset[str]
    headers: Mapping[str, str]
    proxies: Sequence[IPv4Network | IPv6Network] = ()
    force_https: bool = False
    log: Any = Factory(structlog.get_logger)

    @classmethod
    def of(cls, settings: HttpSettings, ids: Ids) -> "HttpMiddleware":
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
        origins = frozenset(settings.cors_origins)
        proxies = tuple(settings.trusted_proxies)
        return cls(ids, hosts, origins, headers, proxies, settings.force_https)

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Give the request its id; refuse hosts that are not ours; answer preflights.

        Raises:
            HTTPBadRequest: The host is not one of ours.
            HTTPPermanentRedirect: HTTPS is asked for, and this came without.
        """
        context = req.context
        context.began = perf_counter()
        found = request_id(req.get_header("X-Request-ID")) or self.ids.new()
        agent = req.user_agent or ""
        forwarded = req.get_header("X-Forwarded-For") or ""
        address = client_address(req.remote_addr or "", forwarded, self.proxies)
        context.origin = ClientInfo(request_id=found, address=address, user_agent=agent)
        context.operation = None
        context.user_id = None
        context.by_cookie = False
        context.actor = ANONYMOUS
        context.is_credential_refused = False
        context.limits = ()
        structlog.contextvars.bind_contextvars(request_id=found)
        if not self._is_ours(req):
            raise falcon.HTTPBadRequest(description="This host is not served here.")
        if self.force_https and not self._is_secure(req):
            raise falcon.HTTPPermanentRedirect(f"https://{req.host}{req.relative_uri}")
        if req.method == "OPTIONS" and req.get_header("Access-Control-Request-Method"):
            self._preflight(req, resp)

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, _: object, __: bool
    ) -> None:
        """Set the headers of every answer, and log the request."""
        context = req.context
        found = context.origin.request_id
        resp.set_headers(self.headers)
        resp.set_header("x-request-id", found)
        resp.set_headers(rate_limit_headers(context.limits))
        if resp.get_header("content-security-policy") is None:
            resp.set_header("content-security-policy", API_CSP)
        if self.origins:
            self._share(req, resp)
        operation: AnyOperation | None = context.operation
        said = self.log.debug if _is_probe(req) and resp.status_code == 200 else self.log.info
        said(
            "request",
            method=req.method,
            route=req.uri_template or "",
            operation=operation.name if operation else "",
            status=resp.status_code,
            request_id=found,
            ms=round((perf_counter() - context.began) * 1000, 2),
            user_id=context.user_id,
        )
        structlog.contextvars.unbind_contextvars("request_id")

    def _is_secure(self, req: falcon.Request) -> bool:
        forwarded = req.get_header("X-Forwarded-Proto") or ""
        peer = req.remote_addr or ""
        return _is_probe(req) or is_secure(peer, req.scheme, forwarded, self.proxies)

    def _is_ours(self, req: falcon.Request) -> bool:
        if "*" in self.hosts or _is_probe(req):
            return True
        try:
            return req.host.strip("[]").lower() in self.hosts
        except ValueError:
            return False

    def _preflight(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer what a browser asks before it lets a page of another origin call us."""
        resp.status = 204
        resp.complete = True
        if req.get_header("Origin") in self.origins:
            resp.set_headers(
                {
                    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
                    "Access-Control-Allow-Headers": (
                        "Authorization, Content-Type, Idempotency-Key, If-Match, X-Request-ID"
                    ),
                    "Access-Control-Max-Age": MAX_AGE,
                }
            )

    def _share(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.append_header("Vary", "Origin")
        origin = req.get_header("Origin")
        if origin in self.origins:
            resp.set_header("Access-Control-Allow-Origin", origin)
            resp.set_header("Access-Control-Expose-Headers", EXPOSED)


def _is_probe(req: falcon.Request) -> bool:
    """Whether somebody looks if we are there, every few seconds; what is well fills no log."""
    return req.path.rstrip("/") in UNHOSTED


@frozen
class Problems:
    """Falcon error handlers: every error becomes a problem document."""

    log: Any = Factory(structlog.get_logger)

    def known(
        self, req: falcon.Request, resp: falcon.Response, error: WorkbellError, _: object
    ) -> None:
        """Answer an error that was raised on purpose."""
        operation: AnyOperation | None = req.context.operation
        if isinstance(error, RateLimited):
            req.context.limits = error.decisions
        status = status_of(error, operation.statuses if operation else {})
        self._answer(req, resp, error_response(error, status, req.context.origin.request_id))

    def of_http(
        self, req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, _: object
    ) -> None:
        """Answer an error that Falcon or an HTTP check has raised."""
        self._answer(req, resp, http_refusal(error, req.context.origin.request_id))

    def unknown(
        self, req: falcon.Request, resp: falcon.Response, error: Exception, _: object
    ) -> None:
        """Log what nobody foresaw, and answer 500 without a word of it."""
        found = req.context.origin.request_id
        self.log.error("unexpected error", exc_info=error, path=req.path)
        self._answer(req, resp, unexpected_error_response(found))

    def _answer(self, req: falcon.Request, resp: falcon.Response, refused: ErrorResponse) -> None:
        operation: AnyOperation | None = req.context.operation
        style = operation.style if operation else Style.CANONICAL
        resp.status = refused.status
        resp.set_headers(dict(refused.headers))
        resp.set_header("cache-control", "no-store")
        resp.content_type = PROBLEM
        resp.stream = None
        resp.data = jsontext.dumps(in_style(refused, style))
