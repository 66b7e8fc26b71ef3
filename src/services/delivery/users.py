"""Users and their accounts: registration with an account, visible users."""

from collections.abc import Sequence

from attrs import frozen

from workbell.domain.delivery.account import AccountId
from workbell.domain.errors import NotAllowed
from workbell.domain.identity.actor import Actor, ClientInfo
from workbell.domain.identity.permissions import Action, check, may
from workbell.domain.identity.registration import Registration
from workbell.domain.identity.user import User, UserId
from workbell.ports.delivery.repository import DeliveryTx
from workbell.ports.identity.users import UserFilter
from workbell.ports.store import Store
from workbell.services.delivery.accounts import AccountService
from workbell.services.identity.registration import RegistrationService
from workbell.services.identity.users import UserAdministration
from workbell.services.transaction_retry import retry_on_name_conflict


@frozen(kw_only=True)
class AccountUserService:
    """Registers users together with an account, and lists visible users."""

    store: Store[DeliveryTx]
    registration: RegistrationService
    accounts: AccountService
    people: UserAdministration

    def register(self, new: Registration, client_info: ClientInfo) -> User:
        """
        Register a user and create an account with the user as its Admin.

        Both are stored in one transaction; it raises what
        `RegistrationService.register` does.
        """
        prepared = self.registration.prepare(new)

        def add() -> User:
            with self.store.begin() as tx:
                user = self.registration.add_prepared(tx, prepared, client_info)
                actor = Actor.of(user, client_info=client_info)
                self.accounts.add(tx, actor, f"Account of {user.username}")
                return user

        user = retry_on_name_conflict(add)
        self.registration.send_code(user, prepared)
        return user

    def find_default_account(self, user_id: UserId) -> AccountId | None:
        """Return the account of a user's oldest membership, or None."""
        with self.store.view() as tx:
            membership = tx.memberships.first_of(user_id)
        return None if membership is None else membership.account_id

    def find_visible(
        self, actor: Actor, email: str | None, offset: int, limit: int
    ) -> tuple[Sequence[User], int]:
        """
        Return a page of the users that the actor may see, and their number.

        Superusers see all users; others see themselves and the members of the
        accounts of which they are Admins.
        """
        if may(actor, Action.READ_PEOPLE):
            return self.people.find(actor, UserFilter(email=email), ("id",), offset, limit)
        check(actor, Action.READ_PROFILE, owner=actor.user_id)
        with self.store.view() as tx:
            return tx.memberships.list_visible_users(
                actor.user_id, email=email, offset=offset, limit=limit
            )

    def check_may_change(self, actor: Actor, user_id: UserId) -> None:
        """
        Check that the actor may not merely see a user.

        Raises:
            NotAllowed: The user is a member of an account of which the actor is an
                Admin. Only superusers change other users.
        """
        if user_id == actor.user_id or may(actor, Action.ADMINISTER_PEOPLE):
            return
        with self.store.view() as tx:
            is_visible = tx.memberships.shares_account(actor.user_id, user_id)
        if is_visible:
            raise NotAllowed("Only superusers may change other users.")
