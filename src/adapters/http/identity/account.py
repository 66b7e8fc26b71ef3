"""One's own account over HTTP: profile, password, sessions, API keys."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from attrs import field, frozen

from workbell.adapters.http.identity.auth import (
    BASE,
    Address,
    AddressBody,
    MessageBody,
    Secret,
    SettingValue,
    UserBody,
    given,
    user_body,
)
from workbell.adapters.http.web.operations import (
    Access,
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
)
from workbell.adapters.http.web.pagination import PageQuery, single_page
from workbell.domain.constraints import Constraints
from workbell.domain.identity.api_key import NAME_LENGTH, ApiKey
from workbell.domain.identity.session import Session, SessionKind
from workbell.domain.identity.user import KeyScope
from workbell.services.identity.api_keys import ApiKeyService
from workbell.services.identity.login import LoginService
from workbell.services.identity.passwords import PasswordService
from workbell.services.identity.profiles import ProfileChange, ProfileService
from workbell.services.identity.sessions import SessionService

RESET = "If the address belongs to an account, a code is on its way to it."


@frozen(kw_only=True)
class ProfileBody:
    """What changes of one's own profile; what is left out or null stays."""

    username: SettingValue | None = None
    email: Address | None = None
    first_name: SettingValue | None = None
    last_name: SettingValue | None = None
    time_zone: SettingValue | None = None
    current_password: Secret | None = field(default=None, repr=False)


@frozen(kw_only=True)
class PasswordBody:
    """The current password and the new one."""

    current_password: Secret = field(repr=False)
    password: Secret = field(repr=False)
    password_confirm: Secret | None = field(default=None, repr=False)


@frozen(kw_only=True)
class ResetBody:
    """An address, the code that was mailed to it, and the new password."""

    email: Address
    password: Secret = field(repr=False)
    password_confirm: Secret | None = field(default=None, repr=False)
    otp: SettingValue | None = field(default=None, repr=False)
    otp_code: SettingValue | None = field(default=None, repr=False)

    @property
    def code(self) -> str:
        """The code, wherever it was given."""
        return given("otp", self.otp, self.otp_code)


@frozen(kw_only=True)
class NewKeyBody:
    """What a new API key is called, what it is good for, and until when."""

    name: Annotated[
        str, Constraints(min_length=1, max_length=NAME_LENGTH, example="nightly export")
    ]
    scopes: Annotated[Sequence[KeyScope], Constraints(min_length=1, max_length=3)]
    expires_at: datetime | None = None


@frozen(kw_only=True, slots=False)
class SessionBody:
    """A login that is alive; `current` is the one that asks."""

    id: str
    kind: SessionKind
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    address: str
    user_agent: str
    current: bool


