"""LearnFlow's routes: sign-in, usernames, goals, progress and summaries."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from attrs import evolve, field, frozen

from workbell.adapters.http.goals import progress, summaries
from workbell.adapters.http.goals import routes as goals
from workbell.adapters.http.identity.auth import (
    AuthRoutes,
    EmailAddress,
    RefreshBody,
    Secret,
    ShortText,
    TokenPairBody,
    UsernameLoginBody,
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
from workbell.adapters.http.web.pagination import CURSOR_HELP, decode_cursor, encode_cursor
from workbell.domain.constraints import Constraints
from workbell.domain.identity.registration import Registration
from workbell.domain.identity.user import Tier, UserId
from workbell.services.identity.login import LoginService
from workbell.services.identity.registration import RegistrationService
from workbell.services.identity.users import MAX_USERNAMES, UserAdministration

ROOT = "/api"
STYLE: Mapping[str, Any] = {"style": Style.LEARNFLOW, "tag": "LearnFlow"}


@frozen(kw_only=True)
class LearnFlowRegistrationBody:
    """A new user."""

    username: ShortText
    email: EmailAddress
    password: Secret = field(repr=False)
    first_name: ShortText = ""
    last_name: ShortText = ""
    tier: Tier = Tier.FREE


@frozen(kw_only=True, slots=False)
class LearnFlowUserBody:
    """A new user with LearnFlow's fields."""

    id: int
    username: str
    email: str
    first_name: str
    last_name: str
    tier: Tier


@frozen(kw_only=True)
class UsernamesQuery:
    """The position in the list of usernames."""

    cursor: Annotated[str, Constraints(max_length=64, description=CURSOR_HELP)] = ""


@frozen(kw_only=True)
class LearnFlowAuthRoutes:
    """Registration, sign-in and usernames of the LearnFlow API."""

    identity: RegistrationService
    login_service: LoginService
    users: UserAdministration

    def register(self, request: ApiRequest[LearnFlowRegistrationBody]) -> ApiResponse:
        """Create an account and email a verification code."""
        user = self.identity.register(copy_fields(Registration, request.body), request.client_info)
        return ApiResponse(status=201, body=copy_fields(LearnFlowUserBody, user))

    def login(self, request: ApiRequest[UsernameLoginBody]) -> ApiResponse:
        """Sign a user in with JWT tokens."""
        data = request.body
        login = self.login_service.login(
            data.username, data.password, request.client_info, code=data.code
        )
        return ApiResponse(body=copy_fields(TokenPairBody, login))

    def usernames(self, request: ApiRequest[object, UsernamesQuery]) -> ApiResponse:
        """Return up to 1,000 usernames of active users; the next ones by the Link header."""
        after = UserId(decode_cursor(request.query.cursor) or 0)
        found = self.users.usernames(request.actor, after=after, limit=MAX_USERNAMES)
        headers = {}
        if len(found) == MAX_USERNAMES:
            next_ = f"{request.url}?cursor={encode_cursor(found[-1][0])}"
            headers["Link"] = f'<{next_}>; rel="next"'
        return ApiResponse(body=[name for _, name in found], headers=headers)


def identity_operations(own: LearnFlowAuthRoutes, auth: AuthRoutes) -> Sequence[AnyOperation]:
    """Return the routes under /api/user, /api/token and /api/users."""
    return (
        Operation(
            method="POST", path="/api/user", name="learnflow_register",
            summary="Create an account; a verification code is sent to the email address.",
            handler=own.register, request=LearnFlowRegistrationBody,
            responses={201: LearnFlowUserBody}, errors=(503,), access=Access.ANYONE,
            discloses_accounts=True, **STYLE,
        ),
        Operation(
            method="POST", path="/api/token", name="learnflow_login",
            summary="Sign in with a username, and get an access and a refresh token.",
            handler=own.login, request=UsernameLoginBody, responses={200: TokenPairBody},
            errors=(401, 403), access=Access.ANYONE, **STYLE,
        ),
        Operation(
            method="POST", path="/api/token/refresh", name="learnflow_refresh",
            summary="Exchange a refresh token for a new access and refresh token.",
            handler=auth.refresh, request=RefreshBody, responses={200: TokenPairBody},
            errors=(401,), access=Access.ANYONE, **STYLE,
        ),
        Operation(
            method="GET", path="/api/users", name="learnflow_list_usernames",
            summary=(
                "List usernames of active users, at most 1,000; "
                "the `Link` header has the next ones."
            ),
            handler=own.usernames, query=UsernamesQuery, errors=(400,),
            responses={200: ListOf(str, plain=True)}, access=Access.USER, **STYLE,
        ),
    )  # fmt: skip


def goal_operations(
    goal_routes: goals.GoalRoutes, entries: progress.ProgressRoutes
) -> Sequence[AnyOperation]:
    """Return the routes under /api/goals/ and /api/progress/."""
    return (
        *goals.commands(evolve(goal_routes, base=f"{ROOT}/goals"), "learnflow_", STYLE),
        *progress.commands(evolve(entries, root=ROOT), "learnflow_", STYLE),
    )


def summary_operations(routes: summaries.SummaryRoutes) -> Sequence[AnyOperation]:
    """Return the routes under /api/summary/."""
    return summaries.periods(routes, ROOT, "learnflow_", STYLE)
