"""Response bodies of events, deliveries and their attempts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from attrs import frozen

from workbell.adapters.http.web.mapping import copy_fields
from workbell.adapters.serialization.json_codec import verbatim
from workbell.domain.delivery.delivery import DeliveryAttempt, DeliveryState
from workbell.domain.delivery.event import Event
from workbell.ports.delivery.repository import ListedDelivery
from workbell.services.delivery.log import DeliveryDetail


class DeliveryStateName(StrEnum):
    """The state of a delivery."""

    PENDING = "pending"
    SENDING = "sending"
    RETRYING = "retrying"
    PARKED = "parked"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class DataManagerStatus(StrEnum):
    """Delivery statuses of DataManager."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILED = "failed"


DATAMANAGER_STATUSES: Mapping[DeliveryState, DataManagerStatus] = {
    DeliveryState.PENDING: DataManagerStatus.PENDING,
    DeliveryState.SENDING: DataManagerStatus.PENDING,
    DeliveryState.RETRYING: DataManagerStatus.PENDING,
    DeliveryState.PARKED: DataManagerStatus.PENDING,
    DeliveryState.SUCCEEDED: DataManagerStatus.SUCCESS,
    DeliveryState.FAILED: DataManagerStatus.FAILED,
    DeliveryState.CANCELLED: DataManagerStatus.FAILED,
}


@frozen(kw_only=True, slots=False)
class EventBody:
    """An event that an account received; `data` is null once it has been purged."""

    event_id: str
    event_type: str
    account: int
    data: Mapping[str, Any] | None
    created_at: datetime


@frozen(kw_only=True, slots=False)
class DeliveryBody:
    """
    An event on its way to one destination.

    Parked deliveries wait until their destination is enabled or recovers.
    """

    id: int
    event_id: str
    event_type: str
    account: int
    destination: int
    destination_url: str
    state: DeliveryStateName
    attempts: int
    next_attempt_at: datetime | None
    created_at: datetime
    completed_at: datetime | None
    last_status_code: int | None
    last_error: str | None


@frozen(kw_only=True, slots=False)
class DeliveryAttemptBody:
    """
    One request to the destination.

    `error` is the class of a failure without a usable response, such as `timeout`;
    `timings` are milliseconds by phase. Values of secret headers are masked.
    """

    number: int
    started_at: datetime
    duration_ms: int
    address: str
    status_code: int | None
    error: str | None
    error_detail: str
    timings: Mapping[str, float]
    request_headers: Mapping[str, str]
    response_headers: Mapping[str, str]
    response_snippet: str


@frozen(kw_only=True, slots=False)
class DeliveryDetailBody(DeliveryBody):
    """A delivery with its newest 100 attempts, oldest first."""

    attempt_log: Sequence[DeliveryAttemptBody]


@frozen(kw_only=True, slots=False)
class DataManagerLogBody:
    """A delivery, as a row of DataManager's log."""

    id: int
    event_id: str
    account: int
    destination: int
    received_timestamp: datetime
    processed_timestamp: datetime | None
    received_data: Mapping[str, Any] | None
    status: DataManagerStatus


def event_body(event: Event) -> EventBody:
    """Return the body of an event."""
    return EventBody(
        event_id=event.key,
        event_type=event.type,
        account=event.account_id,
        data=_data(event.data),
        created_at=event.created_at,
    )


def delivery_body(listed: ListedDelivery) -> DeliveryBody:
    """Return the body of a delivery."""
    return DeliveryBody(**_fields(listed))


def delivery_detail_body(detail: DeliveryDetail) -> DeliveryDetailBody:
    """Return the body of a delivery with its attempts."""
    return DeliveryDetailBody(
        **_fields(detail.listed), attempt_log=[*map(_attempt_body, detail.attempt_log)]
    )


def datamanager_log_body(listed: ListedDelivery) -> DataManagerLogBody:
    """Return the body of a delivery for DataManager."""
    delivery = listed.delivery
    return DataManagerLogBody(
        id=delivery.id,
        event_id=delivery.event_key,
        account=delivery.account_id,
        destination=delivery.destination_id,
        received_timestamp=delivery.created_at,
        processed_timestamp=delivery.completed_at,
        received_data=_data(listed.data),
        status=DATAMANAGER_STATUSES[delivery.state],
    )


def _fields(listed: ListedDelivery) -> Mapping[str, Any]:
    delivery = listed.delivery
    return {
        "id": delivery.id,
        "event_id": delivery.event_key,
        "event_type": delivery.event_type,
        "account": delivery.account_id,
        "destination": delivery.destination_id,
        "destination_url": listed.destination_url,
        "state": DeliveryStateName(delivery.state.label),
        "attempts": delivery.attempts,
        "next_attempt_at": delivery.next_attempt_at,
        "created_at": delivery.created_at,
        "completed_at": delivery.completed_at,
        "last_status_code": delivery.last_status_code,
        "last_error": delivery.last_error,
    }


def _attempt_body(attempt: DeliveryAttempt) -> DeliveryAttemptBody:
    result = attempt.result
    return copy_fields(
        DeliveryAttemptBody,
        attempt,
        address=result.address,
        status_code=result.status_code,
        error=result.error,
        error_detail=result.detail,
        timings=result.timings,
        response_headers=result.response_headers,
        response_snippet=result.snippet,
    )


def _data(data: bytes | None) -> Any:
    """Return the data of an event to be written exactly as it was received."""
    return None if data is None else verbatim(data)
