"""Operational events and emails about the health of destinations."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from workbell.domain.delivery.delivery import Delivery
from workbell.domain.delivery.destination import Destination
from workbell.domain.delivery.event import OPERATIONAL_PREFIX, Event, make_fingerprint, matches_type
from workbell.domain.delivery.health import HealthFact
from workbell.domain.identity.user import User
from workbell.domain.jobs.job import Job, JobOrigin
from workbell.ports.delivery.repository import DeliveryTx
from workbell.ports.system import Ids
from workbell.services.delivery.fan_out import insert_deliveries, make_event_key

MAIL_TASK: Final = "email.send"
TYPE_PREFIX: Final = f"{OPERATIONAL_PREFIX}destination."

_SENTENCES: Mapping[HealthFact, str] = {
    HealthFact.FAILING: (
        "Its last deliveries have failed. Further ones are parked, and one is sent from time to "
        "time as a probe. All are sent when a probe succeeds."
    ),
    HealthFact.DISABLED: (
        "It has been disabled. Deliveries are parked until an Admin enables it again."
    ),
    HealthFact.RECOVERED: "It accepts deliveries again; the parked ones are being sent.",
    HealthFact.EXHAUSTED: (
        "A delivery has failed after its last retry. An Admin can retry it, or replay all failed "
        "ones. There is no email about further ones until a delivery succeeds."
    ),
}


def notify(
    tx: DeliveryTx,
    fact: HealthFact,
    destination: Destination,
    delivery: Delivery,
    ids: Ids,
    now: datetime,
    *,
    by_mail: bool = True,
) -> None:
    """
    Publish an operational event about a destination, and mail it to the Admins.

    `delivery` is the one that led to it. Deliveries of operational events cause
    no further ones, but the emails are sent.
    """
    if not delivery.event_type.startswith(OPERATIONAL_PREFIX):
        _publish(tx, fact, destination, delivery, ids, now)
    if by_mail:
        admins = tx.memberships.admins(destination.account_id)
        tx.jobs.add([_mail_job(admin, fact, destination, now) for admin in admins], now)


def operational_data(event_type: str, members: Mapping[str, Any], now: datetime) -> bytes:
    """Return the data of an operational event: its type, time and members."""
    value = {"type": event_type, "timestamp": now.isoformat(), "data": members}
    return json.dumps(value, separators=(",", ":")).encode()


def operational_event(
    destination: Destination, event_type: str, members: Mapping[str, Any], ids: Ids, now: datetime
) -> Event:
    """Return an operational event of a destination's account, created by the system."""
    data = operational_data(event_type, members, now)
    return Event(
        account_id=destination.account_id,
        key=make_event_key(ids),
        type=event_type,
        data=data,
        fingerprint=make_fingerprint(event_type, json.loads(data)),
        created_at=now,
    )


def _publish(
    tx: DeliveryTx,
    fact: HealthFact,
    destination: Destination,
    delivery: Delivery,
    ids: Ids,
    now: datetime,
) -> None:
    event_type = TYPE_PREFIX + fact
    receivers = [
        each
        for each in tx.destinations.all_of(destination.account_id)
        if each.id != destination.id and matches_type(each.event_types, event_type)
    ]
    if not receivers:
        return
    members = {
        "destination_id": destination.id,
        "url": destination.url,
        "state": destination.state,
        "disabled_reason": destination.disabled_reason,
        "delivery_id": delivery.id,
        "event_id": delivery.event_key,
        "last_status_code": delivery.last_status_code,
        "last_error": delivery.last_error,
    }
    event = tx.events.add(operational_event(destination, event_type, members, ids, now))
    assert event is not None
    insert_deliveries(tx, [(event, receivers)], now)


def _mail_job(admin: User, fact: HealthFact, destination: Destination, now: datetime) -> Job:
    subject = f"Destination {destination.id} {_PARTICIPLES[fact]}"
    lines: Sequence[str] = [
        f"Destination {destination.id} of your account {destination.account_id}:",
        destination.url,
        "",
        _SENTENCES[fact],
        *([f"Reason: {destination.disabled_reason}"] if fact is HealthFact.DISABLED else []),
    ]
    return Job(
        task=MAIL_TASK,
        name=subject,
        parameters={
            "email": admin.email,
            "delay": 0,
            "subject": subject,
            "body": "\n".join(lines) + "\n",
        },
        due_at=now,
        origin=JobOrigin.MAIL,
        created_at=now,
    )


_PARTICIPLES: Mapping[HealthFact, str] = {
    HealthFact.FAILING: "is failing",
    HealthFact.DISABLED: "has been disabled",
    HealthFact.RECOVERED: "has recovered",
    HealthFact.EXHAUSTED: "has a delivery that failed for good",
}
