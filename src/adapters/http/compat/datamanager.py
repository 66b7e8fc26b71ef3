"""DataManager's routes: users, accounts, members and destinations."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from workbell.adapters.http.delivery import accounts, destinations, members
from workbell.adapters.http.identity.account import AccountRoutes
from workbell.adapters.http.identity.auth import (
    EmailAddress,
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
from workbell.domain.delivery.account import AccountId, RoleChoice
from workbell.domain.errors import NotFound
from workbell.domain.identity.registration import Registration
from workbell.domain.identity.user import EmailNotVerified, UserId
from workbell.services.delivery.members import MemberService
from workbell.services.delivery.requests import NORMAL, Invitation
from workbell.services.delivery.users import AccountUserService
from workbell.services.identity.login import LoginService
from workbell.services.identity.profiles import ProfileChange, ProfileService

STYLE: Mapping[str, Any] = {"style": Style.DATAMANAGER, "tag": "DataManager"}


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


@frozen(kw_only=True)
class DataManagerInvitation:
    """A user to add to an account, by email address."""

    email: EmailAddress
    account_id: int
    role: RoleChoice = NORMAL


@frozen(kw_only=True, slots=False)
class DataManagerRegistrationResponse:
    """The new user; no `token` if the address must be verified first."""

    message: str
    user: UserBody
    token: str | None


@frozen(kw_only=True, slots=False)
class DataManagerLoginResponse:
    """
    An opaque token, the id of its user, and that of the user's first account.

    `id` is the account's, as in DataManager; it is null without an account.
    """

    token: str
    id: int | None
    user_id: int
    account_id: int | None


@frozen(kw_only=True)
class DataManagerUserRoutes:
    """Registration, sign-in and users of the DataManager API."""

    users: AccountUserService
    members: MemberService
    signing_in: LoginService
    profiles: ProfileService

    def register(self, request: ApiRequest[EmailPasswordBody]) -> ApiResponse:
        """Create a user with an account, and open a session."""
        data = request.body
        new = Registration(email=data.email, password=data.password)
        user = self.users.register(new, request.client_info)
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
        account_id = self.users.find_default_account(login.user.id)
        body = DataManagerLoginResponse(
            token=login.token.text, id=account_id, user_id=login.user.id, account_id=account_id
        )
        return ApiResponse(body=body)

    def invite(self, request: ApiRequest[DataManagerInvitation]) -> ApiResponse:
        """Add a user to an account; a new one gets a code for a password by email."""
        data = request.body
        invitation = Invitation(email=data.email, role=data.role)
        member, is_new = self.members.invite(request.actor, AccountId(data.account_id), invitation)
        return ApiResponse(status=201 if is_new else 200, body=user_body(member.user))

    def list(self, request: ApiRequest[object, DataManagerUserQuery]) -> ApiResponse:
        """Return a page of the users that the caller may see."""
        query = request.query
        part = make_slice(request, query.page, query.page_size)
        users, total = self.users.find_visible(request.actor, query.email, part.offset, part.size)
        return numbered_page(request, part, [user_body(user) for user in users], total)

    def change(self, request: ApiRequest[DataManagerChangeBody]) -> ApiResponse:
        """Change the caller's account; superusers may change any account."""
        change = copy_fields(ProfileChange, request.body)
        changed = self.profiles.change(request.actor, change, UserId(request.ids["user_id"]))
        return ApiResponse(body=user_body(changed))

    def exists(self, request: ApiRequest) -> object:
        """Raise unless the caller may change the user."""
        self.users.check_may_change(request.actor, UserId(request.ids["user_id"]))
        return self.profiles.get_profile(request.actor, UserId(request.ids["user_id"]))


def identity_operations(
    own: DataManagerUserRoutes, account: AccountRoutes
) -> Sequence[AnyOperation]:
    """Return the routes under /users/."""
    return (
        Operation(
            method="POST", path="/users/register", name="datamanager_register",
            summary="Create a user and an account and, unless verification is required, sign in.",
            handler=own.register, request=EmailPasswordBody,
            responses={201: DataManagerRegistrationResponse}, errors=(503,),
            access=Access.ANYONE, discloses_accounts=True, **STYLE,
        ),
        Operation(
            method="POST", path="/users/login", name="datamanager_login",
            summary="Sign in with an email address, and get an opaque token.",
            handler=own.login, request=EmailLoginBody, responses={200: DataManagerLoginResponse},
            errors=(401, 403), access=Access.ANYONE, **STYLE,
        ),
        Operation(
            method="POST", path="/users/logout", name="datamanager_logout", no_api_key=True,
            summary="Sign out: end the session of this request.", handler=account.logout,
            responses={200: MessageBody}, errors=(400, 403), access=Access.SELF, **STYLE,
        ),
        Operation(
            method="POST", path="/users/invite", name="datamanager_invite",
            summary="Add a user to an account by email address.", handler=own.invite,
            request=DataManagerInvitation, responses={200: UserBody, 201: UserBody},
            errors=(409, 503), statuses={NotFound: 403}, discloses_accounts=True, **STYLE,
        ),
        Operation(
            method="GET", path="/users", name="datamanager_list_users",
            summary="List the users that the current user may see.", handler=own.list,
            query=DataManagerUserQuery, responses={200: ListOf(UserBody)}, errors=(404,),
            access=Access.USER, **STYLE,
        ),
        Operation(
            method="PUT", path="/users/{user_id}", name="datamanager_change_user",
            summary="Change the current user; superusers may change any user.", handler=own.change,
            discloses_accounts=True, request=DataManagerChangeBody, responses={200: UserBody},
            errors=(403, 503), exists=own.exists, access=Access.USER, **STYLE,
        ),
    )  # fmt: skip


def account_operations(
    account_routes: accounts.DeliveryAccountRoutes,
    member_routes: members.MemberRoutes,
    destination_routes: destinations.DestinationRoutes,
) -> Sequence[AnyOperation]:
    """Return the routes under /accounts/ and /destinations/."""
    base, prefix = "/accounts", "datamanager_"
    return (
        *accounts.commands(evolve(account_routes, base=base), prefix, STYLE),
        *members.commands(evolve(member_routes, base=base), prefix, STYLE),
        *destinations.commands(evolve(destination_routes, root=""), prefix, STYLE),
    )
