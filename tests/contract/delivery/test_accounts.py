"""Accounts: scope, tokens, deletion and lists."""

from datetime import timedelta

import pytest
from attrs import evolve

from tests.contract.delivery.rows import NO_ONE, Tenant, a_membership, an_account
from tests.contract.factories import NOON, AnyStore, after
from workbell.domain.delivery.account import TOKEN_OVERLAP, Account, AccountId, AccountRole
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.identity.actor import ALL_OWNERS, Scope

DAY = TOKEN_OVERLAP.total_seconds()


def change(store: AnyStore, account: Account) -> None:
    with store.begin() as tx:
        tx.accounts.get_for_update(ALL_OWNERS, account.id)
        tx.accounts.replace(account)


def test_an_account_is_returned_as_it_was_inserted(store: AnyStore) -> None:
    wanted = an_account(
        "Müller & Söhne 日本",
        previous_token_index="old index",
        previous_token_until=after(60),
        created_at=NOON + timedelta(microseconds=1),
    )
    with store.begin() as tx:
        first, second = tx.accounts.add(wanted), tx.accounts.add(an_account())
    assert (first.id, second.id) == (1, 2)
    assert first == evolve(wanted, id=first.id)
    with store.view() as tx:
        assert tx.accounts.get(ALL_OWNERS, first.id) == first


def test_only_members_and_superusers_get_an_account(
    store: AnyStore, ann: Tenant, ben: Tenant
) -> None:
    with store.begin() as tx:
        tx.memberships.add(a_membership(ben.account, ann.user, role=AccountRole.NORMAL))
        for account in (ann.account, ben.account):
            for get in (tx.accounts.get, tx.accounts.get_for_update):
                assert get(Scope(owner=ann.user.id), account.id) == account
                assert get(ALL_OWNERS, account.id) == account
        for get in (tx.accounts.get, tx.accounts.get_for_update):
            for scope, account_id in (
                (Scope(owner=ben.user.id), ann.account.id),
                (Scope(owner=NO_ONE), ann.account.id),
                (ALL_OWNERS, AccountId(99)),
            ):
                with pytest.raises(NotFound, match=f"There is no account {account_id}"):
                    get(scope, account_id)


def test_a_changed_account_is_stored(store: AnyStore, ann: Tenant) -> None:
    changed = ann.account.rename("Other", after(1)).rotate_token("t", "i", after(1))
    change(store, changed)
    with store.view() as tx:
        assert tx.accounts.get(ALL_OWNERS, changed.id) == changed
    with pytest.raises(NotFound), store.begin() as tx:
        tx.accounts.replace(an_account())


def test_two_accounts_cannot_have_one_token(store: AnyStore, ann: Tenant) -> None:
    with pytest.raises(Conflict), store.begin() as tx:
        tx.accounts.add(an_account(token_index=ann.account.token_index))


def test_an_account_is_found_by_its_token_under_any_key(store: AnyStore, ann: Tenant) -> None:
    index = ann.account.token_index
    with store.view() as tx:
        assert tx.accounts.find_by_token([index], NOON) == ann.account
        assert tx.accounts.find_by_token(["other", index], NOON) == ann.account
        assert tx.accounts.find_by_token(["other"], NOON) is None
        assert tx.accounts.find_by_token([], NOON) is None
        assert tx.accounts.find_by_token([index.upper()], NOON) is None


def test_the_previous_token_is_valid_for_a_day(store: AnyStore, ann: Tenant) -> None:
    rotated = ann.account.rotate_token("new", "new index", NOON)
    change(store, rotated)
    with store.view() as tx:
        for index in ("new index", ann.account.token_index):
            assert tx.accounts.find_by_token([index], after(DAY - 1)) == rotated
        assert tx.accounts.find_by_token([ann.account.token_index], after(DAY)) is None
        assert tx.accounts.find_by_token(["new index"], after(DAY)) == rotated


def test_a_deleted_account_is_gone_for_everyone(store: AnyStore, ann: Tenant, ben: Tenant) -> None:
    rotated = ann.account.rotate_token("new", "new index", NOON)
    change(store, rotated.delete(NOON))
    with store.begin() as tx:
        for scope in (ALL_OWNERS, Scope(owner=ann.user.id)):
            for get in (tx.accounts.get, tx.accounts.get_for_update):
                with pytest.raises(NotFound):
                    get(scope, ann.account.id)
        for index in ("new index", ann.account.token_index):
            assert tx.accounts.find_by_token([index], NOON) is None
        assert tx.accounts.list_page(ALL_OWNERS) == ([ben.account], 1)
        assert tx.accounts.list_page(Scope(owner=ann.user.id)) == ([], 0)


def test_accounts_are_listed_by_id_in_pages(store: AnyStore, ann: Tenant, ben: Tenant) -> None:
    with store.begin() as tx:
        third = tx.accounts.add(an_account("Third 100%"))
        for account in (third, ben.account):
            tx.memberships.add(a_membership(account, ann.user))
    everything = [ann.account, ben.account, third]
    with store.view() as tx:
        list_page = tx.accounts.list_page
        assert list_page(ALL_OWNERS) == (everything, 3)
        assert list_page(Scope(owner=ann.user.id)) == (everything, 3)
        assert list_page(Scope(owner=ben.user.id)) == ([ben.account], 1)
        assert list_page(Scope(owner=NO_ONE)) == ([], 0)
        assert list_page(ALL_OWNERS, offset=1, limit=1) == ([ben.account], 3)
        assert list_page(Scope(owner=ann.user.id), offset=2, limit=5) == ([third], 3)
        assert list_page(ALL_OWNERS, offset=9) == ([], 3)
        assert list_page(ALL_OWNERS, search="THIRD") == ([third], 1)
        assert list_page(ALL_OWNERS, search="0%") == ([third], 1)
        assert list_page(ALL_OWNERS, search="_") == ([], 0)
        assert list_page(Scope(owner=ben.user.id), search="third") == ([], 0)
        assert list_page(Scope(owner=ann.user.id), search="third") == ([third], 1)
