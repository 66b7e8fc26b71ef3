"""Accounts over HTTP: create, list, rename, delete, rotate the token."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from workbell.adapters.http.delivery.views import AccountBody, account_body
from workbell.adapters.http.identity.auth import NO_STORE
from workbell.adapters.http.web.operations import (
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
)
from workbell.adapters.http.web.pagination import PageQuery, make_slice, numbered_page
from workbell.adapters.http.web.query_types import FilterText
from workbell.domain.delivery.account import AccountId
from workbell.domain.identity.permissions import Action
from workbell.services.delivery.accounts import AccountService, AccountView
from workbell.services.delivery.requests import NewAccount

BASE = "/api/v1/accounts"
ONE = "/{account_id}"


@frozen(kw_only=True)
class AccountQuery(PageQuery):
    """Filter and page of a list of accounts."""

    search: FilterText | None = None


@frozen(kw_only=True)
class DeliveryAccountRoutes:
    """Accounts under one base path."""

    accounts: AccountService
    base: str = BASE

    def list(self, request: ApiRequest[object, AccountQuery]) -> ApiResponse:
        """Return a page of the caller's accounts."""
        query = request.query
        part = make_slice(request, query.page, query.page_size)
        found, total = self.accounts.list(
            request.actor, search=query.search, offset=part.offset, limit=part.size
        )
        return numbered_page(request, part, [account_body(view) for view in found], total)

    def create(self, request: ApiRequest[NewAccount]) -> ApiResponse:
        """Create an account with the caller as its Admin."""
        view = self.accounts.create(request.actor, request.body)
        return _account_response(view, 201, Location=f"{self.base}/{view.account.id}")

    def get(self, request: ApiRequest) -> ApiResponse:
        """Return one account."""
        return _account_response(self.accounts.get(request.actor, account_id(request)))

    def rename(self, request: ApiRequest[NewAccount]) -> ApiResponse:
        """Rename an account."""
        view = self.accounts.rename(request.actor, account_id(request), request.body)
        return _account_response(view)

    def delete(self, request: ApiRequest) -> ApiResponse:
        """Delete an account with its destinations."""
        self.accounts.delete(request.actor, account_id(request))
        return ApiResponse(status=204)

    def rotate_token(self, request: ApiRequest) -> ApiResponse:
        """Give an account a new token."""
        return _account_response(self.accounts.rotate_token(request.actor, account_id(request)))

    def check_change(self, request: ApiRequest) -> None:
        """Raise unless the caller may change the account in the path."""
        self.accounts.check_access(request.actor, account_id(request), Action.CHANGE_ACCOUNT)


def account_id(request: ApiRequest) -> AccountId:
    """Return the id of the account in a path."""
    return AccountId(request.ids["account_id"])


def _account_response(view: AccountView, status: int = 200, **headers: str) -> ApiResponse:
    return ApiResponse(status=status, body=account_body(view), headers={**NO_STORE, **headers})


def operations(routes: DeliveryAccountRoutes) -> Sequence[AnyOperation]:
    """Return the canonical operations on accounts."""
    style: dict[str, Any] = {"tag": "delivery"}
    return (
        *commands(routes, "", style),
        Operation(
            method="POST", path=f"{routes.base}{ONE}/rotate_token", name="rotate_account_token",
            summary="Replace an account's token; the previous one stays valid for 24 hours.",
            handler=routes.rotate_token, responses={200: AccountBody}, **style,
        ),
    )  # fmt: skip


def commands(
    routes: DeliveryAccountRoutes, prefix: str, style: Mapping[str, Any]
) -> Sequence[AnyOperation]:
    """Return the operations on accounts in a style."""
    base, one = routes.base, routes.base + ONE
    renamed: dict[str, Any] = {
        "path": one, "handler": routes.rename, "request": NewAccount,
        "responses": {200: AccountBody}, "exists": routes.check_change, **style,
    }  # fmt: skip
    return (
        Operation(
            method="GET", path=base, name=f"{prefix}list_accounts",
            summary="List the accounts of which the current user is a member.",
            handler=routes.list, query=AccountQuery, responses={200: ListOf(AccountBody)},
            errors=(404,), **style,
        ),
        Operation(
            method="POST", path=base, name=f"{prefix}create_account",
            summary="Create an account; the current user becomes its Admin.",
            handler=routes.create, request=NewAccount, responses={201: AccountBody}, **style,
        ),
        Operation(
            method="GET", path=one, name=f"{prefix}get_account", summary="Get an account.",
            handler=routes.get, responses={200: AccountBody}, **style,
        ),
        Operation(
            method="PUT", name=f"{prefix}replace_account", summary="Rename an account.", **renamed
        ),
        Operation(
            method="PATCH", name=f"{prefix}change_account", summary="Rename an account.", **renamed
        ),
        Operation(
            method="DELETE", path=one, name=f"{prefix}delete_account",
            summary="Delete an account and its destinations; waiting deliveries are cancelled.",
            handler=routes.delete, responses={204: None}, **style,
        ),
    )  # fmt: skip