@frozen(kw_only=True, slots=False)
class KeyBody:
    """An API key, without its secret."""

    id: int
    name: str
    prefix: str
    scopes: Sequence[KeyScope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


@frozen(kw_only=True, slots=False)
class MadeKeyBody:
    """A new API key, and the text to ask with, which is shown this once."""

    id: int
    name: str
    prefix: str
    scopes: Sequence[KeyScope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    key: str


def _session_body(session: Session, current: str) -> SessionBody:
    return SessionBody(
        id=session.id,
        kind=session.kind,
        created_at=session.created_at,
        last_used_at=session.last_used_at or session.created_at,
        expires_at=session.expires_at,
        address=session.address,
        user_agent=session.user_agent,
        current=session.id == current,
    )


def _key_values(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
    }


@frozen(kw_only=True)
class AccountRoutes:
    """One's own account."""

    signing_in: LoginService
    passwords: PasswordService
    profiles: ProfileService
    sessions: SessionService
    api_keys: ApiKeyService

    def logout(self, call: ApiRequest) -> ApiResponse:
        """End the session that asks."""
        self.signing_in.logout(call.actor)
        return ApiResponse(body=MessageBody(message="You have signed out."))

    def change_profile(self, call: ApiRequest[ProfileBody]) -> ApiResponse:
        """Change one's own profile."""
        asked = call.body
        change = ProfileChange(
            username=asked.username,
            email=asked.email,
            first_name=asked.first_name,
            last_name=asked.last_name,
            time_zone=asked.time_zone,
            current_password=asked.current_password,
        )
        return ApiResponse(body=user_body(self.profiles.change(call.actor, change)))

    def change_password(self, call: ApiRequest[PasswordBody]) -> ApiResponse:
        """Change one's own password, and end all other sessions."""
        asked = call.body
        self.passwords.change(
            call.actor, asked.current_password, asked.password, asked.password_confirm
        )
        said = "The password is changed, and all other sessions have ended."
        return ApiResponse(body=MessageBody(message=said))

    def request_reset(self, call: ApiRequest[AddressBody]) -> ApiResponse:
        """Mail a code for a new password, if the address is known."""
        self.passwords.request_reset(call.body.email, call.origin)
        return ApiResponse(body=MessageBody(message=RESET))

    def reset(self, call: ApiRequest[ResetBody]) -> ApiResponse:
        """Set a password by the mailed code, and end all sessions."""
        asked = call.body
        self.passwords.reset(
            asked.email, asked.code, asked.password, call.origin, asked.password_confirm
        )
        return ApiResponse(body=MessageBody(message="The password is set; sign in with it."))

    def list_sessions(self, call: ApiRequest[object, PageQuery]) -> ApiResponse:
        """Return one's own sessions, the newest first."""
        current = call.actor.session_id
        found = [_session_body(one, current) for one in self.sessions.list_sessions(call.actor)]
        return single_page(call, found, call.query.page, call.query.page_size)

    def revoke_session(self, call: ApiRequest) -> ApiResponse:
        """End one of one's own sessions."""
        self.sessions.revoke(call.actor, call.names["session"])
        return ApiResponse(status=204)

    def list_keys(self, call: ApiRequest[object, PageQuery]) -> ApiResponse:
        """Return one's own API keys, the newest first."""
        found = [KeyBody(**_key_values(key)) for key in self.api_keys.list_keys(call.actor)]
        return single_page(call, found, call.query.page, call.query.page_size)

    def make_key(self, call: ApiRequest[NewKeyBody]) -> ApiResponse:
        """Make an API key."""
        asked = call.body
        made = self.api_keys.create(call.actor, asked.name, asked.scopes, asked.expires_at)
        body = MadeKeyBody(**_key_values(made.key), key=made.text)
        headers = {"Location": f"{BASE}/api-keys/{made.key.id}", "Cache-Control": "no-store"}
        return ApiResponse(status=201, body=body, headers=headers)

    def revoke_key(self, call: ApiRequest) -> ApiResponse:
        """End one of one's own API keys."""
        self.api_keys.revoke(call.actor, call.ids["key_id"])
        return ApiResponse(status=204)


def operations(account: AccountRoutes) -> Sequence[AnyOperation]:
    """Return the canonical operations on one's own account."""
    own: dict[str, Any] = {"who": Access.SELF, "tag": "identity"}
    free: dict[str, Any] = {"who": Access.ANYONE, "tag": "identity"}
    said: dict[str, Any] = {"answers": {200: MessageBody}}
    return (
        Operation(
            method="POST", path=f"{BASE}/logout", name="logout", keyless=True, enrols=True,
            summary="End the session that asks, at once.", handler=account.logout,
            errors=(400, 403), **said, **own,
        ),
        Operation(
            method="PATCH", path=f"{BASE}/users/me", name="change_me",
            summary="Change one's own profile.", handler=account.change_profile, reveals=True,
            request=ProfileBody, answers={200: UserBody}, errors=(403, 503), **own,
        ),
        Operation(
            method="POST", path=f"{BASE}/password/change", name="change_password", keyless=True,
            summary="Change one's own password; all other sessions end.",
            handler=account.change_password, request=PasswordBody, errors=(403, 503),
            **said, **own,
        ),
        Operation(
            method="POST", path=f"{BASE}/password/reset", name="request_password_reset",
            summary="Have a code mailed, to set a forgotten password anew.",
            handler=account.request_reset, request=AddressBody, errors=(503,), **said, **free,
        ),
        Operation(
            method="POST", path=f"{BASE}/password/reset/confirm", name="reset_password",
            summary="Set a password by the mailed code; all sessions end.",
            handler=account.reset, request=ResetBody, errors=(503,), **said, **free,
        ),
        Operation(
            method="GET", path=f"{BASE}/sessions", name="list_sessions", keyless=True,
            summary="List one's own sessions, the newest first.", handler=account.list_sessions,
            query=PageQuery, answers={200: ListOf(SessionBody)}, errors=(403, 404), **own,
        ),
        Operation(
            method="DELETE", path=f"{BASE}/sessions/{{session}}", name="revoke_session", keyless=True,
            summary="End one's own session, or after a login of a moment ago another of one's own.",
            handler=account.revoke_session,
            answers={204: None}, errors=(403,), **own,
        ),
        Operation(
            method="GET", path=f"{BASE}/api-keys", name="list_api_keys", keyless=True,
            summary="List one's own API keys.", handler=account.list_keys, query=PageQuery,
            answers={200: ListOf(KeyBody)}, errors=(403, 404), **own,
        ),
        Operation(
            method="POST", path=f"{BASE}/api-keys", name="make_api_key", keyless=True,
            summary="Make an API key; its text is shown this once.", handler=account.make_key,
            request=NewKeyBody, answers={201: MadeKeyBody}, errors=(403, 409), **own,
        ),
        Operation(
            method="DELETE", path=f"{BASE}/api-keys/{{key_id}}", name="revoke_api_key", keyless=True,
            summary="End one of one's own API keys, at once.", handler=account.revoke_key,
            answers={204: None}, errors=(403,), **own,
        ),
    )  # fmt: skip
