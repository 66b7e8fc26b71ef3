"""Ingest over HTTP: events as canonical objects, or in batches."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from attrs import frozen

from workbell.adapters.http.web.operations import (
    AnyOperation,
    ApiRequest,
    ApiResponse,
    ListOf,
    Operation,
)
from workbell.adapters.serialization.json_codec import raw_items, raw_member
from workbell.domain.delivery.event import MAX_BATCH
from workbell.domain.rate_limits.policy import Route
from workbell.services.delivery.ingest import IngestService, SubmittedEvent
from workbell.services.delivery.requests import PublishedEvent

EVENT_EXAMPLE: Final = {
    "account": 1,
    "event_type": "order.paid",
    "data": {"order": 17, "total": 25.5},
    "event_id": "order-17-paid",
}
RESPONSE_EXAMPLE: Final = {
    "event_id": "order-17-paid",
    "event_type": "order.paid",
    "account": 1,
    "deliveries": 2,
    "created_at": "2026-01-31T12:00:00Z",
}


@frozen(kw_only=True, slots=False)
class PublishedEventBody:
    """A stored event, and the number of destinations that it is delivered to."""

    event_id: str
    event_type: str
    account: int
    deliveries: int
    created_at: datetime


@frozen(kw_only=True)
class IngestRoutes:
    """Events that clients submit."""

    ingest: IngestService

    def submit(self, request: ApiRequest[SubmittedEvent | Sequence[SubmittedEvent]]) -> ApiResponse:
        """Store one event or a batch, with the exact bytes of their data."""
        body = request.body
        if isinstance(body, SubmittedEvent):
            text = raw_member(request.content, "data")
            one = self.ingest.submit(request.actor, body, text, request.idempotency_key)
            events = f"/api/v1/accounts/{body.account}/events?event_id={one.event.key}"
            return ApiResponse(status=201, body=_body(one), headers={"Location": events})
        texts = [raw_member(item, "data") for item in raw_items(request.content)]
        batch = self.ingest.submit_batch(request.actor, body, texts, request.idempotency_key)
        return ApiResponse(status=201, body=[*map(_body, batch)])


def _body(published: PublishedEvent) -> PublishedEventBody:
    event = published.event
    return PublishedEventBody(
        event_id=event.key,
        event_type=event.type,
        account=event.account_id,
        deliveries=published.deliveries,
        created_at=event.created_at,
    )


def operations(routes: IngestRoutes) -> Sequence[AnyOperation]:
    """Return the canonical ingest operation."""
    return (
        Operation(
            method="POST", path="/api/v1/events", name="publish_events",
            summary=f"Publish an event, or a batch of up to {MAX_BATCH}, to an account's destinations.",
            handler=routes.submit, request=SubmittedEvent, max_batch=MAX_BATCH,
            example=EVENT_EXAMPLE,
            responses={201: ListOf(PublishedEventBody, plain=True, or_one=True, example=RESPONSE_EXAMPLE)}, errors=(409,),
            idempotent=True, limit=Route.INGEST, tag="delivery",
        ),
    )  # fmt: skip
