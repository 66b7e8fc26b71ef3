"""Fan-out: the deliveries of events, and the jobs that send them."""

from collections.abc import Sequence
from datetime import datetime

from workbell.domain.delivery.delivery import Delivery
from workbell.domain.delivery.destination import Destination
from workbell.domain.delivery.event import Event
from workbell.ports.delivery.repository import DeliveryTx
from workbell.ports.system import Ids


def make_event_key(ids: Ids) -> str:
    """Return a random event id."""
    return f"evt_{ids.new()}"


def insert_deliveries(
    tx: DeliveryTx,
    receivers: Sequence[tuple[Event, Sequence[Destination]]],
    now: datetime,
    *,
    is_test: bool = False,
) -> Sequence[Delivery]:
    """Insert a delivery of each event to each of its destinations, with their jobs."""
    pairs = [(event, each) for event, destinations in receivers for each in destinations]
    deliveries = tx.deliveries.add_many(
        [Delivery.create(event, each, now, is_test=is_test) for event, each in pairs]
    )
    enqueue(tx, [(made, each) for made, (_, each) in zip(deliveries, pairs, strict=True)], now)
    return deliveries


def enqueue(
    tx: DeliveryTx, deliveries: Sequence[tuple[Delivery, Destination]], now: datetime
) -> None:
    """Insert the jobs of the current turn of deliveries."""
    tx.jobs.add([delivery.job(destination, now) for delivery, destination in deliveries], now)
