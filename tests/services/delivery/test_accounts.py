"""Accounts on a memory store: tokens, visibility, deletion."""

from datetime import timedelta
from uuid import UUID

import pytest
from attrs import evolve

from tests.services.delivery_accounts import DeliveryAccountFixture, make_delivery_accounts
from workbell.domain.delivery.account import TOKEN_PURPOSE, AccountId
from workbell.domain.errors import NotAllowed, NotFound
from workbell.domain.identity.actor import ANONYMOUS, Actor
from workbell.domain.identity.permissions import Action
from workbell.domain.identity.registration import Registration
from workbell.domain.identity.user import AlreadyTaken, KeyScope, UserId
from workbell.domain.jobs.job import JobOrigin
from workbell.services.delivery.accounts import AccountService
from workbell.services.delivery.requests import NewAccount

RENAMED = NewAccount(name="Store")


@pytest.fixture
def env() -> DeliveryAccountFixture:
    return make_delivery_accounts()


def test_a_new_account_has_its_creator_as_admin_and_a_token(env: DeliveryAccountFixture) -> None:
    view = env.account("ana")
    assert view.token is not None and UUID(view.token).version == 4
    assert view.token not in str(view) + repr(view.account)
    assert env.accounts.get(env.actor("ana"), view.account.id) == view
    assert env.account("ana").token != view.token
    found, total = env.accounts.list(env.actor("ana"))
    assert (found[0].token, total) == (view.token, 2)


def test_the_token_is_stored_encrypted_and_found_by_its_index(env: DeliveryAccountFixture) -> None:
    view = env.account("ana")
    assert view.token is not None
    assert view.token not in view.account.token
    with env.people.store.view() as tx:
        indexes = env.accounts.secrets.box.indexes(view.token, TOKEN_PURPOSE)
        assert tx.accounts.find_by_token(indexes, env.people.clock.now()) == view.account


def test_an_account_requires_a_login(env: DeliveryAccountFixture) -> None:
    with pytest.raises(NotAllowed):
        env.accounts.create(ANONYMOUS, NewAccount(name="Shop"))


def test_only_admins_see_the_token(env: DeliveryAccountFixture) -> None:
    account = env.account("ana", "nor").account
    root = env.actor("root", is_super_user=True)
    read_only = evolve(env.actor("ana"), key_scopes=frozenset({KeyScope.READ}))
    for actor in (env.actor("nor"), root, read_only):
        assert env.accounts.get(actor, account.id).token is None
        [listed], _ = env.accounts.list(actor)
        assert (listed.account.id, listed.token) == (account.id, None)


def test_lists_hold_the_accounts_of_the_actor_and_search_them(env: DeliveryAccountFixture) -> None:
    mine, other = env.account("ana").account, env.account("bob", "ana").account
    env.account("bob")
    env.accounts.rename(env.actor("bob"), other.id, RENAMED)
    found, total = env.accounts.list(env.actor("ana"))
    assert ([view.account.id for view in found], total) == ([mine.id, other.id], 2)
    assert [view.token is None for view in found] == [False, True]
    found, total = env.accounts.list(env.actor("ana"), search="store")
    assert ([view.account.id for view in found], total) == ([other.id], 1)
    assert env.accounts.list(env.actor("root", is_super_user=True))[1] == 3


def test_other_accounts_are_not_found_and_normal_users_change_nothing(
    env: DeliveryAccountFixture,
) -> None:
    account_id, accounts = env.account("ana", "nor").account.id, env.accounts
    for name, error in (("bob", NotFound), ("nor", NotAllowed)):
        actor = env.actor(name)
        with pytest.raises(error):
            accounts.rename(actor, account_id, RENAMED)
        with pytest.raises(error):
            accounts.delete(actor, account_id)
        with pytest.raises(error):
            accounts.rotate_token(actor, account_id)
        with pytest.raises(error):
            accounts.check_access(actor, account_id, Action.CHANGE_ACCOUNT)
    with pytest.raises(NotFound):
        accounts.get(env.actor("bob"), account_id)
    with pytest.raises(NotFound):
        accounts.get(env.actor("ana"), AccountId(99))
    accounts.check_access(env.actor("ana"), account_id, Action.CHANGE_ACCOUNT)


def test_an_account_is_renamed(env: DeliveryAccountFixture) -> None:
    view = env.account("ana")
    env.people.clock.wait(5)
    renamed = env.accounts.rename(env.actor("ana"), view.account.id, RENAMED)
    assert (renamed.account.name, renamed.token) == ("Store", view.token)
    assert renamed.account.updated_at == env.people.clock.now()
    assert env.accounts.get(env.actor("ana"), view.account.id) == renamed


def test_a_rotated_token_stays_valid_for_a_day(env: DeliveryAccountFixture) -> None:
    before = env.account("ana")
    after = env.accounts.rotate_token(env.actor("ana"), before.account.id)
    assert before.token is not None and after.token not in {None, before.token}
    index = env.accounts.secrets.box.index(before.token, TOKEN_PURPOSE)
    now = env.people.clock.now()
    assert after.account.accepts(index, now + timedelta(hours=23, minutes=59))
    assert not after.account.accepts(index, now + timedelta(hours=24))


