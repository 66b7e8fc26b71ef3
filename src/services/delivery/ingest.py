"""Ingest: events as clients submit them, one at a time or in batches."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from attrs import field, frozen

from workbell.domain.delivery.account import AccountId
from workbell.domain.delivery.event import EventKey, EventType, check_data_size
from workbell.domain.errors import Invalid, NotFound
from workbell.domain.identity.actor import Actor
from workbell.services.delivery.publish import PublishService
from workbell.services.delivery.requests import NewEvent, PublishedEvent


@frozen(kw_only=True)
class SubmittedEvent:
    """
    An event for the destinations of an account.

    `event_id` identifies it within the account; an event that is submitted again
    with the same id, type and data is not delivered again.
    """

    account: int
    event_type: EventType
    data: Mapping[str, Any] = field(repr=False)
    event_id: EventKey | None = None


@frozen(kw_only=True)
class IngestService:
    """
    Publishes submitted events; `texts` are their data exactly as received.

    Without an event id, the id is derived from the idempotency key, if there is one.

    Methods raise what `PublishService.publish` raises, except that an account
    which the actor may not see is `Invalid`.
    """

    publishing: PublishService

    def submit(
        self, actor: Actor, event: SubmittedEvent, text: bytes, idempotency_key: str | None = None
    ) -> PublishedEvent:
        """Publish one event."""
        check_data_size(text)
        new = _new_events(actor, [event], [text], idempotency_key)
        (published,) = self._publish(actor, event.account, new, "account")
        return published

    def submit_batch(
        self,
        actor: Actor,
        events: Sequence[SubmittedEvent],
        texts: Sequence[bytes],
        idempotency_key: str | None = None,
    ) -> Sequence[PublishedEvent]:
        """Publish 1 to 100 events of one account, all or none."""
        account = events[0].account
        if others := [n for n, event in enumerate(events) if event.account != account]:
            message = "must be the same in the whole batch"
            raise Invalid(field_errors={f"{n}.account": [message] for n in others})
        new = _new_events(actor, events, texts, idempotency_key)
        return self._publish(actor, account, new, "0.account")

    def _publish(
        self, actor: Actor, account: int, new: Sequence[NewEvent], path: str
    ) -> Sequence[PublishedEvent]:
        try:
            return self.publishing.publish(actor, AccountId(account), new)
        except NotFound:
            raise Invalid.field(path, "is not one of your accounts") from None


def _new_events(
    actor: Actor,
    events: Iterable[SubmittedEvent],
    texts: Iterable[bytes],
    idempotency_key: str | None,
) -> Sequence[NewEvent]:
    return [
        NewEvent(
            data=text,
            value=event.data,
            event_type=event.event_type,
            event_id=event.event_id or _derived_id(actor, idempotency_key, n),
        )
        for n, (event, text) in enumerate(zip(events, texts, strict=True))
    ]


def _derived_id(actor: Actor, idempotency_key: str | None, n: int) -> str | None:
    """Return the id of the n-th event of a request with an idempotency key."""
    if not idempotency_key:
        return None
    text = f"{actor.user_id}:{n}:{idempotency_key}"
    return f"key_{sha256(text.encode(errors='replace')).hexdigest()}"
