"""Browser sign-in over HTTP: open, show and close the session."""

from collections.abc import Sequence

from attrs import field, frozen

from workbell.adapters.http.identity.auth import BASE, LoginBody, UserBody, user_body
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
    Who has signed in with a cookie, and the CSRF token of their pages.

    `csrf_token` goes into the header X-CSRF-Token of whatever changes
    something; it is null for who asks without a cookie.
    """

    user: UserBody
    csrf_token: str | None = field(repr=False)


@frozen(kw_only=True)
class BrowserSessionRoutes:
    """The session of the browser that asks."""

    browser: BrowserSessions
    identity: RegistrationService

    def open(self, call: ApiRequest[LoginBody]) -> ApiResponse:
        """Sign somebody in, and give their browser a cookie."""
        asked = call.body
        opened = self.browser.login(
            call.headers, asked.identifier, asked.password, call.origin, asked.code
        )
        body = BrowserSessionBody(
            user=user_body(opened.user), csrf_token=csrf_token(opened.token.secret)
        )
        return ApiResponse(body=body, headers=_NO_STORE, cookie=self.browser.cookie(opened))

    def show(self, call: ApiRequest) -> ApiResponse:
        """Return who asks, and the CSRF token of their pages."""
        user = user_body(self.identity.me(call.actor))
        token = self.browser.csrf(call.headers) if not call.token else None
        return ApiResponse(body=BrowserSessionBody(user=user, csrf_token=token), headers=_NO_STORE)

    def close(self, call: ApiRequest) -> ApiResponse:
        """End the session that asks, and take back the cookie with all that is stored."""
        self.browser.signing_in.logout(call.actor)
        headers = {**_NO_STORE, "Clear-Site-Data": '"cache", "storage"'}
        return ApiResponse(status=204, headers=headers, cookie=self.browser.cookie(None))


_NO_STORE = {"Cache-Control": "no-store"}


def operations(session: BrowserSessionRoutes) -> Sequence[AnyOperation]:
    """Return the operations that browsers sign in and out by."""
    path, tag = f"{BASE}/session", "identity"
    return (
        Operation(
            method="POST", path=path, name="open_browser_session",
            summary="Sign in with a cookie, from a page of the service's own.",
            handler=session.open, request=LoginBody, answers={200: BrowserSessionBody},
            errors=(401, 403), who=Access.ANYONE, tag=tag,
        ),
        Operation(
            method="GET", path=path, name="get_browser_session",
            summary="Show who asks, and the CSRF token of their pages.",
            handler=session.show, answers={200: BrowserSessionBody}, who=Access.SELF, enrols=True,
            tag=tag,
        ),
        Operation(
            method="DELETE", path=path, name="close_browser_session", keyless=True,
            enrols=True,
            summary="End the session that asks, and take back its cookie.",
            handler=session.close, answers={204: None}, errors=(400, 403), who=Access.SELF,
            tag=tag,
        ),
    )  # fmt: skip
