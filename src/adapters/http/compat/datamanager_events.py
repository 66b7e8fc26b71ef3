"""DataManager's routes: incoming data and logs."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from workbell.adapters.http.delivery.log_routes import DestinationFilter, delivery_page
from workbell.adapters.http.delivery.log_views import (
    DATAMANAGER_STATUSES,
    DataManagerLogBody,
    DataManagerStatus,
    datamanager_log_body,
)
from workbell.adapters.http.web.operations import (
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
    Style,
)
from workbell.adapters.http.web.pagination import CursorQuery
from workbell.domain.constraints import Instant
from workbell.domain.delivery.delivery import DeliveryState
from workbell.domain.delivery.event import MAX_DATA_BYTES, EventKey
from workbell.domain.rate_limits.policy import Route
from workbell.ports.delivery.repository import DeliveryFilter
from workbell.services.delivery.log import DeliveryLog
from workbell.services.delivery.publish import PublishService
from workbell.services.delivery.requests import NewEvent

TOKEN_HEADER, EVENT_ID_HEADER = "CL-X-TOKEN", "CL-X-EVENT-ID"


@frozen(kw_only=True)
class DataManagerLogQuery(CursorQuery):
    """Filters and page of a log."""

    status: Sequence[DataManagerStatus] | None = None
    event_id: EventKey | None = None
    destination_id: DestinationFilter | None = None
    received_timestamp__gte: Instant | None = None
    received_timestamp__lte: Instant | None = None


@frozen(kw_only=True, slots=False)
class DataReceivedBody:
    """The id of the stored event."""

    message: str
    event_id: str


@frozen(kw_only=True)
class DataManagerEventRoutes:
    """Incoming data and logs of the DataManager API."""

    publishing: PublishService
    log: DeliveryLog

    def receive(self, request: ApiRequest[Mapping[str, Any]]) -> ApiResponse:
        """Store the body as an event of the account that the token identifies."""
        event = NewEvent(
            data=request.content,
            value=request.body,
            event_id=request.headers(EVENT_ID_HEADER),
        )
        token = request.headers(TOKEN_HEADER) or ""
        published = self.publishing.publish_by_token(request.actor, token, event)
        body = DataReceivedBody(message="Data Received", event_id=published.event.key)
        return ApiResponse(body=body)

    def list_log(self, request: ApiRequest[object, DataManagerLogQuery]) -> ApiResponse:
        """Return a page of an account's log."""
        query = request.query
        filters = DeliveryFilter(
            destination_id=query.destination_id,
            states=_states(query.status),
            event_key=query.event_id,
            received_from=query.received_timestamp__gte,
            received_to=query.received_timestamp__lte,
        )
        return delivery_page(request, self.log, filters, datamanager_log_body)


def _states(names: Sequence[DataManagerStatus] | None) -> Sequence[DeliveryState] | None:
    if names is None:
        return None
    return [state for state, name in DATAMANAGER_STATUSES.items() if name in names]


def operations(routes: DataManagerEventRoutes) -> Sequence[AnyOperation]:
    """Return the routes for incoming data and logs."""
    style: dict[str, Any] = {"style": Style.DATAMANAGER, "tag": "DataManager"}
    return (
        Operation(
            method="POST", path="/server/incoming_data", name="datamanager_receive_data",
            summary="Send a JSON object to the destinations of an account.",
            handler=routes.receive, request=dict, max_body_bytes=MAX_DATA_BYTES,
            responses={200: DataReceivedBody}, errors=(409,), limit=Route.INGEST, **style,
        ),
        Operation(
            method="GET", path="/accounts/{account_id}/logs", name="datamanager_list_logs",
            summary="List the deliveries of an account, newest first.", handler=routes.list_log,
            query=DataManagerLogQuery,
            responses={200: ListOf(DataManagerLogBody, history=True)}, **style,
        ),
    )  # fmt: skip
