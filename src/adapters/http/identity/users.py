"""People over HTTP, as superusers look after them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from attrs import frozen

from workbell.adapters.http.identity.auth import Address, MessageBody, UserBody, user_body
from workbell.adapters.http.web.operations import (
    Access,
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
)
from workbell.adapters.http.web.pagination import (
    Ordering,
    PageNumber,
    PageSize,
    make_slice,
    numbered,
    ordering,
)
from workbell.domain.constraints import Constraints
from workbell.domain.identity.user import Role, Tier, UserId
from workbell.ports.identity.users import UserFilter
from workbell.services.identity.users import UserAdministration, UserChange

BASE = "/api/v1/users"
ONE = BASE + "/{user_id}"
ORDERINGS: Mapping[str, str] = {name: name for name in ("id", "username", "email", "created_at")}


@frozen(kw_only=True)
class UserQuery:
    """Which people to list."""

    role: Role | None = None
    tier: Tier | None = None
    is_active: bool | None = None
    is_super_user: bool | None = None
    is_email_verified: bool | None = None
    email: Address | None = None
    search: Annotated[str, Constraints(max_length=200)] | None = None
    ordering: Ordering = "id"
    page: PageNumber = 1
    page_size: PageSize = None

    def filter(self) -> UserFilter:
        """Return it in the port's form."""
        return UserFilter(
            role=self.role,
            tier=self.tier,
            is_active=self.is_active,
            is_super_user=self.is_super_user,
            is_email_verified=self.is_email_verified,
            email=self.email,
            search=self.search,
        )


@frozen(kw_only=True)
class UserChangeBody:
    """What a superuser changes of a person; what is left out or null stays."""

    role: Role | None = None
    tier: Tier | None = None
    is_active: bool | None = None
    is_super_user: bool | None = None


@frozen(kw_only=True)
class UserRoutes:
    """Looking after people."""

    people: UserAdministration

    def list(self, call: ApiRequest[object, UserQuery]) -> ApiResponse:
        """Return a page of all people."""
        asked = call.query
        part = make_slice(call, asked.page, asked.page_size)
        order = ordering(asked.ordering, ORDERINGS, "ordering")
        found, total = self.people.find(call.actor, asked.filter(), order, part.offset, part.size)
        return numbered(call, part, [user_body(one) for one in found], total)

    def get(self, call: ApiRequest) -> ApiResponse:
        """Return a person."""
        return ApiResponse(body=user_body(self.people.get(call.actor, _id(call))))

    def change(self, call: ApiRequest[UserChangeBody]) -> ApiResponse:
        """Change what a person is."""
        asked = call.body
        change = UserChange(
            role=asked.role,
            tier=asked.tier,
            is_active=asked.is_active,
            is_super_user=asked.is_super_user,
        )
        return ApiResponse(body=user_body(self.people.change(call.actor, _id(call), change)))

    def sign_out(self, call: ApiRequest) -> ApiResponse:
        """End every session of a person."""
        ended = self.people.sign_out(call.actor, _id(call))
        return ApiResponse(body=MessageBody(message=f"Sessions ended: {ended}."))


def _id(call: ApiRequest) -> UserId:
    return UserId(call.ids["user_id"])


def operations(administration: UserRoutes) -> Sequence[AnyOperation]:
    """Return the operations on people."""
    style: dict[str, Any] = {"who": Access.SUPERUSER, "tag": "identity"}
    return (
        Operation(
            method="GET", path=BASE, name="list_users", summary="List people.",
            handler=administration.list, query=UserQuery, answers={200: ListOf(UserBody)},
            errors=(404,), **style,
        ),
        Operation(
            method="GET", path=ONE, name="get_user", summary="Show a person.",
            handler=administration.get, answers={200: UserBody}, **style,
        ),
        Operation(
            method="PATCH", path=ONE, name="change_user",
            summary="Change role, tier and flags of a person; it counts at once.",
            handler=administration.change, request=UserChangeBody, answers={200: UserBody},
            errors=(409,), exists=administration.get, **style,
        ),
        Operation(
            method="POST", path=f"{ONE}/sign_out", name="sign_out_user",
            summary="End every session of a person, at once.", handler=administration.sign_out,
            answers={200: MessageBody}, errors=(409,), **style,
        ),
    )  # fmt: skip
