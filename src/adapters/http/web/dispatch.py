"""Dispatch: what happens between a route and its handler, in order."""

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
    is_number,
)
from workbell.adapters.http.web.query_params import QueryReader
from workbell.adapters.http.web.request import BodyReader, bearer, path_id, versions
from workbell.adapters.observability.tracing import span
from workbell.adapters.serialization import json_codec as jsontext
from workbell.domain.errors import NotAllowed, Unauthenticated, WorkbellError
from workbell.domain.identity.actor import ANONYMOUS, Actor, ClientInfo
from workbell.domain.identity.permissions import KEY_SCOPE_MISSING, check_enrolment, key_allows
from workbell.domain.identity.second_factor import SecondFactorRequired
from workbell.domain.identity.session import TokenExpired
from workbell.domain.identity.user import EmailNotVerified, WrongCredentials
from workbell.domain.rate_limits.policy import RateLimited, RateLimitRequest, Route
from workbell.services.audit import RefusalAudit
from workbell.services.rate_limits import RateLimiting

_KEPT = (EmailNotVerified, SecondFactorRequired)
"""What the service remembers itself, where it refuses to sign somebody in."""


class Verified(StrEnum):
    """Where a verified e-mail address is needed (REQUIRE_VERIFIED_EMAIL)."""

    JOBS = "jobs"
    ALL = "all"
    NONE = "none"


@frozen(kw_only=True)
class Dispatch:
    """
    Takes a request through its operation.

    The order of judging is room to hash (where that is done), authentication,
    limits, permission, existence, query, body: so nobody learns from what
    they sent whether something exists.
    """

    browser: BrowserSessions
    bodies: BodyReader
    queries: QueryReader
    verified_for: Mapping[Access, bool]
    refusals: RefusalAudit
    rate_limits: RateLimiting | None = None

    @classmethod
    def of(
        cls,
        browser: BrowserSessions,
        bodies: BodyReader,
        queries: QueryReader,
        needed: Verified,
        refusals: RefusalAudit,
        rate_limits: RateLimiting | None = None,
    ) -> "Dispatch":
        """Return the dispatch that asks for verified addresses where they are needed."""
        verified_for = {
            Access.ANYONE: False,
            Access.SELF: False,
            Access.USER: needed is Verified.ALL,
            Access.VERIFIED: needed is not Verified.NONE,
            Access.SUPERUSER: needed is Verified.ALL,
        }
        return cls(
            browser=browser,
            bodies=bodies,
            queries=queries,
            verified_for=verified_for,
            refusals=refusals,
            rate_limits=rate_limits,
        )

    def responder(self, operation: AnyOperation) -> Callable[..., None]:
        """Return the Falcon responder of an operation."""

        def respond(req: falcon.Request, resp: falcon.Response, **path: str) -> None:
            req.context.operation = operation
            request = {"request": req.context.origin.request_id}
            try:
                with span(f"{operation.method} {operation.path}", **request):
                    answer = operation.handler(self.call(req, operation, path))
            except WorkbellError as error:
                self._audit(req, operation, error)
                raise
            write(req, resp, answer)

        return respond

    def call(
        self, req: falcon.Request, operation: AnyOperation, path: Mapping[str, str]
    ) -> ApiRequest:
        """
        Return the request as the operation's handler sees it.

        Raises:
            WorkbellError: It is not allowed, or what it sent does not fit.
            HTTPError: The same, of what belongs to HTTP.
        """
        ids = {name: path_id(text) for name, text in path.items() if is_number(name)}
        _check_accept(req, operation.media)
        origin: ClientInfo = req.context.origin
        token = bearer(req.get_header("Authorization"))
        actor = self._actor(req, operation, token, origin)

        def as_call(query: Any, parameters: Mapping[str, str], body: Any) -> ApiRequest:
            return ApiRequest(
                actor=actor,
                origin=origin,
                ids=ids,
                names={name: text for name, text in path.items() if name not in ids},
                body=body,
                query=query,
                url=f"{req.scheme}://{req.netloc}{req.path}",
                parameters=parameters,
                style=operation.style,
                accept=req.accept,
                token=token,
                headers=req.get_header,
                idempotency_key=req.get_header("Idempotency-Key") if operation.idempotent else None,
                versions=versions(req.get_header("If-Match")) if operation.etag else None,
            )

        if operation.exists is not None:
            operation.exists(as_call(None, {}, None))
        query, parameters = self.queries.read(req.query_string, operation.query)
        body = None if operation.request is None else self.bodies.read(req, operation)
        return as_call(query, parameters, body)

    def _actor(
        self, req: falcon.Request, operation: AnyOperation, token: str, origin: ClientInfo
    ) -> Actor:
        """Return who asks, if they may, and not too often."""
        if operation.route is Route.SIGN_IN:
            self.browser.signing_in.hasher.check_capacity()
        try:
            actor = self._authenticated(req, operation, token, origin)
        except (Unauthenticated, NotAllowed) as error:
            sent = bool(token) or req.context.by_cookie
            req.context.is_credential_refused = sent and not isinstance(error, TokenExpired)
            self._admit(req, operation, ANONYMOUS)
            raise
        req.context.actor, req.context.user_id = actor, actor.user_id or None
        self._admit(req, operation, actor)
        check_enrolment(actor, enrolling=operation.enrols)
        if not key_allows(actor, operation.key_scope):
            needed = operation.key_scope
            raise NotAllowed(
                f"This API key has not the scope {needed}." if needed else KEY_SCOPE_MISSING
            )
        if operation.who is Access.SUPERUSER and not actor.is_super_user:
            raise NotAllowed("This is for superusers.")
        if self.verified_for[operation.who] and not actor.is_email_verified:
            raise EmailNotVerified
        return actor

    def _authenticated(
        self, req: falcon.Request, operation: AnyOperation, token: str, origin: ClientInfo
    ) -> Actor:
        """Return who asks, with a token or, where there is none, with a cookie."""
        if operation.who is Access.ANYONE:
            return ANONYMOUS
        if token:
            return self.browser.signing_in.authenticate(token, origin)
        if operation.by_cookie and self.browser.has_cookie(req.get_header):
            req.context.by_cookie = True
            return self.browser.actor(req.method, req.get_header, origin)
        raise Unauthenticated("Sign in, and send the access token as a Bearer token.")

    def _audit(self, req: falcon.Request, operation: AnyOperation, error: WorkbellError) -> None:
        """Keep what was refused for a reason of security, unless the service has done so."""
        kept_already = operation.who is Access.ANYONE and isinstance(error, _KEPT)
        at_the_door = operation.route is Route.SIGN_IN and isinstance(error, RateLimited)
        if isinstance(error, NotAllowed) and not kept_already:
            action, what = "DENIED", operation.name
        elif at_the_door:
            action, what = "SIGN_IN_THROTTLED", operation.name
        elif req.context.is_credential_refused or _is_bad_token(req, operation, error):
            action, what = "CREDENTIAL_REFUSED", ""
        else:
            return
        actor = evolve(req.context.actor, client_info=req.context.origin)
        self.refusals.record(actor, action, what, error)

    def _admit(self, req: falcon.Request, operation: AnyOperation, actor: Actor) -> None:
        """Count the request; where it is refused, its headers still tell the limits."""
        if self.rate_limits is None:
            return
        asked = RateLimitRequest(
            address=req.context.origin.address,
            route=operation.route,
            user_id=actor.user_id or None,
            tier=actor.tier,
            session_id=actor.session_id,
            by_cookie=req.context.by_cookie,
        )
        req.context.limits = self.rate_limits.admit(asked)


