"""DataManager's routes: sign-in and people under /users/."""

from collections.abc import Sequence
from typing import Any

from attrs import field, frozen

from workbell.adapters.http.identity.auth import (
    Address,
    Code,
    MessageBody,
    Secret,
    SettingValue,
    UserBody,
    user_body,
)
from workbell.adapters.http.web.operations import (
    Access,
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
    Style,
)
from workbell.adapters.http.web.pagination import PageNumber, PageSize, make_slice, numbered
from workbell.domain.identity.registration import Registration
from workbell.domain.identity.user import EmailNotVerified, UserId
from workbell.ports.identity.users import UserFilter
from workbell.services.identity.login import LoginService
from workbell.services.identity.profiles import ProfileChange, ProfileService
from workbell.services.identity.registration import RegistrationService
from workbell.services.identity.users import UserAdministration


@frozen(kw_only=True)
class DataManagerAccountBody:
    """An address and a password."""

    email: Address
    password: Secret = field(repr=False)


@frozen(kw_only=True)
class DataManagerLoginBody(DataManagerAccountBody):
    """An address and a password, and a code if need be."""

    code: Code = field(default="", repr=False)


@frozen(kw_only=True)
class DataManagerInviteBody:
    """Whom to invite."""

    email: Address


@frozen(kw_only=True)
class DataManagerUserQuery:
    """Which people to list."""

    email: Address | None = None
    page: PageNumber = 1
    page_size: PageSize = None


@frozen(kw_only=True)
class DataManagerChangeBody:
    """What changes of a person; what is left out or null stays."""

    email: Address | None = None
    first_name: SettingValue | None = None
    last_name: SettingValue | None = None
    password: Secret | None = field(default=None, repr=False)
    current_password: Secret | None = field(default=None, repr=False)


@frozen(kw_only=True, slots=False)
class DataManagerRegistered:
    """The new person, and a token to go on with, unless an address must be verified first."""

    message: str
    user: UserBody
    token: str | None


@frozen(kw_only=True, slots=False)
class DataManagerSignedIn:
    """An opaque token, and whose it is."""

    token: str
    user_id: int


@frozen(kw_only=True)
class DataManagerIdentity:
    """Registering, signing in and people, in DataManager's shapes."""

    identity: RegistrationService
    signing_in: LoginService
    profiles: ProfileService
    people: UserAdministration

    def register(self, call: ApiRequest[DataManagerAccountBody]) -> ApiResponse:
        """Give a person an account, and open a session."""
        asked = call.body
        new = Registration(email=asked.email, password=asked.password)
        user = self.identity.register(new, call.origin)
        token = None
        try:
            opened = self.signing_in.login_opaque(user.email, asked.password, call.origin)
            token = opened.token.text
        except EmailNotVerified:
            pass
        body = DataManagerRegistered(
            message="The user was registered.", user=user_body(user), token=token
        )
        return ApiResponse(status=201, body=body)

    def login(self, call: ApiRequest[DataManagerLoginBody]) -> ApiResponse:
        """Open a session."""
        asked = call.body
        found = self.signing_in.login_opaque(
            asked.email, asked.password, call.origin, code=asked.code
        )
        return ApiResponse(body=DataManagerSignedIn(token=found.token.text, user_id=found.user.id))

    def logout(self, call: ApiRequest) -> ApiResponse:
        """End the session that asks."""
        self.signing_in.logout(call.actor)
        return ApiResponse(body=MessageBody(message="You have signed out."))

    def invite(self, call: ApiRequest[DataManagerInviteBody]) -> ApiResponse:
        """Add somebody by their address; who is new sets a password by a mailed code."""
        asked = call.body
        user, is_new = self.people.invite(call.actor, asked.email)
        return ApiResponse(status=201 if is_new else 200, body=user_body(user))

    def list(self, call: ApiRequest[object, DataManagerUserQuery]) -> ApiResponse:
        """Return a page of the people whom the caller may see."""
        asked = call.query
        part = make_slice(call, asked.page, asked.page_size)
        found, total = self.people.find_visible(
            call.actor, UserFilter(email=asked.email), ("id",), part.offset, part.size
        )
        return numbered(call, part, [user_body(one) for one in found], total)

    def change(self, call: ApiRequest[DataManagerChangeBody]) -> ApiResponse:
        """Change a person: oneself, or as a superuser anybody."""
        asked = call.body
        change = ProfileChange(
            email=asked.email,
            first_name=asked.first_name,
            last_name=asked.last_name,
            password=asked.password,
            current_password=asked.current_password,
        )
        changed = self.profiles.change(call.actor, change, UserId(call.ids["user_id"]))
        return ApiResponse(body=user_body(changed))

    def exists(self, call: ApiRequest) -> object:
        """Refuse a person whom the caller may not change, before the body is read."""
        return self.profiles.get_profile(call.actor, UserId(call.ids["user_id"]))


def identity_operations(own: DataManagerIdentity) -> Sequence[AnyOperation]:
    """Return the routes under /users/."""
    style: dict[str, Any] = {"style": Style.DATAMANAGER, "tag": "DataManager"}
    return (
        Operation(
            method="POST", path="/users/register", name="datamanager_register", summary="Register.",
            reveals=True,
            handler=own.register, request=DataManagerAccountBody, answers={201: DataManagerRegistered},
            errors=(503,), who=Access.ANYONE, **style,
        ),
        Operation(
            method="POST", path="/users/login", name="datamanager_login", summary="Sign in.",
            handler=own.login, request=DataManagerLoginBody, answers={200: DataManagerSignedIn},
            errors=(401, 403), who=Access.ANYONE, **style,
        ),
        Operation(
            method="POST", path="/users/logout", name="datamanager_logout", keyless=True,
            summary="End the session that asks, at once.", handler=own.logout,
            answers={200: MessageBody}, errors=(400, 403), who=Access.SELF, **style,
        ),
        Operation(
            method="POST", path="/users/invite", name="datamanager_invite",
            summary="Invite somebody who has no password yet.", handler=own.invite,
            request=DataManagerInviteBody, answers={200: UserBody, 201: UserBody}, errors=(503,),
            who=Access.SUPERUSER, **style,
        ),
        Operation(
            method="GET", path="/users", name="datamanager_list_users",
            summary="List the people whom one may see.", handler=own.list, query=DataManagerUserQuery,
            answers={200: ListOf(UserBody)}, errors=(404,), who=Access.USER, **style,
        ),
        Operation(
            method="PUT", path="/users/{user_id}", name="datamanager_change_user",
            summary="Change oneself, or as a superuser anybody.", handler=own.change, reveals=True,
            request=DataManagerChangeBody, answers={200: UserBody}, errors=(403, 503),
            exists=own.exists, who=Access.USER, **style,
        ),
    )  # fmt: skip
