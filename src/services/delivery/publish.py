"""Publishing: events, their deliveries and first jobs in one transaction."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from attrs import evolve, frozen

from workbell.domain.delivery.account import TOKEN_PURPOSE, AccountId
from workbell.domain.delivery.destination import Destination, DestinationId
from workbell.domain.delivery.event import (
    MAX_BATCH,
    OPERATIONAL_PREFIX,
    Event,
    event_problems,
    make_fingerprint,
    matches_type,
)
from workbell.domain.errors import Invalid, NotAllowed
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, check
from workbell.domain.validation import find_field_errors
from workbell.ports.delivery.repository import DeliveryTx, ListedDelivery
from workbell.ports.secret_box import SecretBox
from workbell.ports.store import Store
from workbell.ports.system import Clock, Ids
from workbell.services.audit.entries import audit_command
from workbell.services.delivery.access import get_account, get_destination
from workbell.services.delivery.fan_out import insert_deliveries, make_event_key
from workbell.services.delivery.operational import operational_event
from workbell.services.delivery.requests import NewEvent, PublishedEvent
from workbell.services.transaction_retry import retry_on_contention

TEST_TYPE: Final = f"{OPERATIONAL_PREFIX}test"
_TOKEN: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@frozen(kw_only=True)
class PublishService:
    """
    Stores events with a delivery to each matching destination.

    A published event is committed with its deliveries and their jobs. An event
    that was published before is not delivered again: the same id, type and data
    return the first result.
    """

    store: Store[DeliveryTx]
    clock: Clock
    ids: Ids
    secret_box: SecretBox

    @retry_on_contention
    def publish(
        self, actor: Actor, account_id: AccountId, events: Sequence[NewEvent]
    ) -> Sequence[PublishedEvent]:
        """
        Publish up to 100 events, all or none.

        Raises:
            Invalid: An event is wrong (the errors name its fields as `0.event_id`),
                or the account has no destination.
            Conflict: An event exists with the same id and another type or data.
            NotFound: The account is not visible to the actor.
            NotAllowed: The actor is not a member.
        """
        _check_events(events)
        now = self.clock.now()
        prepared = [self._make_event(actor, account_id, new, now) for new in events]
        with self.store.begin() as tx:
            get_account(tx, actor, account_id, Action.SEND_EVENTS)
            return _store(tx, account_id, prepared, now)

    @retry_on_contention
    def publish_by_token(self, actor: Actor, token: str, event: NewEvent) -> PublishedEvent:
        """
        Publish one event to the account that a token identifies.

        Raises:
            Invalid: The token or the event is malformed, or the account has no
                destination.
            Conflict: An event exists with the same id and another type or data.
            NotAllowed: The token is of no account of which the actor is a member.
        """
        if not _TOKEN.fullmatch(token):
            raise Invalid("The token is not a UUID.")
        if problems := _find_problems(event):
            raise Invalid(field_errors=problems)
        now = self.clock.now()
        indexes = self.secret_box.indexes(token.lower(), TOKEN_PURPOSE)
        with self.store.begin() as tx:
            account_id = _find_account(tx, actor, indexes, now)
            prepared = self._make_event(actor, account_id, event, now)
            (published,) = _store(tx, account_id, [prepared], now)
        return published

    @retry_on_contention
    def publish_test(self, actor: Actor, destination_id: DestinationId) -> ListedDelivery:
        """
        Send a test event to one destination, also if it is disabled or failing.

        Raises:
            NotFound: The destination is not visible to the actor.
            NotAllowed: The actor is not an Admin of its account.
        """
        now = self.clock.now()
        with self.store.begin() as tx:
            destination = get_destination(tx, actor, destination_id, Action.CHANGE_ACCOUNT)
            members = {"destination_id": destination.id, "message": "This is a test."}
            test = operational_event(destination, TEST_TYPE, members, self.ids, now)
            event = tx.events.add(evolve(test, created_by=actor.user_id))
            assert event is not None
            (delivery,) = insert_deliveries(tx, [(event, [destination])], now, is_test=True)
            changes = {"event_id": [None, event.key]}
            audit_command(tx.audit, actor, "TEST", "destination", destination.id, now, changes)
        return ListedDelivery(delivery=delivery, destination_url=destination.url, data=event.data)

    def _make_event(
        self, actor: Actor, account_id: AccountId, new: NewEvent, now: datetime
    ) -> Event:
        return Event(
            account_id=account_id,
            key=make_event_key(self.ids) if new.event_id is None else new.event_id,
            type=new.event_type,
            data=new.data,
            fingerprint=make_fingerprint(new.event_type, new.value),
            created_by=actor.user_id,
            created_at=now,
        )


def _check_events(events: Sequence[NewEvent]) -> None:
    if not 1 <= len(events) <= MAX_BATCH:
        raise Invalid(f"A batch must have 1 to {MAX_BATCH} events, not {len(events)}.")
    problems = {
        f"{n}.{name}": messages
        for n, new in enumerate(events)
        for name, messages in _find_problems(new).items()
    }
    if problems:
        raise Invalid(field_errors=problems)


def _find_problems(new: NewEvent) -> Mapping[str, Sequence[str]]:
    return find_field_errors(new) or event_problems(new.event_id, new.event_type, new.data)


def _find_account(tx: DeliveryTx, actor: Actor, indexes: Sequence[str], now: datetime) -> AccountId:
    """Return the account with one of the token's indexes, or raise NotAllowed."""
    account = tx.accounts.find_by_token(indexes, now)
    membership = None if account is None else tx.memberships.find(account.id, actor.user_id)
    if account is None or membership is None:
        raise NotAllowed("The token is not that of one of your accounts.")
    check(actor, Action.SEND_EVENTS, also={membership.role.relation})
    return account.id


def _store(
    tx: DeliveryTx, account_id: AccountId, events: Sequence[Event], now: datetime
) -> Sequence[PublishedEvent]:
    """Insert the events that are new, with their deliveries and jobs."""
    inserted = [tx.events.add(event) for event in events]
    receivers: list[tuple[Event, Sequence[Destination]]] = []
    if new := [event for event in inserted if event is not None]:
        destinations = tx.destinations.all_of(account_id)
        if not destinations:
            raise Invalid("The account has no destination.")
        receivers = [
            (event, [each for each in destinations if matches_type(each.event_types, event.type)])
            for event in new
        ]
        insert_deliveries(tx, receivers, now)
    counts = {event.id: len(matching) for event, matching in receivers}
    return [
        _find_published(tx, event)
        if stored is None
        else PublishedEvent(event=stored, is_new=True, deliveries=counts[stored.id])
        for event, stored in zip(events, inserted, strict=True)
    ]


def _find_published(tx: DeliveryTx, event: Event) -> PublishedEvent:
    """Return the result of an event that was published before, or raise Conflict."""
    stored = tx.events.find_by_key(event.account_id, event.key)
    assert stored is not None
    stored.check_same(event.fingerprint)
    deliveries = len(tx.deliveries.of_event(stored))
    return PublishedEvent(event=stored, is_new=False, deliveries=deliveries)
