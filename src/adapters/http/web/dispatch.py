"""Request pipeline between a route and its handler."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

import falcon
from attrs import evolve, frozen

from workbell.adapters.http.web.browser_sessions import BrowserSessions
from workbell.adapters.http.web.operations import (
    Access,
    AnyOperation,
    ApiRequest,
    ApiResponse,
    is_integer_parameter,
)
from workbell.adapters.http.web.query_params import QueryReader
from workbell.adapters.http.web.request import (
    BodyReader,
    add_content_hash,
    matches_tag,
    parse_bearer_token,
    parse_if_match,
    parse_if_none_match,
    parse_path_id,
)
from workbell.adapters.observability.tracing import span
from workbell.adapters.serialization import json_codec as jsontext
from workbell.domain.errors import NotAllowed, Unauthenticated, WorkbellError
from workbell.domain.identity.actor import ANONYMOUS, Actor, ClientInfo
from workbell.domain.identity.permissions import KEY_SCOPE_MISSING, check_enrolment, key_allows
from workbell.domain.identity.second_factor import SecondFactorRequired
from workbell.domain.identity.session import TokenExpired
from workbell.domain.identity.user import EmailNotVerified, WrongCredentials
from workbell.domain.rate_limits.policy import RateLimited, RateLimitRequest, Route
from workbell.services.audit.entries import RefusalAudit
from workbell.services.rate_limits import RateLimiting

_AUDITED_BY_LOGIN = (EmailNotVerified, SecondFactorRequired)


class VerifiedEmailPolicy(StrEnum):
    """Operations that need a verified address (REQUIRE_VERIFIED_EMAIL)."""

    JOBS = "jobs"
    ALL = "all"
    NONE = "none"


@frozen(kw_only=True)
class Dispatcher:
    """
    Authenticates, authorizes and validates requests for the handlers.

    Checks run in this order: capacity to hash a password (sign-in only),
    authentication, rate limits, permission, existence, query, body. Clients
    without permission therefore cannot find out whether a resource exists.
    """

    browser: BrowserSessions
    bodies: BodyReader
    queries: QueryReader
    verified_email: VerifiedEmailPolicy
    refusals: RefusalAudit
    rate_limits: RateLimiting | None = None

    def make_responder(self, operation: AnyOperation) -> Callable[..., None]:
        """Return the Falcon responder of an operation."""

        def respond(req: falcon.Request, resp: falcon.Response, **path: str) -> None:
            req.context.operation = operation
            attributes = {"request": req.context.client_info.request_id}
            try:
                with span(f"{operation.method} {operation.path}", **attributes):
                    response = operation.handler(self.make_request(req, operation, path))
            except WorkbellError as error:
                self._audit(req, operation, error)
                raise
            _write_response(req, resp, response)

        return respond

    def make_request(
        self, req: falcon.Request, operation: AnyOperation, path: Mapping[str, str]
    ) -> ApiRequest:
        """
        Return the request for the operation's handler, after all checks.

        Raises:
            WorkbellError: The request is not allowed, or its content is invalid.
            HTTPError: The request violates HTTP, such as its media type.
        """
        ids = {
            name: parse_path_id(text) for name, text in path.items() if is_integer_parameter(name)
        }
        _check_accept(req, operation.media_types)
        client_info: ClientInfo = req.context.client_info
        token = parse_bearer_token(req.get_header("Authorization"))
        actor = self._authorize(req, operation, token, client_info)

        def build(
            query: Any, parameters: Mapping[str, str], body: Any, content: bytes = b""
        ) -> ApiRequest:
            return ApiRequest(
                actor=actor,
                client_info=client_info,
                ids=ids,
                names={name: text for name, text in path.items() if name not in ids},
                body=body,
                content=content,
                query=query,
                url=f"{req.scheme}://{req.netloc}{req.path}",
                parameters=parameters,
                style=operation.style,
                accept=req.accept,
                token=token,
                headers=req.get_header,
                idempotency_key=req.get_header("Idempotency-Key") if operation.idempotent else None,
                versions=parse_if_match(req.get_header("If-Match")) if operation.etag else None,
                excluded=parse_if_none_match(req.get_header("If-None-Match")),
            )

        if operation.exists is not None:
            operation.exists(build(None, {}, None))
        query, parameters = self.queries.read(req.query_string, operation.query)
        if operation.request is None:
            return build(query, parameters, None)
        body, content = self.bodies.read(req, operation)
        return build(query, parameters, body, content)

    def _authorize(
        self, req: falcon.Request, operation: AnyOperation, token: str, client_info: ClientInfo
    ) -> Actor:
        """Return the caller after checking rate limits and permissions."""
        if operation.route is Route.SIGN_IN:
            self.browser.login_service.hasher.check_capacity()
        try:
            actor = self._authenticate(req, operation, token, client_info)
        except (Unauthenticated, NotAllowed) as error:
            sent = bool(token) or req.context.by_cookie
            req.context.is_credential_refused = sent and not isinstance(error, TokenExpired)
            self._admit(req, operation, ANONYMOUS)
            raise
        req.context.actor, req.context.user_id = actor, actor.user_id or None
        self._admit(req, operation, actor)
        check_enrolment(actor, enrolling=operation.allowed_while_enrolling)
        if not key_allows(actor, operation.key_scope):
            needed = operation.key_scope
            raise NotAllowed(
                f"This API key lacks the scope {needed}." if needed else KEY_SCOPE_MISSING
            )
        if operation.access is Access.SUPERUSER and not actor.is_super_user:
            raise NotAllowed("Only superusers may do this.")
        if self._requires_verified_email(operation.access) and not actor.is_email_verified:
            raise EmailNotVerified
        return actor

    def _requires_verified_email(self, access: Access) -> bool:
        if access is Access.VERIFIED:
            return self.verified_email is not VerifiedEmailPolicy.NONE
        restricted = access in {Access.USER, Access.SUPERUSER}
        return restricted and self.verified_email is VerifiedEmailPolicy.ALL

    def _authenticate(
        self, req: falcon.Request, operation: AnyOperation, token: str, client_info: ClientInfo
    ) -> Actor:
        """Return the caller by bearer token or, without one, by session cookie."""
        if operation.access is Access.ANYONE:
            return ANONYMOUS
        if token:
            return self.browser.login_service.authenticate(token, client_info)
        if operation.by_cookie and self.browser.has_cookie(req.get_header):
            req.context.by_cookie = True
            return self.browser.actor(req.method, req.get_header, client_info)
        raise Unauthenticated("Sign in, and send the access token as a Bearer token.")

    def _audit(self, req: falcon.Request, operation: AnyOperation, error: WorkbellError) -> None:
        """Record a security-relevant refusal unless the service has recorded it."""
        is_audited = operation.access is Access.ANYONE and isinstance(error, _AUDITED_BY_LOGIN)
        is_login_route = operation.route is Route.SIGN_IN
        if isinstance(error, NotAllowed) and not is_audited:
            action, target = "DENIED", operation.name
        elif is_login_route and isinstance(error, RateLimited):
            action, target = "SIGN_IN_THROTTLED", operation.name
        elif req.context.is_credential_refused or _is_bad_token(req, operation, error):
            action, target = "CREDENTIAL_REFUSED", ""
        else:
            return
        actor = evolve(req.context.actor, client_info=req.context.client_info)
        self.refusals.record(actor, action, target, error)

    def _admit(self, req: falcon.Request, operation: AnyOperation, actor: Actor) -> None:
        """Count the request, and set its limits for the response headers."""
        if self.rate_limits is not None:
            req.context.limits = self.rate_limits.admit(
                RateLimitRequest(
                    address=req.context.client_info.address,
                    route=operation.route,
                    user_id=actor.user_id or None,
                    tier=actor.tier,
                    session_id=actor.session_id,
                    by_cookie=req.context.by_cookie,
                )
            )


def _is_bad_token(req: falcon.Request, operation: AnyOperation, error: WorkbellError) -> bool:
    """Whether a handler rejected a token of its own (refresh, metrics)."""
    if operation.access is not Access.ANYONE or not isinstance(error, Unauthenticated):
        return False
    # expired tokens are no incident; LoginService records wrong credentials
    ignored = isinstance(error, (TokenExpired, WrongCredentials))
    return not ignored and bool(operation.request or req.auth)


def _write_response(req: falcon.Request, resp: falcon.Response, response: ApiResponse) -> None:
    """Write the response of a handler; 304 if If-None-Match matches its ETag."""
    resp.status = response.status
    if response.headers:
        resp.set_headers(dict(response.headers))
    if req.context.by_cookie and "Cache-Control" not in response.headers:
        resp.set_header("Cache-Control", "private, no-cache")
    if response.cookie:
        resp.append_header("Set-Cookie", response.cookie)
    if response.status == 204:
        return
    resp.content_type = response.media_type
    tag = response.headers.get("ETag")
    if isinstance(response.body, Iterator):
        _stream(req, resp, response.body)
        return
    if isinstance(response.body, bytes):
        resp.data = response.body
    else:
        resp.data = jsontext.dumps(response.body)
        if tag and req.method in {"GET", "HEAD"}:
            tag = add_content_hash(tag, resp.data)
            resp.set_header("ETag", tag)
    if req.method in {"GET", "HEAD"}:
        _not_modified(req, resp, tag)


def _not_modified(req: falcon.Request, resp: falcon.Response, tag: str | None) -> None:
    """Answer 304 without a body if the client has this version cached."""
    if tag and matches_tag(req.get_header("If-None-Match"), tag):
        resp.status = 304
        resp.data = None
        resp.delete_header("content-type")


def _stream(req: falcon.Request, resp: falcon.Response, chunks: Iterator[bytes]) -> None:
    """Stream the chunks; a HEAD request closes the iterator and sends none."""
    if req.method == "HEAD":
        next(chunks, b"")  # closing a generator that has not started skips its cleanup
        getattr(chunks, "close", lambda: None)()
        resp.stream = iter(())  # keeps Falcon from adding Content-Length: 0
    else:
        resp.stream = chunks


def _check_accept(req: falcon.Request, media_types: Sequence[str]) -> None:
    accept = req.accept
    if accept == "*/*" or "*/*" in media_types or "*/*;" in accept or "*/*," in accept:
        return
    if any(one in accept or req.client_accepts(one) for one in media_types):
        return
    available = " or ".join(media_types)
    raise falcon.HTTPNotAcceptable(description=f"Available media types: {available}.")
