"""Destinations over HTTP: create, change, enable, test, rotate, delete."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from workbell.adapters.http.delivery.accounts import account_id
from workbell.adapters.http.delivery.log_views import DeliveryBody, delivery_body
from workbell.adapters.http.delivery.views import (
    DestinationBody,
    DestinationStatisticsBody,
    destination_body,
    statistics_body,
)
from workbell.adapters.http.identity.auth import NO_STORE
from workbell.adapters.http.web.operations import (
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
    PartialOperation,
)
from workbell.adapters.http.web.pagination import PageQuery, make_slice, numbered_page
from workbell.adapters.http.web.request import etag_header
from workbell.domain.delivery.destination import DestinationId
from workbell.domain.identity.permissions import Action
from workbell.services.delivery.accounts import AccountService
from workbell.services.delivery.destinations import DestinationService, DestinationView
from workbell.services.delivery.publish import PublishService
from workbell.services.delivery.requests import NewDestination

ROOT = "/api/v1"


@frozen(kw_only=True)
class DestinationRoutes:
    """Destinations of accounts under one root path."""

    destinations: DestinationService
    accounts: AccountService
    publishing: PublishService
    root: str = ROOT

    def list(self, request: ApiRequest[object, PageQuery]) -> ApiResponse:
        """Return a page of an account's destinations."""
        part = make_slice(request, request.query.page, request.query.page_size)
        found, total = self.destinations.list(
            request.actor, account_id(request), offset=part.offset, limit=part.size
        )
        return numbered_page(request, part, [destination_body(view) for view in found], total)

    def create(self, request: ApiRequest[NewDestination]) -> ApiResponse:
        """Create a destination of an account."""
        view = self.destinations.create(request.actor, account_id(request), request.body)
        location = f"{self.root}/destinations/{view.destination.id}"
        return _destination_response(view, 201, Location=location)

    def get(self, request: ApiRequest) -> ApiResponse:
        """Return one destination."""
        return _destination_response(self._get_view(request))

    def change(self, request: ApiRequest[Mapping[str, Any]]) -> ApiResponse:
        """Change the given fields of a destination."""
        version = request.expected_version(self._get_view(request).destination.version)
        view = self.destinations.change(request.actor, _id(request), request.body, version=version)
        return _destination_response(view)

    def delete(self, request: ApiRequest) -> ApiResponse:
        """Delete a destination."""
        version = request.expected_version(self._get_view(request).destination.version)
        self.destinations.delete(request.actor, _id(request), version=version)
        return ApiResponse(status=204)

    def enable(self, request: ApiRequest) -> ApiResponse:
        """Enable a destination and send what is parked."""
        return _destination_response(self.destinations.enable(request.actor, _id(request)))

    def test(self, request: ApiRequest) -> ApiResponse:
        """Send a test event to a destination."""
        listed = self.publishing.publish_test(request.actor, _id(request))
        location = f"{self.root}/deliveries/{listed.delivery.id}"
        return ApiResponse(status=202, body=delivery_body(listed), headers={"Location": location})

    def rotate_secret(self, request: ApiRequest) -> ApiResponse:
        """Give a destination a new secret."""
        return _destination_response(self.destinations.rotate_secret(request.actor, _id(request)))

    def statistics(self, request: ApiRequest) -> ApiResponse:
        """Return the figures of a destination."""
        destination, figures = self.destinations.statistics(request.actor, _id(request))
        return ApiResponse(body=statistics_body(destination, figures))

    def check_create(self, request: ApiRequest) -> None:
        """Raise unless the caller may create destinations of the account."""
        self.accounts.check_access(request.actor, account_id(request), Action.CHANGE_ACCOUNT)

    def check_change(self, request: ApiRequest) -> None:
        """Raise unless the caller may change the destination in the path."""
        self.destinations.check_access(request.actor, _id(request), Action.CHANGE_DESTINATIONS)

    def _get_view(self, request: ApiRequest) -> DestinationView:
        return self.destinations.get(request.actor, _id(request))


def _id(request: ApiRequest) -> DestinationId:
    return DestinationId(request.ids["destination_id"])


def _destination_response(view: DestinationView, status: int = 200, **headers: str) -> ApiResponse:
    headers = {**NO_STORE, **etag_header(view.destination.version), **headers}
    return ApiResponse(status=status, body=destination_body(view), headers=headers)


def operations(routes: DestinationRoutes) -> Sequence[AnyOperation]:
    """Return the canonical operations on destinations."""
    style: dict[str, Any] = {"tag": "delivery"}
    one = f"{routes.root}/destinations/{{destination_id}}"
    shown: dict[int, type | ListOf | None] = {200: DestinationBody}
    return (
        *commands(routes, "", style),
        Operation(
            method="POST", path=f"{one}/enable", name="enable_destination",
            summary="Activate a destination, close its circuit breaker and send what is parked.",
            handler=routes.enable, responses=shown, **style,
        ),
        Operation(
            method="POST", path=f"{one}/test", name="test_destination",
            summary="Send an event of the type workbell.test, also to a disabled destination.",
            handler=routes.test, responses={202: DeliveryBody}, **style,
        ),
        Operation(
            method="POST", path=f"{one}/rotate_secret", name="rotate_destination_secret",
            summary="Replace the signing secret; for 24 hours deliveries are signed with both.",
            handler=routes.rotate_secret, responses=shown, **style,
        ),
        Operation(
            method="GET", path=f"{one}/stats", name="get_destination_statistics",
            summary="Get the figures of a destination over the last 24 hours.",
            handler=routes.statistics, responses={200: DestinationStatisticsBody}, **style,
        ),
    )  # fmt: skip


def commands(
    routes: DestinationRoutes, prefix: str, style: Mapping[str, Any]
) -> Sequence[AnyOperation]:
    """Return the operations on destinations in a style."""
    base = f"{routes.root}/accounts/{{account_id}}/destinations"
    one: dict[str, Any] = {
        "path": f"{routes.root}/destinations/{{destination_id}}", "etag": True, **style,
    }  # fmt: skip
    shown: dict[int, type | ListOf | None] = {200: DestinationBody}
    changed: dict[str, Any] = {
        "handler": routes.change, "request": NewDestination, "responses": shown,
        "exists": routes.check_change, **one,
    }  # fmt: skip
    return (
        Operation(
            method="GET", path=base, name=f"{prefix}list_destinations",
            summary="List the destinations of an account.", handler=routes.list,
            query=PageQuery, responses={200: ListOf(DestinationBody)}, **style,
        ),
        Operation(
            method="POST", path=base, name=f"{prefix}create_destination",
            summary="Create a destination with a new secret.", handler=routes.create,
            request=NewDestination, exists=routes.check_create,
            responses={201: DestinationBody}, **style,
        ),
        Operation(
            method="GET", name=f"{prefix}get_destination", summary="Get a destination.",
            handler=routes.get, responses=shown, **one,
        ),
        PartialOperation(
            method="PUT", name=f"{prefix}replace_destination", required=("url",),
            summary="Change a destination; omitted fields are unchanged.", **changed,
        ),
        PartialOperation(
            method="PATCH", name=f"{prefix}change_destination",
            summary="Change the given fields of a destination.", **changed,
        ),
        Operation(
            method="DELETE", name=f"{prefix}delete_destination",
            summary="Delete a destination; its waiting deliveries are cancelled.",
            handler=routes.delete, responses={204: None}, **one,
        ),
    )  # fmt: skip
