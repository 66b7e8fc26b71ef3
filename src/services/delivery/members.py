"""Use cases of an account's members: add, invite, change and remove them."""

from collections.abc import Sequence
from datetime import datetime

from attrs import frozen

from workbell.domain.delivery.account import (
    Account,
    AccountId,
    AccountRole,
    Membership,
    check_admin_remains,
    parse_role,
)
from workbell.domain.errors import Invalid, NotFound
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action
from workbell.domain.identity.user import User, UserId
from workbell.domain.jobs.job import Job, JobOrigin
from workbell.domain.validation import check_request
from workbell.ports.delivery.repository import DeliveryTx, Member
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.audit.entries import audit_command
from workbell.services.delivery.access import get_account
from workbell.services.delivery.requests import Invitation, NewMember, RoleChange
from workbell.services.identity.users import UserAdministration, compose_invitation_email
from workbell.services.transaction_retry import retry_on_contention, retry_on_name_conflict

SHOWN_NAME_LENGTH = 60


@frozen(kw_only=True)
class MemberService:
    """
    Adds, invites, lists, changes and removes the members of accounts.

    Methods raise `NotFound` unless the actor may see the account, and
    `NotAllowed` if they may only see it. One Admin always remains, because every
    change of members holds the account's row.
    """

    store: Store[DeliveryTx]
    clock: Clock
    people: UserAdministration

    def list(
        self, actor: Actor, account_id: AccountId, *, offset: int = 0, limit: int = 20
    ) -> tuple[Sequence[Member], int]:
        """Return a page of an account's members, and their number."""
        with self.store.view() as tx:
            get_account(tx, actor, account_id, Action.READ_ACCOUNT)
            return tx.memberships.list_page(account_id, offset=offset, limit=limit)

    def check_member(self, actor: Actor, account_id: AccountId, user_id: UserId) -> None:
        """Raise NotFound or NotAllowed unless the actor may change this member."""
        with self.store.view() as tx:
            get_account(tx, actor, account_id, Action.CHANGE_ACCOUNT)
            find_membership(tx, account_id, user_id)

    @retry_on_contention
    def add(self, actor: Actor, account_id: AccountId, new: NewMember) -> Member:
        """
        Add a user by id, and email them about it.

        Raises:
            Invalid: There is no such user.
            Conflict: The user is a member already.
        """
        check_request(new)
        with self.store.begin() as tx:
            account = get_account(tx, actor, account_id, Action.CHANGE_ACCOUNT, lock=True)
            try:
                user = tx.users.get(UserId(new.user))
            except NotFound as error:
                raise Invalid.field("user", error.detail) from None
            member = self._add(tx, actor, account, user, parse_role(new.role))
            self._notify(tx, account, user)
        return member

    def invite(
        self, actor: Actor, account_id: AccountId, invitation: Invitation
    ) -> tuple[Member, bool]:
        """
        Add a user by email address; also return whether the user is new.

        A new user gets a code by email to set a password, an existing one a notice.

        Raises:
            Invalid: The address is malformed.
            Conflict: The user is a member already.
            Unavailable: The store is down, too many hashes are running, or a new
                user was added and the email could not be sent.
        """
        check_request(invitation)
        with self.store.view() as tx:
            get_account(tx, actor, account_id, Action.INVITE_PEOPLE)
        new_code = self.people.codes.generate()

        def add() -> tuple[Member, bool]:
            with self.store.begin() as tx:
                account = get_account(tx, actor, account_id, Action.INVITE_PEOPLE, lock=True)
                user, is_new = self.people.add_invited(tx, actor, invitation.email, new_code)
                member = self._add(tx, actor, account, user, parse_role(invitation.role))
                if not is_new:
                    self._notify(tx, account, user)
                return member, is_new

        member, is_new = retry_on_name_conflict(add)
        if is_new:
            self.people.mailer.send(compose_invitation_email(member.user, new_code))
        return member, is_new

    @retry_on_contention
    def change_role(
        self, actor: Actor, account_id: AccountId, user_id: UserId, change: RoleChange
    ) -> Member:
        """Change a member's role; Conflict for the last Admin."""
        check_request(change)
        role, now = parse_role(change.role), self.clock.now()
        with self.store.begin() as tx:
            get_account(tx, actor, account_id, Action.CHANGE_ACCOUNT, lock=True)
            before = find_membership(tx, account_id, user_id)
            after = before.change_role(role, now)
            if role is not before.role:
                check_admin_remains(before, tx.memberships.count_admins(account_id))
                tx.memberships.replace(after)
                self._audit(tx, actor, "UPDATE", after, [before.role.label, role.label], now)
            return Member(membership=after, user=tx.users.get(user_id))

    @retry_on_contention
    def remove(self, actor: Actor, account_id: AccountId, user_id: UserId) -> None:
        """Remove a member, or leave the account; Conflict for the last Admin."""
        is_own = user_id == actor.user_id
        action = Action.LEAVE_ACCOUNT if is_own else Action.CHANGE_ACCOUNT
        now = self.clock.now()
        with self.store.begin() as tx:
            get_account(tx, actor, account_id, action, lock=True)
            membership = find_membership(tx, account_id, user_id)
            check_admin_remains(membership, tx.memberships.count_admins(account_id))
            tx.memberships.remove(account_id, user_id)
            self._audit(tx, actor, "DELETE", membership, [membership.role.label, None], now)

    def _add(
        self, tx: DeliveryTx, actor: Actor, account: Account, user: User, role: AccountRole
    ) -> Member:
        now = self.clock.now()
        membership = tx.memberships.add(
            Membership(
                account_id=account.id, user_id=user.id, role=role, created_at=now, updated_at=now
            )
        )
        self._audit(tx, actor, "CREATE", membership, [None, role.label], now)
        return Member(membership=membership, user=user)

    def _audit(
        self,
        tx: DeliveryTx,
        actor: Actor,
        action: str,
        membership: Membership,
        roles: Sequence[str | None],
        now: datetime,
    ) -> None:
        user_id, account_id = membership.user_id, membership.account_id
        changes = {"user": [user_id, user_id], "account": [account_id, account_id], "role": roles}
        audit_command(tx.audit, actor, action, "membership", membership.id, now, changes)

    def _notify(self, tx: DeliveryTx, account: Account, user: User) -> None:
        """Enqueue an email to a user who has been added to an account."""
        now, name = self.clock.now(), " ".join(account.name.split())[:SHOWN_NAME_LENGTH]
        subject = "You were added to an account"
        body = (
            f"Hello {user.full_name},\n\n"
            f"you are now a member of the account {name} (#{account.id}). You can leave it at "
            "any time. If you have not set a password yet, request a code as for a forgotten "
            "password.\n"
        )
        notice = Job(
            task="email.send",
            name=subject,
            parameters={"email": user.email, "delay": 0, "subject": subject, "body": body},
            due_at=now,
            origin=JobOrigin.MAIL,
            created_at=now,
        )
        tx.jobs.add([notice], now)


def find_membership(tx: DeliveryTx, account_id: AccountId, user_id: UserId) -> Membership:
    """Return a user's membership, or raise NotFound."""
    if (membership := tx.memberships.find(account_id, user_id)) is None:
        raise NotFound(f"User {user_id} is not a member of account {account_id}.")
    return membership
