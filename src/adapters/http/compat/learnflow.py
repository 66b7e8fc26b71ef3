"""LearnFlow's routes: sign-in, usernames, goals, progress and summaries."""

from collections.abc import Sequence
from typing import Any

from attrs import evolve, field, frozen

from workbell.adapters.http.goals import progress, summaries
from workbell.adapters.http.goals import routes as goals
from workbell.adapters.http.identity.auth import AuthRoutes as AuthRoutes
from workbell.adapters.http.identity.auth import (
    Code,
    EmailAddress,
    RefreshBody,
    Secret,
    ShortText,
    TokenPairBody,
    token_pair_body,
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
from workbell.domain.identity.registration import Registration
from workbell.domain.identity.user import Tier
from workbell.services.identity.login import LoginService
from workbell.services.identity.registration import RegistrationService
from workbell.services.identity.users import UserAdministration

ROOT = "/api"


@frozen(kw_only=True)
class LearnFlowRegistrationBody:
    """What a new person tells of themselves."""

    username: ShortText
    email: EmailAddress
    password: Secret = field(repr=False)
    first_name: ShortText = ""
    last_name: ShortText = ""
    tier: Tier = Tier.FREE


@frozen(kw_only=True)
class LearnFlowLoginBody:
    """A username and its password, and a code if need be."""

    username: ShortText
    password: Secret = field(repr=False)
    code: Code = field(default="", repr=False)


@frozen(kw_only=True, slots=False)
class LearnFlowUserBody:
    """A new person, as far as LearnFlow tells."""

    id: int
    username: str
    email: str
    first_name: str
    last_name: str
    tier: Tier


@frozen(kw_only=True)
class LearnFlowAuthRoutes:
    """Registering and signing in, in LearnFlow's shapes."""

    identity: RegistrationService
    signing_in: LoginService
    people: UserAdministration

    def register(self, request: ApiRequest[LearnFlowRegistrationBody]) -> ApiResponse:
        """Give a person an account, and mail them a code."""
        data = request.body
        new = Registration(
            username=data.username,
            email=data.email,
            password=data.password,
            first_name=data.first_name,
            last_name=data.last_name,
            tier=data.tier,
        )
        user = self.identity.register(new, request.origin)
        body = LearnFlowUserBody(
            id=user.id,
            username=user.username,
            email=user.email,
            first_name=user.first_name,
            last_name=user.last_name,
            tier=user.tier,
        )
        return ApiResponse(status=201, body=body)

    def login(self, request: ApiRequest[LearnFlowLoginBody]) -> ApiResponse:
        """Sign somebody in."""
        data = request.body
        found = self.signing_in.login(data.username, data.password, request.origin, code=data.code)
        return ApiResponse(body=token_pair_body(found))

    def usernames(self, request: ApiRequest) -> ApiResponse:
        """Return the usernames of all active people."""
        return ApiResponse(body=list(self.people.usernames(request.actor)))


def identity_operations(own: LearnFlowAuthRoutes, people: AuthRoutes) -> Sequence[AnyOperation]:
    """Return the routes that sign people in, and list them."""
    style: dict[str, Any] = {"style": Style.LEARNFLOW, "tag": "LearnFlow"}
    return (
        Operation(
            method="POST", path="/api/user", name="learnflow_register", summary="Register.",
            discloses_accounts=True,
            handler=own.register, request=LearnFlowRegistrationBody, responses={201: LearnFlowUserBody},
            errors=(503,), access=Access.ANYONE, **style,
        ),
        Operation(
            method="POST", path="/api/token", name="learnflow_login", summary="Sign in.",
            handler=own.login, request=LearnFlowLoginBody, responses={200: TokenPairBody}, errors=(401, 403),
            access=Access.ANYONE, **style,
        ),
        Operation(
            method="POST", path="/api/token/refresh", name="learnflow_refresh",
            summary="Exchange a refresh token for the next pair.", handler=people.refresh,
            request=RefreshBody, responses={200: TokenPairBody}, errors=(401,), access=Access.ANYONE,
            **style,
        ),
        Operation(
            method="GET", path="/api/users", name="learnflow_list_usernames",
            summary="List the usernames of all active people.", handler=own.usernames,
            responses={200: ListOf(str, plain=True)}, access=Access.USER, **style,
        ),
    )  # fmt: skip


def goal_operations(
    goal_routes: goals.GoalRoutes, entries: progress.ProgressRoutes
) -> Sequence[AnyOperation]:
    """Return the routes under /api/goals/ and /api/progress/: the canonical ones, in B's pages."""
    style: dict[str, Any] = {"style": Style.LEARNFLOW, "tag": "LearnFlow"}
    return (
        *goals.commands(evolve(goal_routes, base=f"{ROOT}/goals"), "learnflow_", style),
        *progress.commands(evolve(entries, root=ROOT), "learnflow_", style),
    )


def summary_operations(routes: summaries.SummaryRoutes) -> Sequence[AnyOperation]:
    """Return the routes under /api/summary/: the canonical ones."""
    style: dict[str, Any] = {"style": Style.LEARNFLOW, "tag": "LearnFlow"}
    return summaries.periods(routes, ROOT, "learnflow_", style)
