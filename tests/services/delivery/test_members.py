"""Members of accounts: roles, invitations, the last Admin."""

from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest

from tests.services.delivery_accounts import DeliveryAccountFixture, make_delivery_accounts
from tests.services.registration import CLIENT
from workbell.domain.delivery.account import Account, AccountId, AccountRole, parse_role
from workbell.domain.errors import Conflict, Invalid, NotAllowed, NotFound, Unavailable
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.user import UserId, WrongCredentials
from workbell.services.delivery.requests import Invitation, NewMember, RoleChange

NORMAL, ADMIN = RoleChange(role=2), RoleChange(role="Admin")


@pytest.fixture
def env() -> DeliveryAccountFixture:
    return make_delivery_accounts()


@pytest.fixture
def account(env: DeliveryAccountFixture) -> Account:
    """Return an account with the Admin ana and the Normal user nor."""
    return env.account("ana", "nor").account


def roles(env: DeliveryAccountFixture, account: Account) -> dict[str, str]:
    members, total = env.members.list(env.actor("root", is_super_user=True), account.id)
    assert total == len(members)
    return {member.user.username: member.membership.role.label for member in members}


def test_roles_are_chosen_by_number_or_name() -> None:
    assert [parse_role(1), parse_role("Admin")] == [AccountRole.ADMIN] * 2
    assert [parse_role(2), parse_role("Normal user")] == [AccountRole.NORMAL] * 2


def test_admins_add_users_as_members(env: DeliveryAccountFixture, account: Account) -> None:
    bob = env.actor("bob").user_id
    member = env.members.add(env.actor("ana"), account.id, NewMember(user=bob, role=1))
    assert (member.user.username, member.membership.role) == ("bob", AccountRole.ADMIN)
    assert roles(env, account) == {"ana": "Admin", "nor": "Normal user", "bob": "Admin"}
    assert env.audit("membership")[-1].changes["role"] == [None, "Admin"]


def test_an_added_user_is_notified_by_email(env: DeliveryAccountFixture, account: Account) -> None:
    [notice] = env.jobs("email.send")
    assert notice.parameters["email"] == "nor@example.com"
    assert f"the account Shop (#{account.id})" in notice.parameters["body"]


def test_an_unknown_user_is_a_field_error_and_a_member_a_conflict(
    env: DeliveryAccountFixture, account: Account
) -> None:
    with pytest.raises(Invalid) as caught:
        env.members.add(env.actor("ana"), account.id, NewMember(user=99))
    assert list(caught.value.field_errors) == ["user"]
    with pytest.raises(Conflict):
        env.add("ana", account, "nor")


