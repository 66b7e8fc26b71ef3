"""User administration over HTTP, for superusers."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from attrs import frozen

from workbell.adapters.http.identity.auth import (
    EmailAddress,
    MessageBody,
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
from workbell.adapters.http.web.pagination import OrderedQuery, Ordering, ordered_page
from workbell.domain.constraints import Constraints
from workbell.domain.identity.user import Role, Tier, UserId
from workbell.ports.identity.users import UserFilter
from workbell.services.identity.users import UserAdministration, UserChange

BASE = "/api/v1/users"
ONE = BASE + "/{user_id}"
ORDERINGS: Mapping[str, str] = {name: name for name in ("id", "username", "email", "created_at")}


@frozen(kw_only=True)
class UserQuery(OrderedQuery):
    """Filters, ordering and page of a list of users."""

    role: Role | None = None
    tier: Tier | None = None
    is_active: bool | None = None
    is_super_user: bool | None = None
    is_email_verified: bool | None = None
    email: EmailAddress | None = None
    search: Annotated[str, Constraints(max_length=200)] | None = None
    ordering: Ordering = "id"


@frozen(kw_only=True)
class UserChangeBody:
    """Changes to a user by a superuser; omitted and null fields are unchanged."""

    role: Role | None = None
    tier: Tier | None = None
    is_active: bool | None = None
    is_super_user: bool | None = None


@frozen(kw_only=True)
class UserRoutes:
    """User administration."""

    users: UserAdministration

    def list(self, request: ApiRequest[object, UserQuery]) -> ApiResponse:
        """Return a page of all users."""
        find = partial(self.users.find, request.actor, copy_fields(UserFilter, request.query))
        return ordered_page(request, ORDERINGS, find, user_body)

    def get(self, request: ApiRequest) -> ApiResponse:
        """Return a user."""
        return ApiResponse(body=user_body(self.users.get(request.actor, _id(request))))

    def change(self, request: ApiRequest[UserChangeBody]) -> ApiResponse:
        """Change a user's role, tier or flags."""
        change = copy_fields(UserChange, request.body)
        return ApiResponse(body=user_body(self.users.change(request.actor, _id(request), change)))

    def sign_out(self, request: ApiRequest) -> ApiResponse:
        """End all sessions of a user."""
        ended = self.users.sign_out(request.actor, _id(request))
        return message_response(f"Sessions ended: {ended}.")


def _id(request: ApiRequest) -> UserId:
    return UserId(request.ids["user_id"])


def operations(routes: UserRoutes) -> Sequence[AnyOperation]:
    """Return the operations on users."""
    shared: dict[str, Any] = {"access": Access.SUPERUSER, "tag": "identity"}
    return (
        Operation(
            method="GET", path=BASE, name="list_users", summary="List users.",
            handler=routes.list, query=UserQuery, responses={200: ListOf(UserBody)},
            errors=(404,), **shared,
        ),
        Operation(
            method="GET", path=ONE, name="get_user", summary="Get a user.",
            handler=routes.get, responses={200: UserBody}, **shared,
        ),
        Operation(
            method="PATCH", path=ONE, name="change_user",
            summary="Change a user's role, tier and flags; takes effect immediately.",
            handler=routes.change, request=UserChangeBody, responses={200: UserBody},
            errors=(409,), exists=routes.get, **shared,
        ),
        Operation(
            method="POST", path=f"{ONE}/sign_out", name="sign_out_user",
            summary="End all sessions of a user immediately.", handler=routes.sign_out,
            responses={200: MessageBody}, errors=(409,), **shared,
        ),
    )  # fmt: skip
