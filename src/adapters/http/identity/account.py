"""The caller's account over HTTP: profile, password, sessions, API keys."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from attrs import field, frozen

from workbell.adapters.http.identity.auth import (
    BASE,
    NO_STORE,
    EmailAddress,
    EmailBody,
    EmailCodeBody,
    MessageBody,
    Secret,
    ShortText,
    UserBody,
    message_response,
    user_body,
)
from workbell.adapters.http.web.mapping import copy_fields
from workbell.adapters.http.web.operations import (
    Access,
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
)
from workbell.adapters.http.web.pagination import PageQuery, single_page
from workbell.domain.constraints import Constraints, Instant
from workbell.domain.identity.api_key import NAME_LENGTH, ApiKey
from workbell.domain.identity.session import Session, SessionKind
from workbell.domain.identity.user import KeyScope
from workbell.services.identity.api_keys import ApiKeyService
from workbell.services.identity.login import LoginService
from workbell.services.identity.passwords import PasswordService
from workbell.services.identity.profiles import ProfileChange, ProfileService
from workbell.services.identity.sessions import SessionService

NO_KEY: Mapping[str, Any] = {"access": Access.SELF, "tag": "identity", "no_api_key": True}


@frozen(kw_only=True)
class ProfileChangeBody:
    """Changes to the caller's profile; omitted and null fields are unchanged."""

    username: ShortText | None = None
    email: EmailAddress | None = None
    first_name: ShortText | None = None
    last_name: ShortText | None = None
    time_zone: ShortText | None = None
    current_password: Secret | None = field(default=None, repr=False)


@frozen(kw_only=True)
class PasswordChangeBody:
    """The current password and the new one."""

    current_password: Secret = field(repr=False)
    password: Secret = field(repr=False)
    password_confirm: Secret | None = field(default=None, repr=False)


@frozen(kw_only=True)
class PasswordResetBody(EmailCodeBody):
    """An email address, the code sent to it, and the new password."""

    password: Secret = field(repr=False)
    password_confirm: Secret | None = field(default=None, repr=False)


@frozen(kw_only=True)
class NewApiKeyBody:
    """Name, scopes and expiry of a new API key."""

    name: Annotated[
        str, Constraints(min_length=1, max_length=NAME_LENGTH, example="nightly export")
    ]
    scopes: Annotated[Sequence[KeyScope], Constraints(min_length=1, max_length=3)]
    expires_at: Instant | None = None


@frozen(kw_only=True, slots=False)
class SessionBody:
    """An active session; `current` marks the session of this request."""

    id: str
    kind: SessionKind
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    address: str
    user_agent: str
    current: bool


