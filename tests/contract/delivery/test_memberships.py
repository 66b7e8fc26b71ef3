"""Members of accounts, and the users that an Admin may see."""

import pytest

from tests.contract.delivery.rows import NO_ONE, Tenant, a_membership, an_account
from tests.contract.factories import AnyStore, a_user, after
from workbell.domain.delivery.account import Account, AccountId, AccountRole, Membership
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.identity.user import User
from workbell.ports.delivery.repository import Member

NORMAL = AccountRole.NORMAL


def join(store: AnyStore, account: Account, user: User, role: AccountRole = NORMAL) -> Membership:
    with store.begin() as tx:
        return tx.memberships.add(a_membership(account, user, role=role))


def person(store: AnyStore, name: str, **fields: bool) -> User:
    with store.begin() as tx:
        return tx.users.add(a_user(name, **fields))


def delete(store: AnyStore, account: Account) -> None:
    with store.begin() as tx:
        tx.accounts.replace(account.delete(after(1)))


def test_a_membership_is_found_by_account_and_user(
    store: AnyStore, ann: Tenant, ben: Tenant
) -> None:
    membership = join(store, ann.account, ben.user)
    with store.view() as tx:
        assert tx.memberships.find(ann.account.id, ben.user.id) == membership
        assert tx.memberships.find(ben.account.id, ann.user.id) is None
        assert tx.memberships.find(AccountId(99), ann.user.id) is None


def test_the_roles_of_a_user_are_found_by_accounts(
    store: AnyStore, ann: Tenant, ben: Tenant
) -> None:
    join(store, ann.account, ben.user)
    other = person(store, "cid")
    accounts = [ann.account.id, ben.account.id, AccountId(99)]
    with store.view() as tx:
        assert tx.memberships.roles(ben.user.id, accounts) == {
            ann.account.id: AccountRole.NORMAL,
            ben.account.id: AccountRole.ADMIN,
        }
        assert tx.memberships.roles(ben.user.id, accounts[:1]) == {
            ann.account.id: AccountRole.NORMAL
        }
        assert tx.memberships.roles(other.id, accounts) == {}
        assert tx.memberships.roles(ben.user.id, []) == {}


def test_a_user_is_a_member_once(store: AnyStore, ann: Tenant) -> None:
    with pytest.raises(Conflict):
        join(store, ann.account, ann.user)


def test_a_role_is_changed(store: AnyStore, ann: Tenant, ben: Tenant) -> None:
    changed = join(store, ann.account, ben.user).change_role(AccountRole.ADMIN, after(1))
    with store.begin() as tx:
        tx.memberships.replace(changed)
    with store.view() as tx:
        assert tx.memberships.find(ann.account.id, ben.user.id) == changed
    with pytest.raises(NotFound), store.begin() as tx:
        tx.memberships.replace(a_membership(ben.account, ann.user))


def test_a_member_is_removed_once(store: AnyStore, ann: Tenant, ben: Tenant) -> None:
    join(store, ann.account, ben.user)
    with store.begin() as tx:
        assert tx.memberships.remove(ann.account.id, ben.user.id)
        assert not tx.memberships.remove(ann.account.id, ben.user.id)
        assert tx.memberships.find(ann.account.id, ben.user.id) is None
        assert tx.memberships.find(ben.account.id, ben.user.id) is not None
    assert join(store, ann.account, ben.user).id > 0


def test_the_oldest_membership_of_an_existing_account_is_first(
    store: AnyStore, ann: Tenant, ben: Tenant
) -> None:
    second = join(store, ann.account, ben.user)
    with store.view() as tx:
        first = tx.memberships.find(ben.account.id, ben.user.id)
        assert tx.memberships.first_of(ben.user.id) == first
        assert tx.memberships.first_of(NO_ONE) is None
    delete(store, ben.account)
    with store.view() as tx:
        assert tx.memberships.first_of(ben.user.id) == second


def test_admins_are_counted_and_the_active_ones_listed(
    store: AnyStore, ann: Tenant, ben: Tenant
) -> None:
    inactive = person(store, "carl", is_active=False)
    join(store, ann.account, inactive, AccountRole.ADMIN)
    join(store, ann.account, person(store, "dora"), NORMAL)
    eve = person(store, "eve")
    join(store, ann.account, eve, AccountRole.ADMIN)
    with store.view() as tx:
        assert tx.memberships.count_admins(ann.account.id) == 3
        assert tx.memberships.admins(ann.account.id) == [ann.user, eve]
        assert tx.memberships.count_admins(AccountId(99)) == 0
        assert tx.memberships.admins(ben.account.id) == [ben.user]


def test_at_most_100_admins_are_listed(store: AnyStore, ann: Tenant) -> None:
    with store.begin() as tx:
        users = [tx.users.add(a_user(f"user{n}")) for n in range(101)]
        for user in reversed(users):
            tx.memberships.add(a_membership(ann.account, user))
    with store.view() as tx:
        assert tx.memberships.admins(ann.account.id) == [ann.user, *users[:99]]


def test_members_are_listed_in_order_of_joining(store: AnyStore, ann: Tenant, ben: Tenant) -> None:
    carl = person(store, "carl", is_active=False)
    joined = [join(store, ann.account, carl), join(store, ann.account, ben.user)]
    with store.view() as tx:
        members, total = tx.memberships.list_page(ann.account.id)
        assert total == 3
        assert members[1:] == [
            Member(membership=joined[0], user=carl),
            Member(membership=joined[1], user=ben.user),
        ]
        assert members[0].user == ann.user
        assert tx.memberships.list_page(ann.account.id, offset=1, limit=1) == (members[1:2], 3)
        assert tx.memberships.list_page(ann.account.id, offset=3) == ([], 3)
        assert tx.memberships.list_page(AccountId(99)) == ([], 0)


def test_an_admin_shares_an_account_with_its_members(
    store: AnyStore, ann: Tenant, ben: Tenant
) -> None:
    carl = person(store, "carl")
    join(store, ann.account, carl)
    with store.view() as tx:
        shares = tx.memberships.shares_account
        assert shares(ann.user.id, carl.id)
        assert shares(ann.user.id, ann.user.id)
        assert not shares(carl.id, ann.user.id)
        assert not shares(ann.user.id, ben.user.id)
    delete(store, ann.account)
    with store.view() as tx:
        assert not tx.memberships.shares_account(ann.user.id, carl.id)


def test_an_admin_sees_the_members_of_all_their_accounts_once(
    store: AnyStore, ann: Tenant, ben: Tenant
) -> None:
    carl, dora = person(store, "carl"), person(store, "dora")
    with store.begin() as tx:
        second = tx.accounts.add(an_account("Second"))
    join(store, second, ann.user, AccountRole.ADMIN)
    for account, user in ((ann.account, carl), (second, carl), (second, dora)):
        join(store, account, user)
    join(store, ben.account, ann.user, NORMAL)
    with store.view() as tx:
        visible = tx.memberships.list_visible_users
        assert visible(ann.user.id) == ([ann.user, carl, dora], 3)
        assert visible(ann.user.id, offset=1, limit=1) == ([carl], 3)
        assert visible(ann.user.id, email="CARL@example.com") == ([carl], 1)
        assert visible(ann.user.id, email="ben@example.com") == ([], 0)
        assert visible(ann.user.id, email="ann@example.com") == ([ann.user], 1)
        assert visible(carl.id) == ([carl], 1)
    delete(store, second)
    with store.view() as tx:
        assert tx.memberships.list_visible_users(ann.user.id) == ([ann.user, carl], 2)