def _is_bad_token(req: falcon.Request, operation: AnyOperation, error: WorkbellError) -> bool:
    """Whether a token was bad that the handler itself has read: one to refresh, or of metrics."""
    if operation.who is not Access.ANYONE or not isinstance(error, Unauthenticated):
        return False
    known = isinstance(error, (TokenExpired, WrongCredentials))  # no event, or kept by the service
    return not known and bool(operation.request or req.auth)


def write(req: falcon.Request, resp: falcon.Response, answer: ApiResponse) -> None:
    """Put an answer into the response; whoever has it already (ETag) gets 304."""
    resp.status = answer.status
    if answer.headers:
        resp.set_headers(dict(answer.headers))
    if req.context.by_cookie and "Cache-Control" not in answer.headers:
        resp.set_header("Cache-Control", "private, no-cache")
    if answer.cookie:
        resp.append_header("Set-Cookie", answer.cookie)
    if answer.status == 204:
        return
    resp.content_type = answer.media_type
    if isinstance(answer.body, bytes):
        resp.data = answer.body
        _not_modified(req, resp, answer.headers.get("ETag"))
    elif isinstance(answer.body, Iterator):
        _stream(req, resp, answer.body)
    else:
        resp.data = jsontext.dumps(answer.body)


def _not_modified(req: falcon.Request, resp: falcon.Response, tag: str | None) -> None:
    """Answer 304 to who has exactly these bytes already."""
    known = req.get_header("If-None-Match")
    if tag and known and (known.strip() == "*" or tag in known):
        resp.status = 304
        resp.data = None
        resp.delete_header("content-type")


def _stream(req: falcon.Request, resp: falcon.Response, pieces: Iterator[bytes]) -> None:
    """Send the pieces one by one; a HEAD request gets none, and nothing stays open."""
    if req.method == "HEAD":
        next(pieces, b"")  # what was never begun would not be closed by closing it
        getattr(pieces, "close", lambda: None)()
        resp.stream = iter(())  # so that no length of 0 is told
    else:
        resp.stream = pieces


def _check_accept(req: falcon.Request, media: Sequence[str]) -> None:
    accept = req.accept
    if accept == "*/*" or "*/*" in media or "*/*;" in accept or "*/*," in accept:
        return
    if any(one in accept or req.client_accepts(one) for one in media):
        return
    raise falcon.HTTPNotAcceptable(description=f"This is answered as {' or '.join(media)} only.")