Command = Callable[[DeliveryAccountFixture, Actor, AccountId], object]
COMMANDS: dict[str, Command] = {
    "add": lambda env, actor, account_id: env.members.add(actor, account_id, NewMember(user=1)),
    "invite": lambda env, actor, account_id: env.members.invite(
        actor, account_id, Invitation(email="new@example.com")
    ),
    "change": lambda env, actor, account_id: env.members.change_role(
        actor, account_id, UserId(1), NORMAL
    ),
    "remove": lambda env, actor, account_id: env.members.remove(actor, account_id, UserId(1)),
    "check": lambda env, actor, account_id: env.members.check_member(actor, account_id, UserId(1)),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_normal_users_change_no_member_and_others_see_no_account(
    env: DeliveryAccountFixture, account: Account, command: Command
) -> None:
    with pytest.raises(NotAllowed):
        command(env, env.actor("nor"), account.id)
    with pytest.raises(NotFound):
        command(env, env.actor("bob"), account.id)
    assert roles(env, account) == {"ana": "Admin", "nor": "Normal user"}


def test_members_list_the_members(env: DeliveryAccountFixture, account: Account) -> None:
    members, total = env.members.list(env.actor("nor"), account.id, offset=1, limit=1)
    assert ([member.user.username for member in members], total) == (["nor"], 2)
    with pytest.raises(NotFound):
        env.members.list(env.actor("bob"), account.id)


def test_a_role_is_changed_once(env: DeliveryAccountFixture, account: Account) -> None:
    nor = env.actor("nor").user_id
    for _ in range(2):
        member = env.members.change_role(env.actor("ana"), account.id, nor, ADMIN)
        assert member.membership.role is AccountRole.ADMIN
    env.members.change_role(env.actor("nor"), account.id, env.actor("ana").user_id, NORMAL)
    assert roles(env, account) == {"ana": "Normal user", "nor": "Admin"}
    updates = [entry.changes["role"] for entry in env.audit("membership")][1:]
    assert updates == [["Normal user", "Admin"], ["Admin", "Normal user"]]


def test_a_user_who_is_no_member_is_not_found(
    env: DeliveryAccountFixture, account: Account
) -> None:
    ana, bob = env.actor("ana"), env.actor("bob").user_id
    with pytest.raises(NotFound):
        env.members.change_role(ana, account.id, bob, ADMIN)
    with pytest.raises(NotFound):
        env.members.remove(ana, account.id, bob)
    with pytest.raises(NotFound):
        env.members.check_member(ana, account.id, bob)
    env.members.check_member(ana, account.id, ana.user_id)


def test_members_are_removed_and_normal_users_may_leave(
    env: DeliveryAccountFixture, account: Account
) -> None:
    env.add("ana", account, "bob")
    env.members.remove(env.actor("ana"), account.id, env.actor("bob").user_id)
    env.members.remove(env.actor("nor"), account.id, env.actor("nor").user_id)
    assert roles(env, account) == {"ana": "Admin"}
    assert env.audit("membership")[-1].changes["role"] == ["Normal user", None]
    with pytest.raises(NotFound):
        env.accounts.get(env.actor("nor"), account.id)


def test_the_last_admin_neither_leaves_nor_is_demoted(
    env: DeliveryAccountFixture, account: Account
) -> None:
    ana = env.actor("ana")
    root = env.actor("root", is_super_user=True)
    for actor in (ana, root):
        with pytest.raises(Conflict):
            env.members.remove(actor, account.id, ana.user_id)
        with pytest.raises(Conflict):
            env.members.change_role(actor, account.id, ana.user_id, NORMAL)
    env.members.change_role(ana, account.id, env.actor("nor").user_id, ADMIN)
    env.members.remove(ana, account.id, ana.user_id)
    assert roles(env, account) == {"nor": "Admin"}


def test_of_admins_who_all_leave_at_once_one_remains(
    env: DeliveryAccountFixture, account: Account
) -> None:
    for n in range(4):
        env.add("ana", account, f"admin{n}", role="Admin")
    admins = [name for name, role in roles(env, account).items() if role == "Admin"]
    refused: list[str] = []

    def leave(name: str) -> None:
        try:
            env.members.remove(env.actor(name), account.id, env.actor(name).user_id)
        except Conflict:
            refused.append(name)

    threads = [Thread(target=leave, args=(name,)) for name in admins]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert roles(env, account) == {"nor": "Normal user", refused[0]: "Admin"}


# invitations


def invite(
    env: DeliveryAccountFixture, account: Account, email: str, by: str = "ana", **fields: Any
) -> tuple[Any, bool]:
    return env.members.invite(env.actor(by), account.id, Invitation(email=email, **fields))


def test_an_invited_user_sets_a_password_with_the_code(
    env: DeliveryAccountFixture, account: Account
) -> None:
    member, is_new = invite(env, account, " new@example.com ")
    user = member.user
    assert (user.username, user.password_hash, is_new) == ("new", "", True)
    assert member.membership.role is AccountRole.NORMAL
    with pytest.raises(WrongCredentials):
        env.people.login("new", "")
    code = env.people.outbox.code()
    env.people.services.passwords.reset("new@example.com", code, "a good one, 7", CLIENT)
    signed_in = env.people.login("new", "a good one, 7")
    assert signed_in.user.is_email_verified
    assert env.accounts.get(Actor.of(signed_in.user), account.id).account == account
    assert "INVITE" in env.people.actions()


def test_an_existing_user_is_added_and_notified(
    env: DeliveryAccountFixture, account: Account
) -> None:
    env.actor("bob")
    member, is_new = invite(env, account, "BOB@example.com", role="Admin")
    assert (member.user.username, is_new) == ("bob", False)
    assert roles(env, account)["bob"] == "Admin"
    assert not env.people.outbox.messages
    assert env.jobs("email.send")[-1].parameters["email"] == "bob@example.com"
    with pytest.raises(Conflict):
        invite(env, account, "bob@example.com")


def test_an_invited_user_gets_a_free_username(
    env: DeliveryAccountFixture, account: Account
) -> None:
    member, _ = invite(env, account, "ana@elsewhere.example")
    assert member.user.username.startswith("ana-")


def test_superusers_invite_into_any_account(env: DeliveryAccountFixture, account: Account) -> None:
    env.actor("root", is_super_user=True)
    assert invite(env, account, "new@example.com", by="root")[1]
    assert roles(env, account)["new"] == "Normal user"


def test_an_invitation_requires_a_valid_address_and_a_mail_server(
    env: DeliveryAccountFixture, account: Account
) -> None:
    with pytest.raises(Invalid):
        invite(env, account, "no address")
    env.people.outbox.fails_with = Unavailable("no")
    with pytest.raises(Unavailable):
        invite(env, account, "new@example.com")
    assert roles(env, account)["new"] == "Normal user"
