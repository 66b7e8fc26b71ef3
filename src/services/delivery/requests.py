"""Requests of webhook delivery, before validation."""

from typing import Any

from attrs import field, frozen

from workbell.domain.delivery.event import INCOMING_DATA, Event


@frozen(kw_only=True)
class NewEvent:
    """
    An event to publish.

    `data` are the exact bytes as received, `value` the JSON value that they hold.
    Without an `event_id` one is generated.
    """

    data: bytes = field(repr=False)
    value: Any = field(repr=False)
    event_type: str = INCOMING_DATA
    event_id: str | None = None


@frozen(kw_only=True)
class PublishedEvent:
    """A stored event; `is_new` is false if it had been published before."""

    event: Event
    is_new: bool
    deliveries: int
