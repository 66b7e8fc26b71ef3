"""User administration by superusers."""

from datetime import datetime
from typing import Any

import pytest
from attrs import evolve

from tests.services.accounts import PASSWORD, AccountFixture, make_accounts
from workbell.domain.errors import (
    Conflict,
    NotAllowed,
    NotFound,
    Unauthenticated,
)
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.identity.user import KeyScope, Role, Tier, User, UserId, WrongCredentials
from workbell.ports.identity.users import IdentityTx, UserFilter
from workbell.services.identity.users import UserChange

pytestmark = pytest.mark.unit

ALL = UserFilter()


@pytest.fixture
def accounts() -> AccountFixture:
    accounts = make_accounts("ana", "bob")
    accounts.join("root", is_super_user=True)
    return accounts


@pytest.fixture
def root(accounts: AccountFixture) -> Actor:
    return accounts.actor(accounts.login("root"))


def change(accounts: AccountFixture, actor: Actor, name: str, **fields: Any) -> None:
    accounts.services.users.change(actor, accounts.user(name).id, UserChange(**fields))


def test_superusers_see_all_users(accounts: AccountFixture, root: Actor) -> None:
    people = accounts.services.users
    found, total = people.find(root, ALL, ("-username",), 0, 2)
    assert ([user.username for user in found], total) == (["root", "bob"], 3)
    assert people.get(root, accounts.user("ana").id).username == "ana"
    with pytest.raises(NotFound):
        people.get(root, UserId(99))


def test_ordinary_users_list_no_users(accounts: AccountFixture) -> None:
    ana, people = accounts.ana(), accounts.services.users
    with pytest.raises(NotAllowed):
        people.find(ana, ALL, ("id",), 0, 9)
    with pytest.raises(NotAllowed):
        people.get(ana, ana.user_id)


def test_usernames_are_visible_to_logged_in_users(accounts: AccountFixture) -> None:
    found = accounts.services.users.usernames(accounts.ana())
    assert [name for _, name in found] == ["ana", "bob", "root"]
    with pytest.raises(NotAllowed):
        accounts.services.users.usernames(Actor(user_id=UserId(0)))


def test_a_new_tier_revokes_no_session(accounts: AccountFixture, root: Actor) -> None:
    signed_in = accounts.login()
    accounts.actor(signed_in)
    change(accounts, root, "ana", tier=Tier.PREMIUM)
    assert accounts.actor(signed_in).tier is Tier.PREMIUM
    assert accounts.audit()[-1].changes == {"tier": [Tier.FREE, Tier.PREMIUM]}
    entries = len(accounts.audit())
    change(accounts, root, "ana", tier=Tier.PREMIUM)
    change(accounts, root, "ana")
    assert len(accounts.audit()) == entries


def test_a_promotion_takes_effect_at_once(accounts: AccountFixture, root: Actor) -> None:
    signed_in = accounts.login()
    assert not accounts.actor(signed_in).is_super_user
    change(accounts, root, "ana", is_super_user=True, role=Role.MANAGER)
    actor = accounts.actor(signed_in)
    assert (actor.is_super_user, actor.role) == (True, Role.MANAGER)


@pytest.mark.parametrize(
    "fields",
    [
        {"is_active": False},
        {"is_super_user": False},
        {"role": Role.MEMBER},
        {"role": Role.MEMBER, "is_super_user": True},
        {"is_super_user": False, "role": Role.ADMIN},
    ],
)
def test_a_user_who_loses_a_right_is_logged_out_at_once(
    accounts: AccountFixture, root: Actor, fields: dict[str, Any]
) -> None:
    accounts.change("ana", is_super_user=True, role=Role.ADMIN)
    signed_in = accounts.login()
    opaque = accounts.login_service.login_opaque("ana", PASSWORD)
    accounts.actor(signed_in)
    change(accounts, root, "ana", **fields)
    with pytest.raises(Unauthenticated):
        accounts.actor(signed_in)
    with pytest.raises(Unauthenticated):
        accounts.login_service.refresh(signed_in.refresh)
    with pytest.raises(Unauthenticated):
        accounts.login_service.authenticate(opaque.token.text)


def test_a_reactivated_user_must_log_in_again(accounts: AccountFixture, root: Actor) -> None:
    signed_in = accounts.login()
    new_key = accounts.services.api_keys.create(accounts.actor(signed_in), "k", [KeyScope.READ])
    change(accounts, root, "ana", is_active=False)
    with pytest.raises(WrongCredentials):
        accounts.login()
    with pytest.raises(Unauthenticated):
        accounts.login_service.authenticate(new_key.text)
    change(accounts, root, "ana", is_active=True)
    with pytest.raises(Unauthenticated):
        accounts.actor(signed_in)
    accounts.login()


def test_superusers_cannot_change_themselves(accounts: AccountFixture, root: Actor) -> None:
    with pytest.raises(Conflict):
        change(accounts, root, "root", is_super_user=False)
    for actor in (accounts.ana(), Actor(user_id=UserId(0))):
        with pytest.raises(NotAllowed):
            change(accounts, actor, "ana", is_super_user=True)


def test_a_demoted_superuser_changes_no_user(accounts: AccountFixture, root: Actor) -> None:
    """The cached rights are checked again under the lock."""
    accounts.change("root", is_super_user=False)
    with pytest.raises(NotAllowed):
        change(accounts, root, "ana", role=Role.ADMIN)
    accounts.change("root", is_super_user=True, is_active=False)
    with pytest.raises(NotAllowed):
        change(accounts, root, "ana", role=Role.ADMIN)


def test_an_unknown_user_is_not_found(accounts: AccountFixture, root: Actor) -> None:
    for actor in (root, SYSTEM):
        with pytest.raises(NotFound):
            accounts.services.users.change(actor, UserId(99), UserChange(role=Role.ADMIN))
    with pytest.raises(NotFound):
        accounts.services.users.change(root, UserId(0), UserChange(role=Role.ADMIN))


def test_the_system_may_promote_a_superuser(accounts: AccountFixture) -> None:
    change(accounts, SYSTEM, "ana", is_super_user=True)
    assert accounts.ana().is_super_user


def test_a_superuser_revokes_all_sessions_of_a_user(accounts: AccountFixture, root: Actor) -> None:
    signed_in, _ = accounts.login(), accounts.login()
    accounts.actor(signed_in)
    assert accounts.services.users.sign_out(root, accounts.user("ana").id) == 2
    with pytest.raises(Unauthenticated):
        accounts.actor(signed_in)
    assert accounts.actions()[-1] == "SIGN_OUT"
    accounts.login()
    with pytest.raises(NotAllowed):
        accounts.services.users.sign_out(accounts.ana(), root.user_id)


def test_other_contexts_follow_a_change_in_its_transaction(
    accounts: AccountFixture, root: Actor
) -> None:
    seen: list[tuple[bool, bool]] = []

    def follow(tx: IdentityTx, before: User, after: User, _: datetime) -> None:
        assert tx.users.get(after.id) == after
        seen.append((before.is_active, after.is_active))
        raise Conflict("No.")

    people = evolve(accounts.services.users, on_change=follow)
    ana = accounts.user("ana")
    people.change(root, ana.id, UserChange(is_active=True))
    assert seen == []
    with pytest.raises(Conflict):
        people.change(root, ana.id, UserChange(is_active=False))
    assert seen == [(True, False)]
    assert accounts.user("ana").is_active
