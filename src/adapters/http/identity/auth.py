"""People over HTTP: register, verify, sign in, stay signed in."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from attrs import field, frozen

from workbell.adapters.http.web.operations import (
    Access,
    AnyOperation,
    ApiRequest,
    ApiResponse,
    Operation,
)
from workbell.domain.constraints import Constraints
from workbell.domain.errors import Invalid
from workbell.domain.identity.registration import Registration
from workbell.domain.identity.user import Role, Tier, User
from workbell.domain.rate_limits.policy import Route
from workbell.services.identity.login import LoginService, TokenLogin
from workbell.services.identity.registration import RegistrationService

BASE = "/api/v1/auth"
Secret = Annotated[str, Constraints(max_length=1024)]
Address = Annotated[str, Constraints(max_length=1024, example="ada@example.org")]
SettingValue = Annotated[str, Constraints(max_length=1024)]
Code = Annotated[str, Constraints(max_length=64, example="492039")]
Token = Annotated[str, Constraints(min_length=1, max_length=8192)]


def given(name: str, *values: str | None) -> str:
    """
    Return the first of the fields that a body may give something in.

    Raises:
        Invalid: It gives none of them.
    """
    for value in values:
        if value is not None:
            return value
    raise Invalid.field(name, f"{name} is required")


@frozen(kw_only=True)
class RegistrationBody:
    """What a new person tells of themselves."""

    email: Address
    password: Secret = field(repr=False)
    password_confirm: Secret | None = field(default=None, repr=False)
    username: SettingValue | None = None
    first_name: SettingValue = ""
    last_name: SettingValue = ""
    tier: Tier = Tier.FREE
    role: Role = Role.MEMBER
    is_super_user: bool = False
    time_zone: SettingValue = "UTC"

    def registration(self) -> Registration:
        """Return it in the domain's form."""
        return Registration(
            email=self.email,
            password=self.password,
            password_confirm=self.password_confirm,
            username=self.username,
            first_name=self.first_name,
            last_name=self.last_name,
            tier=self.tier,
            role=self.role,
            is_super_user=self.is_super_user,
            time_zone=self.time_zone,
        )


@frozen(kw_only=True)
class AddressBody:
    """An address."""

    email: Address


@frozen(kw_only=True)
class CodeBody:
    """An address, and the code that was mailed to it, in either of two fields."""

    email: Address
    otp: SettingValue | None = field(default=None, repr=False)
    otp_code: SettingValue | None = field(default=None, repr=False)

    @property
    def code(self) -> str:
        """The code, wherever it was given."""
        return given("otp", self.otp, self.otp_code)


@frozen(kw_only=True)
class LoginBody:
    """A username or an address, in either of two fields, the password, and a code if need be."""

    password: Secret = field(repr=False)
    username: SettingValue | None = None
    email: SettingValue | None = None
    code: Code = field(default="", repr=False)

    @property
    def identifier(self) -> str:
        """Who wants to sign in."""
        return given("username", self.username, self.email)


@frozen(kw_only=True)
class RefreshBody:
    """The refresh token, in either of two fields."""

    refresh: Token | None = field(default=None, repr=False)
    refresh_token: Token | None = field(default=None, repr=False)

    @property
    def token(self) -> str:
        """The token, wherever it was given."""
        return given("refresh", self.refresh, self.refresh_token)


@frozen(kw_only=True, slots=False)
class UserBody:
    """A person who may sign in."""

    id: int
    username: str
    email: str
    first_name: str
    last_name: str
    full_name: str
    role: Role
    tier: Tier
    is_super_user: bool
    is_active: bool
    is_email_verified: bool
    time_zone: str
    created_at: datetime


@frozen(kw_only=True, slots=False)
class PairBody:
    """An access token, and the refresh token for the next one."""

    access: str
    refresh: str


@frozen(kw_only=True, slots=False)
class LoginAnswer:
    """Who has signed in, with an access and a refresh token."""

    access: str
    refresh: str
    user: UserBody


@frozen(kw_only=True, slots=False)
class MessageBody:
    """What was done, in words."""

    message: str


