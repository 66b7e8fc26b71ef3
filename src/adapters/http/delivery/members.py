"""Members of accounts over HTTP: add, invite, list, change, remove."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from workbell.adapters.http.delivery.accounts import BASE, account_id
from workbell.adapters.http.delivery.views import MemberBody, member_body
from workbell.adapters.http.web.operations import (
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
)
from workbell.adapters.http.web.pagination import PageQuery, make_slice, numbered_page
from workbell.domain.identity.permissions import Action
from workbell.domain.identity.user import UserId
from workbell.services.delivery.accounts import AccountService
from workbell.services.delivery.members import MemberService
from workbell.services.delivery.requests import Invitation, NewMember, RoleChange


@frozen(kw_only=True)
class MemberRoutes:
    """Members of accounts under one base path."""

    members: MemberService
    accounts: AccountService
    base: str = BASE

    def list(self, request: ApiRequest[object, PageQuery]) -> ApiResponse:
        """Return a page of an account's members."""
        part = make_slice(request, request.query.page, request.query.page_size)
        found, total = self.members.list(
            request.actor, account_id(request), offset=part.offset, limit=part.size
        )
        return numbered_page(request, part, [member_body(member) for member in found], total)

    def add(self, request: ApiRequest[NewMember]) -> ApiResponse:
        """Add a user to an account by id."""
        member = self.members.add(request.actor, account_id(request), request.body)
        return ApiResponse(
            status=201, body=member_body(member), headers={"Location": self._url(request)}
        )

    def invite(self, request: ApiRequest[Invitation]) -> ApiResponse:
        """Add a user to an account by email address."""
        member, is_new = self.members.invite(request.actor, account_id(request), request.body)
        return ApiResponse(
            status=201 if is_new else 200,
            body=member_body(member),
            headers={"Location": self._url(request)},
        )

    def change(self, request: ApiRequest[RoleChange]) -> ApiResponse:
        """Change the role of a member."""
        member = self.members.change_role(
            request.actor, account_id(request), _user_id(request), request.body
        )
        return ApiResponse(body=member_body(member))

    def remove(self, request: ApiRequest) -> ApiResponse:
        """Remove a member."""
        self.members.remove(request.actor, account_id(request), _user_id(request))
        return ApiResponse(status=204)

    def check_change(self, request: ApiRequest) -> None:
        """Raise unless the caller may add members to the account."""
        self.accounts.check_access(request.actor, account_id(request), Action.CHANGE_ACCOUNT)

    def check_invite(self, request: ApiRequest) -> None:
        """Raise unless the caller may invite users to the account."""
        self.accounts.check_access(request.actor, account_id(request), Action.INVITE_PEOPLE)

    def check_member(self, request: ApiRequest) -> None:
        """Raise unless the caller may change the member in the path."""
        self.members.check_member(request.actor, account_id(request), _user_id(request))

    def _url(self, request: ApiRequest) -> str:
        return f"{self.base}/{account_id(request)}/members"


def _user_id(request: ApiRequest) -> UserId:
    return UserId(request.ids["user_id"])


def operations(routes: MemberRoutes) -> Sequence[AnyOperation]:
    """Return the canonical operations on members."""
    style: dict[str, Any] = {"tag": "delivery"}
    return (
        *commands(routes, "", style),
        Operation(
            method="POST", path=f"{routes.base}/{{account_id}}/invitations",
            name="invite_account_member",
            summary="Add a user by email address; a new one gets a code to set a password.",
            handler=routes.invite, request=Invitation, exists=routes.check_invite,
            responses={200: MemberBody, 201: MemberBody}, errors=(409, 503),
            discloses_accounts=True, **style,
        ),
    )  # fmt: skip


def commands(routes: MemberRoutes, prefix: str, style: Mapping[str, Any]) -> Sequence[AnyOperation]:
    """Return the operations on members in a style."""
    base = f"{routes.base}/{{account_id}}/members"
    one: dict[str, Any] = {"path": f"{base}/{{user_id}}", "errors": (409,), **style}
    return (
        Operation(
            method="GET", path=base, name=f"{prefix}list_account_members",
            summary="List the members of an account.", handler=routes.list, query=PageQuery,
            responses={200: ListOf(MemberBody)}, **style,
        ),
        Operation(
            method="POST", path=base, name=f"{prefix}add_account_member",
            summary="Add a user to an account.", handler=routes.add, request=NewMember,
            exists=routes.check_change, responses={201: MemberBody}, errors=(409,), **style,
        ),
        Operation(
            method="PATCH", name=f"{prefix}change_account_member",
            summary="Change a member's role; an account needs at least one Admin.",
            handler=routes.change, request=RoleChange, exists=routes.check_member,
            responses={200: MemberBody}, **one,
        ),
        Operation(
            method="DELETE", name=f"{prefix}remove_account_member",
            summary="Remove a member, or leave the account.", handler=routes.remove,
            responses={204: None}, **one,
        ),
    )  # fmt: skip
