"""Events and deliveries over HTTP: list, get, retry, replay."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Annotated, Any

from attrs import evolve, frozen

from workbell.adapters.http.delivery.log_views import (
    DeliveryBody,
    DeliveryDetailBody,
    DeliveryStateName,
    EventBody,
    delivery_body,
    delivery_detail_body,
    event_body,
)
from workbell.adapters.http.jobs.views import JobBody, job_body
from workbell.adapters.http.web.operations import (
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
)
from workbell.adapters.http.web.pagination import CursorQuery, history_page
from workbell.adapters.http.web.query_types import FilterText
from workbell.domain.constraints import Constraints, Instant
from workbell.domain.delivery.account import AccountId
from workbell.domain.delivery.delivery import DeliveryId, DeliveryState
from workbell.domain.delivery.destination import DestinationId
from workbell.domain.delivery.event import Event, EventKey, EventRowId
from workbell.domain.identity.permissions import Action
from workbell.ports.delivery.repository import DeliveryFilter, ListedDelivery
from workbell.services.delivery.destinations import DestinationService
from workbell.services.delivery.log import DeliveryLog
from workbell.services.delivery.replay import ReplayService

ACCOUNT = "/api/v1/accounts/{account_id}"
ONE = "/api/v1/deliveries/{delivery_id}"
REPLAY = "/api/v1/destinations/{destination_id}/replay"

DestinationFilter = Annotated[DestinationId, Constraints(ge=1)]


@frozen(kw_only=True)
class EventQuery(CursorQuery):
    """Filters and page of a list of events."""

    event_type: FilterText | None = None
    event_id: EventKey | None = None


@frozen(kw_only=True)
class DeliveryQuery(CursorQuery):
    """Filters and page of a list of deliveries."""

    state: Sequence[DeliveryStateName] | None = None
    destination: DestinationFilter | None = None
    event_id: EventKey | None = None
    created_at__gte: Instant | None = None
    created_at__lte: Instant | None = None


@frozen(kw_only=True)
class ReplayBody:
    """Send again what failed from `since` until `until`, by default until now."""

    since: Instant
    until: Instant | None = None


@frozen(kw_only=True)
class DeliveryLogRoutes:
    """Events and deliveries of the caller's accounts."""

    log: DeliveryLog
    replays: ReplayService
    destinations: DestinationService

    def list_events(self, request: ApiRequest[object, EventQuery]) -> ApiResponse:
        """Return a page of the events of an account."""
        query = request.query

        def find(before_id: int | None, offset: int, limit: int) -> tuple[Sequence[Event], int]:
            return self.log.list_events(
                request.actor,
                _account_id(request),
                event_type=query.event_type,
                key=query.event_id,
                before_id=None if before_id is None else EventRowId(before_id),
                offset=offset,
                limit=limit,
            )

        return history_page(request, find, event_body, attrgetter("id"))

    def list_deliveries(self, request: ApiRequest[object, DeliveryQuery]) -> ApiResponse:
        """Return a page of the deliveries of an account."""
        query = request.query
        filters = DeliveryFilter(
            destination_id=query.destination,
            states=_states(query.state),
            event_key=query.event_id,
            received_from=query.created_at__gte,
            received_to=query.created_at__lte,
        )
        return delivery_page(request, self.log, filters, delivery_body)

    def get(self, request: ApiRequest) -> ApiResponse:
        """Return one delivery with its attempts."""
        detail = self.log.get(request.actor, _delivery_id(request))
        return ApiResponse(body=delivery_detail_body(detail))

    def retry(self, request: ApiRequest) -> ApiResponse:
        """Send a delivery again."""
        return ApiResponse(body=delivery_body(self.log.retry(request.actor, _delivery_id(request))))

    def replay(self, request: ApiRequest[ReplayBody]) -> ApiResponse:
        """Start a job that sends the failed deliveries of a destination again."""
        body = request.body
        job = self.replays.replay(request.actor, _destination_id(request), body.since, body.until)
        location = {"Location": f"/api/v1/jobs/{job.id}"}
        return ApiResponse(status=202, body=job_body(job), headers=location)

    def check_replay(self, request: ApiRequest) -> None:
        """Raise unless the caller may replay the destination in the path."""
        destination_id, action = _destination_id(request), Action.RETRY_DELIVERIES
        self.destinations.check_access(request.actor, destination_id, action)


def delivery_page(
    request: ApiRequest[object, CursorQuery],
    log: DeliveryLog,
    filters: DeliveryFilter,
    show: Callable[[ListedDelivery], Any],
) -> ApiResponse:
    """Return a page of the deliveries of the account in the path."""

    def find(
        before_id: int | None, offset: int, limit: int
    ) -> tuple[Sequence[ListedDelivery], int]:
        last = None if before_id is None else DeliveryId(before_id)
        return log.list_deliveries(
            request.actor,
            _account_id(request),
            evolve(filters, before_id=last),
            offset=offset,
            limit=limit,
        )

    return history_page(request, find, show, lambda listed: listed.delivery.id)


def _states(names: Sequence[DeliveryStateName] | None) -> Sequence[DeliveryState] | None:
    return None if names is None else [DeliveryState[name.name] for name in names]


def _account_id(request: ApiRequest) -> AccountId:
    return AccountId(request.ids["account_id"])


def _delivery_id(request: ApiRequest) -> DeliveryId:
    return DeliveryId(request.ids["delivery_id"])


def _destination_id(request: ApiRequest) -> DestinationId:
    return DestinationId(request.ids["destination_id"])


def operations(routes: DeliveryLogRoutes) -> Sequence[AnyOperation]:
    """Return the canonical operations on events and deliveries."""
    style: dict[str, Any] = {"tag": "delivery"}
    return (
        Operation(
            method="GET", path=f"{ACCOUNT}/events", name="list_events",
            summary="List the events of an account, newest first.", handler=routes.list_events,
            query=EventQuery, responses={200: ListOf(EventBody, history=True)}, **style,
        ),
        Operation(
            method="GET", path=f"{ACCOUNT}/logs", name="list_deliveries",
            summary="List the deliveries of an account, newest first.",
            handler=routes.list_deliveries, query=DeliveryQuery,
            responses={200: ListOf(DeliveryBody, history=True)}, **style,
        ),
        Operation(
            method="GET", path=ONE, name="get_delivery",
            summary="Get a delivery with its attempts.", handler=routes.get,
            responses={200: DeliveryDetailBody}, **style,
        ),
        Operation(
            method="POST", path=f"{ONE}/retry", name="retry_delivery",
            summary="Send a delivery again, with the whole retry schedule.",
            handler=routes.retry, responses={200: DeliveryBody}, errors=(409,), **style,
        ),
        Operation(
            method="POST", path=REPLAY, name="replay_destination",
            summary="Start a job that sends a destination's failed deliveries again.",
            handler=routes.replay, request=ReplayBody, exists=routes.check_replay,
            responses={202: JobBody}, **style,
        ),
    )  # fmt: skip
