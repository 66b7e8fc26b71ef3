"""Accounts and memberships in memory."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from attrs import define, evolve

from workbell.adapters.memory.listing import contains_text, count_rows
from workbell.adapters.memory.tables import Tables
from workbell.adapters.memory.values import in_utc
from workbell.domain.delivery.account import Account, AccountId, AccountRole, Membership
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.identity.actor import Scope
from workbell.domain.identity.user import User, UserId, normalise_identifier
from workbell.ports.delivery.repository import Member


def is_visible(tables: Tables, scope: Scope, account_id: AccountId) -> bool:
    """Whether an account is in a scope and not deleted."""
    account = tables.accounts.get(account_id)
    if account is None or account.deleted_at is not None:
        return False
    return scope.owner is None or (account_id, scope.owner) in tables.memberships.rows


@define(eq=False)
class MemoryAccountRepository:
    """Accounts that are not deleted."""

    _tables: Tables

    def add(self, account: Account) -> Account:
        """Insert an account and return it with its id."""
        if any(account.token_index == each.token_index for each in self._tables.accounts):
            raise Conflict("There is another account with this token.")
        stored = evolve(in_utc(account), id=AccountId(self._tables.accounts.next_id()))
        self._tables.accounts.put(stored.id, stored)
        return stored

    def get(self, scope: Scope, account_id: AccountId) -> Account:
        """Return an account in the scope."""
        account = self._tables.accounts.get(account_id)
        if account is None or not is_visible(self._tables, scope, account_id):
            raise NotFound(f"There is no account {account_id}.")
        return account

    get_for_update = get

    def find_by_token(self, indexes: Sequence[str], now: datetime) -> Account | None:
        """Return the account whose current or valid previous token has one of the indexes."""
        for account in self._tables.accounts:
            if account.deleted_at is None and any(account.accepts(each, now) for each in indexes):
                return account
        return None

    def replace(self, account: Account) -> None:
        """Update an account."""
        if self._tables.accounts.get(account.id) is None:
            raise NotFound(f"There is no account {account.id}.")
        self._tables.accounts.put(account.id, in_utc(account))

    def list_page(
        self, scope: Scope, *, search: str | None = None, offset: int = 0, limit: int = 20
    ) -> tuple[Sequence[Account], int]:
        """Return a page of accounts by id, and their number up to `COUNT_CAP` + 1."""
        found = [
            account
            for account in self._tables.accounts
            if is_visible(self._tables, scope, account.id) and contains_text(account.name, search)
        ]
        return found[offset : offset + limit], count_rows(found)


@define(eq=False)
class MemoryMembershipRepository:
    """Members of accounts."""

    _tables: Tables

    def add(self, membership: Membership) -> Membership:
        """Insert a membership and return it with its id."""
        if self.find(membership.account_id, membership.user_id) is not None:
            raise Conflict("The user is a member already.")
        stored = evolve(in_utc(membership), id=self._tables.memberships.next_id())
        self._tables.memberships.put((stored.account_id, stored.user_id), stored)
        return stored

    def find(self, account_id: AccountId, user_id: UserId) -> Membership | None:
        """Return a user's membership, or None."""
        return self._tables.memberships.get((account_id, user_id))

    def roles(
        self, user_id: UserId, account_ids: Sequence[AccountId]
    ) -> Mapping[AccountId, AccountRole]:
        """Return a user's role in each of the accounts of which they are a member."""
        found = (self.find(account_id, user_id) for account_id in account_ids)
        return {each.account_id: each.role for each in found if each is not None}

    def first_of(self, user_id: UserId) -> Membership | None:
        """Return the user's oldest membership in an account that is not deleted."""
        scope = Scope(owner=user_id)
        return next((m for m in self._of(user_id) if self._is_active(scope, m)), None)

    def replace(self, membership: Membership) -> None:
        """Update the role of a membership."""
        stored = self.find(membership.account_id, membership.user_id)
        if stored is None:
            raise NotFound(f"The user {membership.user_id} is not a member.")
        changed = evolve(stored, role=membership.role, updated_at=membership.updated_at)
        self._tables.memberships.put((stored.account_id, stored.user_id), in_utc(changed))

    def remove(self, account_id: AccountId, user_id: UserId) -> bool:
        """Delete a membership; return whether there was one."""
        was_member = self.find(account_id, user_id) is not None
        self._tables.memberships.delete((account_id, user_id))
        return was_member

    def count_admins(self, account_id: AccountId) -> int:
        """Return the number of Admins of an account."""
        return len(self._admins(account_id))

    def admins(self, account_id: AccountId) -> Sequence[User]:
        """Return the active users who are Admins, by id, at most 100."""
        users = [self._tables.users.rows[m.user_id] for m in self._admins(account_id)]
        return sorted((user for user in users if user.is_active), key=lambda user: user.id)[:100]

    def list_page(
        self, account_id: AccountId, *, offset: int = 0, limit: int = 20
    ) -> tuple[Sequence[Member], int]:
        """Return a page of members by id, and their number up to `COUNT_CAP` + 1."""
        found = [m for m in self._tables.memberships if m.account_id == account_id]
        page = found[offset : offset + limit]
        users = self._tables.users.rows
        return [Member(membership=m, user=users[m.user_id]) for m in page], count_rows(found)

    def shares_account(self, admin_id: UserId, user_id: UserId) -> bool:
        """Whether a user is a member of an account of which `admin_id` is an Admin."""
        accounts = self._administered(admin_id)
        return any(self.find(account_id, user_id) is not None for account_id in accounts)

    def list_visible_users(
        self, admin_id: UserId, *, email: str | None = None, offset: int = 0, limit: int = 20
    ) -> tuple[Sequence[User], int]:
        """Return a page of `admin_id` and the members of the accounts that they administer."""
        accounts = self._administered(admin_id)
        ids = {m.user_id for m in self._tables.memberships if m.account_id in accounts}
        users = [self._tables.users.rows[each] for each in sorted(ids | {admin_id})]
        if email is not None:
            key = normalise_identifier(email)
            users = [user for user in users if normalise_identifier(user.email) == key]
        return users[offset : offset + limit], count_rows(users)

    def _of(self, user_id: UserId) -> Iterator[Membership]:
        return (m for m in self._tables.memberships if m.user_id == user_id)

    def _admins(self, account_id: AccountId) -> list[Membership]:
        members = (m for m in self._tables.memberships if m.account_id == account_id)
        return [m for m in members if m.role is AccountRole.ADMIN]

    def _administered(self, user_id: UserId) -> set[AccountId]:
        """Return the accounts, not deleted, of which a user is an Admin."""
        scope = Scope(owner=user_id)
        roles = (m for m in self._of(user_id) if m.role is AccountRole.ADMIN)
        return {m.account_id for m in roles if self._is_active(scope, m)}

    def _is_active(self, scope: Scope, membership: Membership) -> bool:
        return is_visible(self._tables, scope, membership.account_id)
