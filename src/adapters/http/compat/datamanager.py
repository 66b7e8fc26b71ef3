"""DataManager's routes: sign-in and people under /users/."""

from collections.abc import Sequence
from typing import Any

from attrs import field, frozen

from workbell.adapters.http.identity.auth import (
    Code,
    EmailAddress,
    MessageBody,
    Secret,
    ShortText,
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
from workbell.adapters.http.web.pagination import PageNumber, PageSize, make_slice, numbered_page
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

    email: EmailAddress
    password: Secret = field(repr=False)


@frozen(kw_only=True)
class DataManagerLoginBody(DataManagerAccountBody):
    """An address and a password, and a code if need be."""

    code: Code = field(default="", repr=False)


@frozen(kw_only=True)
class DataManagerInviteBody:
    """Whom to invite."""

    email: EmailAddress


@frozen(kw_only=True)
class DataManagerUserQuery:
    """Which people to list."""

    email: EmailAddress | None = None
    page: PageNumber = 1
    page_size: PageSize = None


@frozen(kw_only=True)
class DataManagerChangeBody:
    """What changes of a person; what is left out or null stays."""

    email: EmailAddress | None = None
    first_name: ShortText | None = None
    last_name: ShortText | None = None
    password: Secret | None = field(default=None, repr=False)
    current_password: Secret | None = field(default=None, repr=False)


@frozen(kw_only=True, slots=False)
class DataManagerRegistrationResponse:
    """The new person, and a token to go on with, unless an address must be verified first."""

    message: str
    user: UserBody
    token: str | None


@frozen(kw_only=True, slots=False)
class DataManagerLoginResponse:
    """An opaque token, and whose it is."""

    token: str
    user_id: int


@frozen(kw_only=True)
class DataManagerUserRoutes:
    """Registering, signing in and people, in DataManager's shapes."""

    identity: RegistrationService
    signing_in: LoginService
    profiles: ProfileService
    people: UserAdministration

    def register(self, request: ApiRequest[DataManagerAccountBody]) -> ApiResponse:
        """Give a person an account, and open a session."""
        data = request.body
        new = Registration(email=data.email, password=data.password)
        user = self.identity.register(new, request.origin)
        token = None
        try:
            opened = self.signing_in.login_opaque(user.email, data.password, request.origin)
            token = opened.token.text
        except EmailNotVerified:
            pass
        body = DataManagerRegistrationResponse(
            message="The user was registered.", user=user_body(user), token=token
        )
        return ApiResponse(status=201, body=body)

    def login(self, request: ApiRequest[DataManagerLoginBody]) -> ApiResponse:
        """Open a session."""
        data = request.body
        found = self.signing_in.login_opaque(
            data.email, data.password, request.origin, code=data.code
        )
        return ApiResponse(
            body=DataManagerLoginResponse(token=found.token.text, user_id=found.user.id)
        )

    def logout(self, request: ApiRequest) -> ApiResponse:
        """End the session that asks."""
        self.signing_in.logout(request.actor)
        return ApiResponse(body=MessageBody(message="You have signed out."))

    def invite(self, request: ApiRequest[DataManagerInviteBody]) -> ApiResponse:
        """Add somebody by their address; who is new sets a password by a mailed code."""
        data = request.body
        user, is_new = self.people.invite(request.actor, data.email)
        return ApiResponse(status=201 if is_new else 200, body=user_body(user))

    def list(self, request: ApiRequest[object, DataManagerUserQuery]) -> ApiResponse:
        """Return a page of the people whom the caller may see."""
        query = request.query
        part = make_slice(request, query.page, query.page_size)
        found, total = self.people.find_visible(
            request.actor, UserFilter(email=query.email), ("id",), part.offset, part.size
        )
        return numbered_page(request, part, [user_body(one) for one in found], total)

    def change(self, request: ApiRequest[DataManagerChangeBody]) -> ApiResponse:
        """Change a person: oneself, or as a superuser anybody."""
        data = request.body
        change = ProfileChange(
            email=data.email,
            first_name=data.first_name,
            last_name=data.last_name,
            password=data.password,
            current_password=data.current_password,
        )
        changed = self.profiles.change(request.actor, change, UserId(request.ids["user_id"]))
        return ApiResponse(body=user_body(changed))

    def exists(self, request: ApiRequest) -> object:
        """Refuse a person whom the caller may not change, before the body is read."""
        return self.profiles.get_profile(request.actor, UserId(request.ids["user_id"]))


def identity_operations(own: DataManagerUserRoutes) -> Sequence[AnyOperation]:
    """Return the routes under /users/."""
    style: dict[str, Any] = {"style": Style.DATAMANAGER, "tag": "DataManager"}
    return (
        Operation(
            method="POST", path="/users/register", name="datamanager_register", summary="Register.",
            discloses_accounts=True,
            handler=own.register, request=DataManagerAccountBody, responses={201: DataManagerRegistrationResponse},
            errors=(503,), access=Access.ANYONE, **style,
        ),
        Operation(
            method="POST", path="/users/login", name="datamanager_login", summary="Sign in.",
            handler=own.login, request=DataManagerLoginBody, responses={200: DataManagerLoginResponse},
            errors=(401, 403), access=Access.ANYONE, **style,
        ),
        Operation(
            method="POST", path="/users/logout", name="datamanager_logout", no_api_key=True,
            summary="End the session that asks, at once.", handler=own.logout,
            responses={200: MessageBody}, errors=(400, 403), access=Access.SELF, **style,
        ),
        Operation(
            method="POST", path="/users/invite", name="datamanager_invite",
            summary="Invite somebody who has no password yet.", handler=own.invite,
            request=DataManagerInviteBody, responses={200: UserBody, 201: UserBody}, errors=(503,),
            access=Access.SUPERUSER, **style,
        ),
        Operation(
            method="GET", path="/users", name="datamanager_list_users",
            summary="List the people whom one may see.", handler=own.list, query=DataManagerUserQuery,
            responses={200: ListOf(UserBody)}, errors=(404,), access=Access.USER, **style,
        ),
        Operation(
            method="PUT", path="/users/{user_id}", name="datamanager_change_user",
            summary="Change oneself, or as a superuser anybody.", handler=own.change, discloses_accounts=True,
            request=DataManagerChangeBody, responses={200: UserBody}, errors=(403, 503),
            exists=own.exists, access=Access.USER, **style,
        ),
    )  # fmt: skip