def user_body(user: User) -> UserBody:
    """Return a person as they are answered."""
    return UserBody(
        id=user.id,
        username=user.username,
        email=user.email,
        first_name=user.first_name,
        last_name=user.last_name,
        full_name=user.full_name,
        role=user.role,
        tier=user.tier,
        is_super_user=user.is_super_user,
        is_active=user.is_active,
        is_email_verified=user.is_email_verified,
        time_zone=user.time_zone,
        created_at=user.created_at,
    )


def pair_body(signed_in: TokenLogin) -> PairBody:
    """Return the tokens of somebody who has signed in."""
    return PairBody(access=signed_in.access, refresh=signed_in.refresh)


@frozen(kw_only=True)
class AuthRoutes:
    """Registering and signing in."""

    identity: RegistrationService
    signing_in: LoginService

    def register(self, call: ApiRequest[RegistrationBody]) -> ApiResponse:
        """Give a person an account, and mail them a code."""
        asked = call.body
        user = self.identity.register(asked.registration(), call.origin)
        return ApiResponse(
            status=201, body=user_body(user), headers={"Location": f"{BASE}/users/me"}
        )

    def verify(self, call: ApiRequest[CodeBody]) -> ApiResponse:
        """Verify an address by the mailed code."""
        asked = call.body
        self.identity.verify_otp(asked.email, asked.code, call.origin)
        return ApiResponse(body=MessageBody(message="The e-mail address is verified."))

    def resend(self, call: ApiRequest[AddressBody]) -> ApiResponse:
        """Mail a new code, if the address waits for one."""
        self.identity.resend_otp(call.body.email, call.origin)
        said = "If the address waits for a code, a new one is on its way."
        return ApiResponse(body=MessageBody(message=said))

    def login(self, call: ApiRequest[LoginBody]) -> ApiResponse:
        """Sign somebody in."""
        asked = call.body
        found = self.signing_in.login(
            asked.identifier, asked.password, call.origin, code=asked.code
        )
        body = LoginAnswer(access=found.access, refresh=found.refresh, user=user_body(found.user))
        return ApiResponse(body=body)

    def refresh(self, call: ApiRequest[RefreshBody]) -> ApiResponse:
        """Exchange a refresh token for the next pair."""
        asked = call.body
        return ApiResponse(body=pair_body(self.signing_in.refresh(asked.token, call.origin)))

    def me(self, call: ApiRequest) -> ApiResponse:
        """Return who asks."""
        return ApiResponse(body=user_body(self.identity.me(call.actor)))


def operations(people: AuthRoutes) -> Sequence[AnyOperation]:
    """Return the canonical operations on people."""
    return (
        Operation(
            method="POST", path=f"{BASE}/users", name="register", summary="Register.",
            reveals=True,
            handler=people.register, request=RegistrationBody, answers={201: UserBody},
            errors=(503,), who=Access.ANYONE, tag="identity",
        ),
        Operation(
            method="POST", path=f"{BASE}/verify-otp", name="verify_email",
            summary="Verify an e-mail address by the mailed code.", handler=people.verify,
            request=CodeBody, answers={200: MessageBody}, who=Access.ANYONE, tag="identity",
        ),
        Operation(
            method="POST", path=f"{BASE}/resend-otp", name="resend_otp",
            summary="Have a new code mailed.", handler=people.resend, request=AddressBody,
            answers={200: MessageBody}, who=Access.ANYONE, tag="identity",
        ),
        Operation(
            method="POST", path=f"{BASE}/login", name="login",
            summary="Sign in by username or address.", handler=people.login, request=LoginBody,
            answers={200: LoginAnswer}, errors=(401, 403), who=Access.ANYONE, tag="identity",
        ),
        Operation(
            method="POST", path=f"{BASE}/refresh", name="refresh",
            summary="Exchange a refresh token for the next pair.", handler=people.refresh,
            request=RefreshBody, answers={200: PairBody}, errors=(401,), who=Access.ANYONE, limit=Route.GENERAL,
            tag="identity",
        ),
        Operation(
            method="GET", path=f"{BASE}/users/me", name="get_me", summary="Show who asks.",
            handler=people.me, answers={200: UserBody}, who=Access.SELF, enrols=True,
            tag="identity",
        ),
    )  # fmt: skip