@frozen(kw_only=True, slots=False)
class ApiKeyBody:
    """An API key, without its secret."""

    id: int
    name: str
    prefix: str
    scopes: Sequence[KeyScope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


@frozen(kw_only=True, slots=False)
class CreatedApiKeyBody(ApiKeyBody):
    """A new API key with its secret `key`, which is returned only once."""

    key: str


def _session_body(session: Session, current_id: str) -> SessionBody:
    return copy_fields(
        SessionBody,
        session,
        last_used_at=session.last_used_at or session.created_at,
        current=session.id == current_id,
    )


def _api_key_body(key: ApiKey) -> ApiKeyBody:
    return copy_fields(ApiKeyBody, key, scopes=sorted(key.scopes))


@frozen(kw_only=True)
class AccountRoutes:
    """The caller's own account."""

    login_service: LoginService
    passwords: PasswordService
    profiles: ProfileService
    sessions: SessionService
    api_keys: ApiKeyService

    def logout(self, request: ApiRequest) -> ApiResponse:
        """End the session of this request."""
        self.login_service.logout(request.actor)
        return message_response("You are signed out.")

    def change_profile(self, request: ApiRequest[ProfileChangeBody]) -> ApiResponse:
        """Change the caller's profile."""
        change = copy_fields(ProfileChange, request.body)
        return ApiResponse(body=user_body(self.profiles.change(request.actor, change)))

    def change_password(self, request: ApiRequest[PasswordChangeBody]) -> ApiResponse:
        """Change the caller's password and end all other sessions."""
        data = request.body
        self.passwords.change(
            request.actor, data.current_password, data.password, data.password_confirm
        )
        return message_response("The password is changed; all other sessions have ended.")

    def request_reset(self, request: ApiRequest[EmailBody]) -> ApiResponse:
        """Email a password reset code if the address belongs to an account."""
        self.passwords.request_reset(request.body.email, request.client_info)
        return message_response("If the address belongs to an account, a code has been sent.")

    def reset(self, request: ApiRequest[PasswordResetBody]) -> ApiResponse:
        """Set a new password by the emailed code and end all sessions."""
        data = request.body
        self.passwords.reset(
            data.email, data.code, data.password, request.client_info, data.password_confirm
        )
        return message_response("The password is set; sign in with it.")

    def list_sessions(self, request: ApiRequest[object, PageQuery]) -> ApiResponse:
        """Return the caller's sessions, newest first."""
        current = request.actor.session_id
        sessions = self.sessions.list_sessions(request.actor)
        bodies = [_session_body(session, current) for session in sessions]
        return single_page(request, bodies)

    def revoke_session(self, request: ApiRequest) -> ApiResponse:
        """End one of the caller's sessions."""
        self.sessions.revoke(request.actor, request.names["session"])
        return ApiResponse(status=204)

    def list_keys(self, request: ApiRequest[object, PageQuery]) -> ApiResponse:
        """Return the caller's API keys, newest first."""
        keys = [_api_key_body(key) for key in self.api_keys.list_keys(request.actor)]
        return single_page(request, keys)

    def create_key(self, request: ApiRequest[NewApiKeyBody]) -> ApiResponse:
        """Create an API key."""
        data = request.body
        created = self.api_keys.create(request.actor, data.name, data.scopes, data.expires_at)
        body = copy_fields(CreatedApiKeyBody, _api_key_body(created.key), key=created.text)
        headers = {"Location": f"{BASE}/api-keys/{created.key.id}", **NO_STORE}
        return ApiResponse(status=201, body=body, headers=headers)

    def revoke_key(self, request: ApiRequest) -> ApiResponse:
        """Revoke one of the caller's API keys."""
        self.api_keys.revoke(request.actor, request.ids["key_id"])
        return ApiResponse(status=204)


def operations(routes: AccountRoutes) -> Sequence[AnyOperation]:
    """Return the canonical operations on the caller's own account."""
    return (*_profile_operations(routes), *_session_operations(routes), *_key_operations(routes))


def _profile_operations(routes: AccountRoutes) -> Sequence[AnyOperation]:
    public: dict[str, Any] = {"access": Access.ANYONE, "tag": "identity"}
    message: dict[str, Any] = {"responses": {200: MessageBody}}
    return (
        Operation(
            method="PATCH", path=f"{BASE}/users/me", name="change_me",
            summary="Change the current user's profile.", handler=routes.change_profile,
            request=ProfileChangeBody, responses={200: UserBody}, errors=(403, 503),
            discloses_accounts=True, access=Access.SELF, tag="identity",
        ),
        Operation(
            method="POST", path=f"{BASE}/password/change", name="change_password",
            summary="Change the current user's password and end all other sessions.",
            handler=routes.change_password, request=PasswordChangeBody, errors=(403, 503),
            **message, **NO_KEY,
        ),
        Operation(
            method="POST", path=f"{BASE}/password/reset", name="request_password_reset",
            summary="Email a code for setting a new password.",
            handler=routes.request_reset, request=EmailBody, errors=(503,), **message, **public,
        ),
        Operation(
            method="POST", path=f"{BASE}/password/reset/confirm", name="reset_password",
            summary="Set a new password with the emailed code and end all sessions.",
            handler=routes.reset, request=PasswordResetBody, errors=(503,), **message, **public,
        ),
    )  # fmt: skip


def _session_operations(routes: AccountRoutes) -> Sequence[AnyOperation]:
    return (
        Operation(
            method="POST", path=f"{BASE}/logout", name="logout",
            summary="Sign out: end the session of this request.", handler=routes.logout,
            errors=(400, 403), allowed_while_enrolling=True, responses={200: MessageBody}, **NO_KEY,
        ),
        Operation(
            method="GET", path=f"{BASE}/sessions", name="list_sessions",
            summary="List the current user's sessions, newest first.", query=PageQuery,
            handler=routes.list_sessions, responses={200: ListOf(SessionBody)}, errors=(403, 404),
            **NO_KEY,
        ),
        Operation(
            method="DELETE", path=f"{BASE}/sessions/{{session}}", name="revoke_session",
            summary="End a session; ending another than the current one requires a recent sign-in.",
            handler=routes.revoke_session, responses={204: None}, errors=(403,), **NO_KEY,
        ),
    )  # fmt: skip


def _key_operations(routes: AccountRoutes) -> Sequence[AnyOperation]:
    return (
        Operation(
            method="GET", path=f"{BASE}/api-keys", name="list_api_keys",
            summary="List the current user's API keys, newest first.", handler=routes.list_keys,
            query=PageQuery, responses={200: ListOf(ApiKeyBody)}, errors=(403, 404), **NO_KEY,
        ),
        Operation(
            method="POST", path=f"{BASE}/api-keys", name="make_api_key",
            summary="Create an API key; its secret is returned only once.",
            handler=routes.create_key, request=NewApiKeyBody, errors=(403, 409),
            responses={201: CreatedApiKeyBody}, **NO_KEY,
        ),
        Operation(
            method="DELETE", path=f"{BASE}/api-keys/{{key_id}}", name="revoke_api_key",
            summary="Revoke an API key immediately.", handler=routes.revoke_key, errors=(403,),
            responses={204: None}, **NO_KEY,
        ),
    )  # fmt: skip
