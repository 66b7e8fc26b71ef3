"""Access to accounts: membership and permission."""

from workbell.domain.delivery.account import Account, AccountId
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, check, get_scope
from workbell.ports.delivery.repository import DeliveryTx


def get_account(
    tx: DeliveryTx, actor: Actor, account_id: AccountId, action: Action, *, lock: bool = False
) -> Account:
    """
    Return an account for an action, and lock its row if asked to.

    Raises:
        NotFound: There is no such account, or the actor may not see it.
        NotAllowed: The actor's role does not allow the action.
    """
    get = tx.accounts.get_for_update if lock else tx.accounts.get
    account = get(get_scope(actor, Action.READ_ACCOUNT), account_id)
    membership = tx.memberships.find(account_id, actor.user_id)
    check(actor, action, also=() if membership is None else (membership.role.relation,))
    return account