def test_a_deleted_account_cancels_the_deliveries_of_its_destinations(
    env: DeliveryAccountFixture,
) -> None:
    view = env.account("ana", "nor")
    ids = [env.destination(view.account).destination.id for _ in range(2)]
    other = env.destination(env.account("ana").account).destination.id
    env.accounts.delete(env.actor("ana"), view.account.id)
    with pytest.raises(NotFound):
        env.accounts.get(env.actor("ana"), view.account.id)
    with pytest.raises(NotFound):
        env.destinations.get(env.actor("ana"), ids[0])
    assert all(env.stored(each).deleted_at is not None for each in ids)
    jobs = env.jobs("delivery.cancel")
    assert [job.parameters for job in jobs] == [{"destination": each} for each in ids]
    assert {job.origin for job in jobs} == {JobOrigin.DELIVERY}
    assert env.stored(other).deleted_at is None
    assert view.token is not None
    with env.people.store.view() as tx:
        indexes = env.accounts.secrets.box.indexes(view.token, TOKEN_PURPOSE)
        assert tx.accounts.find_by_token(indexes, env.people.clock.now()) is None


def test_commands_are_audited_without_the_token(env: DeliveryAccountFixture) -> None:
    actor, view = env.actor("ana"), env.account("ana")
    rotated = env.accounts.rotate_token(actor, view.account.id)
    env.accounts.rename(actor, view.account.id, RENAMED)
    env.accounts.delete(actor, view.account.id)
    entries = env.audit("account")
    assert [entry.action for entry in entries] == ["CREATE", "ROTATE_TOKEN", "UPDATE", "DELETE"]
    assert entries[2].changes == {"name": ["Shop", "Store"]}
    assert {entry.object_id for entry in entries} == {str(view.account.id)}
    for token in (view.token, rotated.token, rotated.account.token):
        assert str(token) not in str(entries)


# users and their accounts

NEW = Registration(email="new@example.com", password="a good one, 7")


def test_a_registered_user_is_the_admin_of_an_account_of_their_own(
    env: DeliveryAccountFixture,
) -> None:
    user = env.users.register(NEW, env.actor("ana").client_info)
    account_id = env.users.find_default_account(user.id)
    assert account_id is not None
    view = env.accounts.get(Actor.of(user), account_id)
    assert view.account.name == "Account of new"
    assert view.token is not None
    assert env.people.outbox.messages[-1].to == "new@example.com"
    assert [entry.user_id for entry in env.audit("account")] == [user.id]
    verified = env.people.identity.verify_otp("new@example.com", env.people.outbox.code())
    assert verified.id == user.id


def test_user_and_account_are_stored_together_or_not_at_all(
    env: DeliveryAccountFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError

    client = env.actor("ana").client_info
    with monkeypatch.context() as patch:
        patch.setattr(AccountService, "add", fail)
        with pytest.raises(ValueError):
            env.users.register(NEW, client)
    with env.people.store.view() as tx:
        assert tx.users.by_email(NEW.email) is None
    env.users.register(NEW, client)
    with pytest.raises(AlreadyTaken):
        env.users.register(evolve(NEW, username="new2"), client)
    assert len(env.audit("account")) == 1


def test_the_default_account_is_the_oldest_that_is_not_deleted(
    env: DeliveryAccountFixture,
) -> None:
    ana = env.actor("ana")
    assert env.users.find_default_account(ana.user_id) is None
    first, second = env.account("bob", "ana").account, env.account("ana").account
    assert env.users.find_default_account(ana.user_id) == first.id
    env.accounts.delete(env.actor("bob"), first.id)
    assert env.users.find_default_account(ana.user_id) == second.id


def test_admins_see_the_members_of_their_accounts(env: DeliveryAccountFixture) -> None:
    env.account("ana", "nor")
    env.account("bob", "ana")

    def visible(name: str, email: str | None = None) -> list[str]:
        found, total = env.users.find_visible(env.actor(name), email, 0, 20)
        assert total == len(found)
        return [user.username for user in found]

    assert visible("ana") == ["ana", "nor"]
    assert visible("nor") == ["nor"]
    assert visible("bob") == ["ana", "bob"]
    env.actor("root", is_super_user=True)
    assert visible("root") == ["ana", "nor", "bob", "root"]
    assert visible("ana", "NOR@example.com") == ["nor"]
    assert visible("ana", "bob@example.com") == []


def test_admins_see_but_never_change_the_members_of_their_accounts(
    env: DeliveryAccountFixture,
) -> None:
    env.account("ana", "nor")
    nor = env.actor("nor").user_id
    with pytest.raises(NotAllowed):
        env.users.check_may_change(env.actor("ana"), nor)
    env.users.check_may_change(env.actor("nor"), nor)
    env.users.check_may_change(env.actor("root", is_super_user=True), nor)
    env.users.check_may_change(env.actor("bob"), nor)  # not visible: not found elsewhere
    env.users.check_may_change(env.actor("nor"), UserId(99))
