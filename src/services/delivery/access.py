"""Access to accounts and destinations: visibility first, then permission."""

from collections.abc import Collection

from workbell.domain.delivery.account import Account, AccountId
from workbell.domain.delivery.destination import Destination, DestinationId
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, Relation, check, check_key, get_scope
from workbell.ports.delivery.repository import DeliveryTx


def get_relations_to(tx: DeliveryTx, actor: Actor, account_id: AccountId) -> Collection[Relation]:
    """Return the actor's relation to an account as its member, if any."""
    membership = tx.memberships.find(account_id, actor.user_id)
    return () if membership is None else (membership.role.relation,)


def get_account(
    tx: DeliveryTx, actor: Actor, account_id: AccountId, action: Action, *, lock: bool = False
) -> Account:
    """
    Return an account on which the actor may perform an action.

    Raises:
        NotFound: There is no such account, or the actor may not see it.
        NotAllowed: The actor may see it, but not perform the action, or the
            API key lacks the scope.
    """
    check_key(actor, action)
    scope = get_scope(actor, Action.READ_ACCOUNT)
    read = tx.accounts.get_for_update if lock else tx.accounts.get
    account = read(scope, account_id)
    check(actor, action, also=get_relations_to(tx, actor, account_id))
    return account


def get_destination(
    tx: DeliveryTx,
    actor: Actor,
    destination_id: DestinationId,
    action: Action,
    *,
    lock: bool = False,
) -> Destination:
    """
    Return a destination on which the actor may perform an action.

    Raises:
        NotFound: There is no such destination, or the actor may not see its account.
        NotAllowed: The actor may see it, but not perform the action, or the
            API key lacks the scope.
    """
    check_key(actor, action)
    if lock:  # before it is read: a deleted one is not found afterwards
        tx.destinations.get_for_update(destination_id)
    destination = tx.destinations.get(get_scope(actor, Action.READ_ACCOUNT), destination_id)
    check(actor, action, also=get_relations_to(tx, actor, destination.account_id))
    return destination
