"""DataManager's routes: sign-in and users under /users/."""

from collections.abc import Sequence
from typing import Any

from attrs import field, frozen

from workbell.adapters.http.identity.account import AccountRoutes
from workbell.adapters.http.identity.auth import (
    EmailAddress,
    EmailBody,
    EmailLoginBody,
    EmailPasswordBody,
    MessageBody,
    Secret,
    ShortText,
    UserBody,
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
    Style,
)
from workbell.adapters.http.web.pagination import PageQuery, make_slice, numbered_page
from workbell.domain.identity.registration import Registration
from workbell.domain.identity.user import EmailNotVerified, UserId
from workbell.ports.identity.users import UserFilter
from workbell.services.identity.login import LoginService
from workbell.services.identity.profiles import ProfileChange, ProfileService
from workbell.services.identity.registration import RegistrationService
from workbell.services.identity.users import UserAdministration


@frozen(kw_only=True)
class DataManagerUserQuery(PageQuery):
    """Filter and page of a list of users."""

    email: EmailAddress | None = None


@frozen(kw_only=True)
class DataManagerChangeBody:
    """Changes to a user; omitted and null fields are unchanged."""

    email: EmailAddress | None = None
    first_name: ShortText | None = None
    last_name: ShortText | None = None
    password: Secret | None = field(default=None, repr=False)
    current_password: Secret | None = field(default=None, repr=False)


@frozen(kw_only=True, slots=False)
class DataManagerRegistrationResponse:
    """The new user; no `token` if the address must be verified first."""

    message: str
    user: UserBody
    token: str | None


@frozen(kw_only=True, slots=False)
class DataManagerLoginResponse:
    """An opaque token and the id of its user."""

    token: str
    user_id: int


@frozen(kw_only=True)
class DataManagerUserRoutes:
    """Registration, sign-in and users of the DataManager API."""

    identity: RegistrationService
    signing_in: LoginService
    profiles: ProfileService
    people: UserAdministration

    def register(self, request: ApiRequest[EmailPasswordBody]) -> ApiResponse:
        """Create an account and open a session."""
        data = request.body
        new = Registration(email=data.email, password=data.password)
        user = self.identity.register(new, request.client_info)
        try:
            login = self.signing_in.login_opaque(user.email, data.password, request.client_info)
            token = login.token.text
        except EmailNotVerified:
            token = None
        body = DataManagerRegistrationResponse(
            message="The user was registered.", user=user_body(user), token=token
        )
        return ApiResponse(status=201, body=body)

    def login(self, request: ApiRequest[EmailLoginBody]) -> ApiResponse:
        """Sign a user in with an opaque token."""
        data = request.body
        login = self.signing_in.login_opaque(
            data.email, data.password, request.client_info, code=data.code
        )
        body = DataManagerLoginResponse(token=login.token.text, user_id=login.user.id)
        return ApiResponse(body=body)

    def invite(self, request: ApiRequest[EmailBody]) -> ApiResponse:
        """Create an account for an address and email a code for its password."""
        user, is_new = self.people.invite(request.actor, request.body.email)
        return ApiResponse(status=201 if is_new else 200, body=user_body(user))

    def list(self, request: ApiRequest[object, DataManagerUserQuery]) -> ApiResponse:
        """Return a page of the users that the caller may see."""
        query = request.query
        part = make_slice(request, query.page, query.page_size)
        users, total = self.people.find_visible(
            request.actor, UserFilter(email=query.email), ("id",), part.offset, part.size
        )
        return numbered_page(request, part, [user_body(user) for user in users], total)

    def change(self, request: ApiRequest[DataManagerChangeBody]) -> ApiResponse:
        """Change the caller's account; superusers may change any account."""
        change = copy_fields(ProfileChange, request.body)
        changed = self.profiles.change(request.actor, change, UserId(request.ids["user_id"]))
        return ApiResponse(body=user_body(changed))

    def exists(self, request: ApiRequest) -> object:
        """Raise unless the caller may change the user."""
        return self.profiles.get_profile(request.actor, UserId(request.ids["user_id"]))


def identity_operations(
    own: DataManagerUserRoutes, account: AccountRoutes
) -> Sequence[AnyOperation]:
    """Return the routes under /users/."""
    style: dict[str, Any] = {"style": Style.DATAMANAGER, "tag": "DataManager"}
    return (
        Operation(
            method="POST", path="/users/register", name="datamanager_register",
            summary="Create an account and, unless verification is required, open a session.",
            handler=own.register, request=EmailPasswordBody,
            responses={201: DataManagerRegistrationResponse}, errors=(503,),
            access=Access.ANYONE, discloses_accounts=True, **style,
        ),
        Operation(
            method="POST", path="/users/login", name="datamanager_login",
            summary="Sign in with an email address, and get an opaque token.",
            handler=own.login, request=EmailLoginBody, responses={200: DataManagerLoginResponse},
            errors=(401, 403), access=Access.ANYONE, **style,
        ),
        Operation(
            method="POST", path="/users/logout", name="datamanager_logout", no_api_key=True,
            summary="Sign out: end the session of this request.", handler=account.logout,
            responses={200: MessageBody}, errors=(400, 403), access=Access.SELF, **style,
        ),
        Operation(
            method="POST", path="/users/invite", name="datamanager_invite",
            summary="Invite a user by email address.", handler=own.invite,
            request=EmailBody, responses={200: UserBody, 201: UserBody}, errors=(503,),
            access=Access.SUPERUSER, **style,
        ),
        Operation(
            method="GET", path="/users", name="datamanager_list_users",
            summary="List the users that the current user may see.", handler=own.list,
            query=DataManagerUserQuery, responses={200: ListOf(UserBody)}, errors=(404,),
            access=Access.USER, **style,
        ),
        Operation(
            method="PUT", path="/users/{user_id}", name="datamanager_change_user",
            summary="Change the current user; superusers may change any user.", handler=own.change,
            discloses_accounts=True, request=DataManagerChangeBody, responses={200: UserBody},
            errors=(403, 503), exists=own.exists, access=Access.USER, **style,
        ),
    )  # fmt: skip
