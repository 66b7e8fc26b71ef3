"""The log of an account: its events, deliveries and their attempts."""

from collections.abc import Sequence

from attrs import evolve, frozen

from workbell.domain.delivery.account import AccountId
from workbell.domain.delivery.delivery import Delivery, DeliveryAttempt, DeliveryId
from workbell.domain.delivery.event import Event, EventRowId
from workbell.domain.errors import Conflict
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, get_scope
from workbell.ports.delivery.repository import DeliveryFilter, DeliveryTx, ListedDelivery
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.audit.entries import audit_command
from workbell.services.delivery.access import get_account
from workbell.services.delivery.fan_out import enqueue
from workbell.services.transaction_retry import retry_on_contention


@frozen(kw_only=True)
class DeliveryDetail:
    """A delivery with its newest 100 attempts, oldest first."""

    listed: ListedDelivery
    attempt_log: Sequence[DeliveryAttempt]


@frozen(kw_only=True)
class DeliveryLog:
    """
    Lists events and deliveries, and sends a delivery again.

    Methods raise `NotFound` unless the actor is a member of the account, or a
    superuser.
    """

    store: Store[DeliveryTx]
    clock: Clock

    def list_events(
        self,
        actor: Actor,
        account_id: AccountId,
        *,
        event_type: str | None = None,
        key: str | None = None,
        before_id: EventRowId | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[Event], int]:
        """Return a page of an account's events, newest first, and their number."""
        with self.store.view() as tx:
            get_account(tx, actor, account_id, Action.READ_DELIVERIES)
            return tx.events.list_page(
                account_id,
                event_type=event_type,
                key=key,
                before_id=before_id,
                offset=offset,
                limit=limit,
            )

    def list_deliveries(
        self,
        actor: Actor,
        account_id: AccountId,
        filters: DeliveryFilter,
        *,
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[ListedDelivery], int]:
        """Return a page of an account's deliveries, newest first, and their number."""
        with self.store.view() as tx:
            get_account(tx, actor, account_id, Action.READ_DELIVERIES)
            of_account = evolve(filters, account_id=account_id)
            return tx.deliveries.list_page(of_account, offset=offset, limit=limit)

    def get(self, actor: Actor, delivery_id: DeliveryId) -> DeliveryDetail:
        """Return a delivery with its attempts."""
        with self.store.view() as tx:
            listed = _get(tx, actor, delivery_id, Action.READ_DELIVERIES)
            return DeliveryDetail(listed=listed, attempt_log=tx.deliveries.attempts(delivery_id))

    @retry_on_contention
    def retry(self, actor: Actor, delivery_id: DeliveryId) -> ListedDelivery:
        """
        Send a delivery again now, with the whole retry schedule.

        Raises:
            NotAllowed: The actor is not an Admin of the account.
            Conflict: The delivery is under way, its data has been purged, or its
                destination has been deleted.
        """
        now = self.clock.now()
        with self.store.begin() as tx:
            listed = _get(tx, actor, delivery_id, Action.RETRY_DELIVERIES)
            destination = tx.destinations.get_for_update(listed.delivery.destination_id)
            tx.deliveries.get_for_update(delivery_id)
            listed = _get(tx, actor, delivery_id, Action.RETRY_DELIVERIES)
            if destination.deleted_at is not None:
                raise Conflict("The destination has been deleted.")
            if listed.data is None:
                raise Conflict("The data of the event has been purged.")
            before = listed.delivery
            after = before.retry(now)
            tx.deliveries.replace(before, after)
            enqueue(tx, [(after, destination)], now)
            audit_command(
                tx.audit, actor, "RETRY", "delivery", delivery_id, now, _changes(before, after)
            )
            return evolve(listed, delivery=after)


def _get(tx: DeliveryTx, actor: Actor, delivery_id: DeliveryId, action: Action) -> ListedDelivery:
    listed = tx.deliveries.get(get_scope(actor, Action.READ_DELIVERIES), delivery_id)
    get_account(tx, actor, listed.delivery.account_id, action)
    return listed


def _changes(before: Delivery, after: Delivery) -> dict[str, list[str]]:
    return {"state": [before.state.label, after.state.label]}
