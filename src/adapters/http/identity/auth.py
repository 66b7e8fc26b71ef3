"""Registration, email verification and sign-in over HTTP."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from attrs import field, frozen

from workbell.adapters.http.web.mapping import copy_fields
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
from workbell.services.identity.login import LoginService
from workbell.services.identity.registration import RegistrationService

BASE = "/api/v1/auth"
NO_STORE = {"Cache-Control": "no-store"}
Secret = Annotated[str, Constraints(max_length=1024)]
EmailAddress = Annotated[str, Constraints(max_length=1024, example="ada@example.org")]
ShortText = Annotated[str, Constraints(max_length=1024)]
Code = Annotated[str, Constraints(max_length=64, example="492039")]
Token = Annotated[str, Constraints(min_length=1, max_length=8192)]


def first_given(name: str, *values: str | None) -> str:
    """
    Return the first value that is not None.

    Raises:
        Invalid: All values are None.
    """
    for value in values:
        if value is not None:
            return value
    raise Invalid.field(name, f"{name} is required")


@frozen(kw_only=True)
class RegistrationBody:
    """A new user."""

    email: EmailAddress
    password: Secret = field(repr=False)
    password_confirm: Secret | None = field(default=None, repr=False)
    username: ShortText | None = None
    first_name: ShortText = ""
    last_name: ShortText = ""
    tier: Tier = Tier.FREE
    role: Role = Role.MEMBER
    is_super_user: bool = False
    time_zone: ShortText = "UTC"


@frozen(kw_only=True)
class EmailBody:
    """An email address."""

    email: EmailAddress


@frozen(kw_only=True)
class EmailCodeBody:
    """An email address and the code sent to it, as `otp` or `otp_code`."""

    email: EmailAddress
    otp: ShortText | None = field(default=None, repr=False)
    otp_code: ShortText | None = field(default=None, repr=False)

    @property
    def code(self) -> str:
        """The code from either field."""
        return first_given("otp", self.otp, self.otp_code)


@frozen(kw_only=True)
class LoginBody:
    """A username or email address, and the password; `code` with 2FA."""

    password: Secret = field(repr=False)
    username: ShortText | None = None
    email: ShortText | None = None
    code: Code = field(default="", repr=False)

    @property
    def identifier(self) -> str:
        """The username or email address."""
        return first_given("username", self.username, self.email)


@frozen(kw_only=True)
class UsernameLoginBody:
    """A username and password; `code` if there is a second factor."""

    username: ShortText
    password: Secret = field(repr=False)
    code: Code = field(default="", repr=False)


@frozen(kw_only=True)
class EmailPasswordBody:
    """An email address and a password."""

    email: EmailAddress
    password: Secret = field(repr=False)


@frozen(kw_only=True)
class EmailLoginBody(EmailPasswordBody):
    """An email address and password; `code` if there is a second factor."""

    code: Code = field(default="", repr=False)


@frozen(kw_only=True)
class RefreshBody:
    """A refresh token, as `refresh` or `refresh_token`."""

    refresh: Token | None = field(default=None, repr=False)
    refresh_token: Token | None = field(default=None, repr=False)

    @property
    def token(self) -> str:
        """The token from either field."""
        return first_given("refresh", self.refresh, self.refresh_token)


@frozen(kw_only=True, slots=False)
class UserBody:
    """A user account."""

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
class TokenPairBody:
    """An access token and a refresh token."""

    access: str
    refresh: str


@frozen(kw_only=True, slots=False)
class LoginResponseBody(TokenPairBody):
    """An access token and a refresh token, with their user."""

    user: UserBody


@frozen(kw_only=True, slots=False)
class MessageBody:
    """A confirmation message."""

    message: str


def user_body(user: User) -> UserBody:
    """Return the response body of a user."""
    return copy_fields(UserBody, user)


def message_response(message: str, status: int = 200) -> ApiResponse:
    """Return a response with a confirmation message."""
    return ApiResponse(status=status, body=MessageBody(message=message))


@frozen(kw_only=True)
class AuthRoutes:
    """Registration and sign-in."""

    identity: RegistrationService
    login_service: LoginService

    def register(self, request: ApiRequest[RegistrationBody]) -> ApiResponse:
        """Create an account and email a verification code."""
        registration = copy_fields(Registration, request.body)
        user = self.identity.register(registration, request.client_info)
        return ApiResponse(
            status=201, body=user_body(user), headers={"Location": f"{BASE}/users/me"}
        )

    def verify(self, request: ApiRequest[EmailCodeBody]) -> ApiResponse:
        """Verify an email address by the emailed code."""
        self.identity.verify_otp(request.body.email, request.body.code, request.client_info)
        return message_response("The email address is verified.")

    def resend(self, request: ApiRequest[EmailBody]) -> ApiResponse:
        """Email a new verification code if the address is unverified."""
        self.identity.resend_otp(request.body.email, request.client_info)
        return message_response("If the address awaits verification, a new code has been sent.")

    def login(self, request: ApiRequest[LoginBody]) -> ApiResponse:
        """Sign a user in with JWT tokens."""
        data = request.body
        login = self.login_service.login(
            data.identifier, data.password, request.client_info, code=data.code
        )
        return ApiResponse(body=copy_fields(LoginResponseBody, login, user=user_body(login.user)))

    def refresh(self, request: ApiRequest[RefreshBody]) -> ApiResponse:
        """Exchange a refresh token for a new token pair."""
        login = self.login_service.refresh(request.body.token, request.client_info)
        return ApiResponse(body=copy_fields(TokenPairBody, login))

    def me(self, request: ApiRequest) -> ApiResponse:
        """Return the caller's account."""
        return ApiResponse(body=user_body(self.identity.me(request.actor)))


def operations(routes: AuthRoutes) -> Sequence[AnyOperation]:
    """Return the canonical operations for registration and sign-in."""
    public: dict[str, Any] = {"access": Access.ANYONE, "tag": "identity"}
    message: dict[str, Any] = {"responses": {200: MessageBody}}
    return (
        Operation(
            method="POST", path=f"{BASE}/users", name="register",
            summary="Create an account; a verification code is sent to the email address.",
            handler=routes.register, request=RegistrationBody, responses={201: UserBody},
            errors=(503,), discloses_accounts=True, **public,
        ),
        Operation(
            method="POST", path=f"{BASE}/verify-otp", name="verify_email",
            summary="Verify an email address with the emailed code.",
            handler=routes.verify, request=EmailCodeBody, **message, **public,
        ),
        Operation(
            method="POST", path=f"{BASE}/resend-otp", name="resend_otp",
            summary="Email a new verification code.",
            handler=routes.resend, request=EmailBody, **message, **public,
        ),
        Operation(
            method="POST", path=f"{BASE}/login", name="login",
            summary="Sign in with a username or email address, and get an access and a refresh token.",
            handler=routes.login, request=LoginBody, responses={200: LoginResponseBody},
            errors=(401, 403), **public,
        ),
        Operation(
            method="POST", path=f"{BASE}/refresh", name="refresh",
            summary="Exchange a refresh token for a new access and refresh token.",
            handler=routes.refresh, request=RefreshBody, responses={200: TokenPairBody},
            errors=(401,), limit=Route.GENERAL, **public,
        ),
        Operation(
            method="GET", path=f"{BASE}/users/me", name="get_me",
            summary="Get the current user.", handler=routes.me, responses={200: UserBody},
            access=Access.SELF, allowed_while_enrolling=True, tag="identity",
        ),
    )  # fmt: skip
