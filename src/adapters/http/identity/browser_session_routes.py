"""Browser sessions over HTTP: sign in with a cookie, sign out."""

from collections.abc import Sequence
from typing import Any

from attrs import field, frozen

from workbell.adapters.http.identity.auth import BASE, NO_STORE, LoginBody, UserBody, user_body
from workbell.adapters.http.web.browser_sessions import BrowserSessions
from workbell.adapters.http.web.operations import (
    Access,
    AnyOperation,
    ApiRequest,
    ApiResponse,
    Operation,
)
from workbell.domain.identity.opaque_token import csrf_token
from workbell.services.identity.registration import RegistrationService


@frozen(kw_only=True, slots=False)
class BrowserSessionBody:
    """
    The signed-in user and the CSRF token of the session.

    Send `csrf_token` in the header X-CSRF-Token with every POST, PUT, PATCH and
    DELETE; it is null without a session cookie.
    """

    user: UserBody
    csrf_token: str | None = field(repr=False)


@frozen(kw_only=True)
class BrowserSessionRoutes:
    """The session of the calling browser."""

    browser: BrowserSessions
    identity: RegistrationService

    def open(self, request: ApiRequest[LoginBody]) -> ApiResponse:
        """Sign a user in and set the session cookie."""
        data = request.body
        login = self.browser.login(
            request.headers, data.identifier, data.password, request.client_info, data.code
        )
        body = BrowserSessionBody(
            user=user_body(login.user), csrf_token=csrf_token(login.token.secret)
        )
        return ApiResponse(body=body, headers=NO_STORE, cookie=self.browser.cookie(login))

    def show(self, request: ApiRequest) -> ApiResponse:
        """Return the caller and the CSRF token of the session."""
        user = user_body(self.identity.me(request.actor))
        token = self.browser.csrf(request.headers) if not request.token else None
        return ApiResponse(body=BrowserSessionBody(user=user, csrf_token=token), headers=NO_STORE)

    def close(self, request: ApiRequest) -> ApiResponse:
        """End the session, delete its cookie and clear the browser's storage."""
        self.browser.login_service.logout(request.actor)
        headers = {**NO_STORE, "Clear-Site-Data": '"cache", "storage"'}
        return ApiResponse(status=204, headers=headers, cookie=self.browser.cookie(None))


def operations(routes: BrowserSessionRoutes) -> Sequence[AnyOperation]:
    """Return the operations on browser sessions."""
    shared: dict[str, Any] = {"path": f"{BASE}/session", "tag": "identity"}
    return (
        Operation(
            method="POST", name="open_browser_session",
            summary="Sign in with a session cookie, from a page of this service.",
            handler=routes.open, request=LoginBody, responses={200: BrowserSessionBody},
            errors=(401, 403), access=Access.ANYONE, **shared,
        ),
        Operation(
            method="GET", name="get_browser_session",
            summary="Get the signed-in user and the CSRF token of the session.",
            handler=routes.show, responses={200: BrowserSessionBody}, access=Access.SELF,
            allowed_while_enrolling=True, **shared,
        ),
        Operation(
            method="DELETE", name="close_browser_session",
            summary="Sign out: end the browser session and delete its cookie.",
            handler=routes.close, responses={204: None}, errors=(400, 403), access=Access.SELF,
            no_api_key=True, allowed_while_enrolling=True, **shared,
        ),
    )  # fmt: skip
