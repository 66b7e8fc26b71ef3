"""Use cases of accounts: create, list, rename, delete, rotate the token."""

from collections.abc import Collection, Sequence

from attrs import field, frozen

from workbell.domain.delivery.account import Account, AccountId, AccountRole, Membership
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import LOGIN_REQUIRED, Action, Relation, check, get_scope
from workbell.domain.validation import check_request
from workbell.ports.delivery.repository import DeliveryTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.audit.entries import audit_command
from workbell.services.delivery.access import get_account, get_relations_to
from workbell.services.delivery.destinations import delete_destinations
from workbell.services.delivery.requests import NewAccount
from workbell.services.delivery.secrets import DeliverySecrets
from workbell.services.transaction_retry import retry_on_contention


@frozen(kw_only=True)
class AccountView:
    """An account, with its token if the actor is one of its Admins."""

    account: Account
    token: str | None = field(repr=False)


@frozen(kw_only=True)
class AccountService:
    """
    Creates, lists, renames and deletes accounts, and rotates their tokens.

    Methods that take an account id raise `NotFound` unless the actor may see
    the account, and `NotAllowed` if they may only see it.
    """

    store: Store[DeliveryTx]
    clock: Clock
    secrets: DeliverySecrets

    @retry_on_contention
    def create(self, actor: Actor, new: NewAccount) -> AccountView:
        """Create an account with the actor as its Admin."""
        check(actor, Action.MAKE_ACCOUNT, LOGIN_REQUIRED)
        check_request(new)
        with self.store.begin() as tx:
            account = self.add(tx, actor, new.name)
        return self._view(actor, account, {AccountRole.ADMIN.relation})

    def add(self, tx: DeliveryTx, actor: Actor, name: str) -> Account:
        """Insert an account and the actor's membership in the caller's transaction."""
        now, token = self.clock.now(), self.secrets.make_token()
        account = tx.accounts.add(
            Account(
                name=name,
                token=token.token,
                token_index=token.token_index,
                created_at=now,
                updated_at=now,
            )
        )
        tx.memberships.add(
            Membership(
                account_id=account.id,
                user_id=actor.user_id,
                role=AccountRole.ADMIN,
                created_at=now,
                updated_at=now,
            )
        )
        audit_command(tx.audit, actor, "CREATE", "account", account.id, now, {"name": [None, name]})
        return account

    def list(
        self, actor: Actor, *, search: str | None = None, offset: int = 0, limit: int = 20
    ) -> tuple[Sequence[AccountView], int]:
        """Return a page of the accounts that the actor may see, and their number."""
        scope = get_scope(actor, Action.READ_ACCOUNT)
        with self.store.view() as tx:
            accounts, total = tx.accounts.list_page(
                scope, search=search, offset=offset, limit=limit
            )
            roles = tx.memberships.roles(actor.user_id, [account.id for account in accounts])
        relations = {account_id: {role.relation} for account_id, role in roles.items()}
        views = [self._view(actor, one, relations.get(one.id, set())) for one in accounts]
        return views, total

    def get(self, actor: Actor, account_id: AccountId) -> AccountView:
        """Return an account."""
        with self.store.view() as tx:
            account = get_account(tx, actor, account_id, Action.READ_ACCOUNT)
            relations = get_relations_to(tx, actor, account_id)
        return self._view(actor, account, relations)

    def check_access(self, actor: Actor, account_id: AccountId, action: Action) -> None:
        """Raise NotFound or NotAllowed unless the actor may perform the action."""
        with self.store.view() as tx:
            get_account(tx, actor, account_id, action)

    @retry_on_contention
    def rename(self, actor: Actor, account_id: AccountId, change: NewAccount) -> AccountView:
        """Rename an account."""
        check_request(change)
        now = self.clock.now()
        with self.store.begin() as tx:
            before = get_account(tx, actor, account_id, Action.CHANGE_ACCOUNT, lock=True)
            after = before.rename(change.name, now)
            tx.accounts.replace(after)
            changes = {"name": [before.name, after.name]}
            audit_command(tx.audit, actor, "UPDATE", "account", account_id, now, changes)
            relations = get_relations_to(tx, actor, account_id)
        return self._view(actor, after, relations)

    @retry_on_contention
    def delete(self, actor: Actor, account_id: AccountId) -> None:
        """Delete an account and its destinations; unfinished deliveries are cancelled."""
        now = self.clock.now()
        with self.store.begin() as tx:
            account = get_account(tx, actor, account_id, Action.CHANGE_ACCOUNT, lock=True)
            ids = [one.id for one in tx.destinations.all_of(account_id)]
            delete_destinations(tx, actor, ids, now)
            tx.accounts.replace(account.delete(now))
            changes = {"name": [account.name, None]}
            audit_command(tx.audit, actor, "DELETE", "account", account_id, now, changes)

    @retry_on_contention
    def rotate_token(self, actor: Actor, account_id: AccountId) -> AccountView:
        """Give an account a new token; the previous one stays valid for 24 hours."""
        now, token = self.clock.now(), self.secrets.make_token()
        with self.store.begin() as tx:
            before = get_account(tx, actor, account_id, Action.CHANGE_ACCOUNT, lock=True)
            after = before.rotate_token(token.token, token.token_index, now)
            tx.accounts.replace(after)
            changes = {"previous_token_until": [_text(before), _text(after)]}
            audit_command(tx.audit, actor, "ROTATE_TOKEN", "account", account_id, now, changes)
            relations = get_relations_to(tx, actor, account_id)
        return self._view(actor, after, relations)

    def _view(self, actor: Actor, account: Account, relations: Collection[Relation]) -> AccountView:
        return AccountView(account=account, token=self.secrets.token_for(actor, account, relations))


def _text(account: Account) -> str | None:
    """Return until when the previous token is valid, as text."""
    until = account.previous_token_until
    return None if until is None else until.isoformat()
