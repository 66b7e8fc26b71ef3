"""Profile changes by users and superusers."""

import pytest

from tests.services.accounts import PASSWORD, AccountFixture, make_accounts
from workbell.domain.errors import Invalid, NotAllowed, NotFound, Unauthenticated
from workbell.domain.identity.one_time_code import WrongCode
from workbell.domain.identity.user import AlreadyTaken, KeyScope, UserId
from workbell.services.identity.profiles import ProfileChange

pytestmark = pytest.mark.unit

NEW = "another good one"


@pytest.fixture
def accounts() -> AccountFixture:
    accounts = make_accounts("ana", "bob")
    accounts.join("root", is_super_user=True)
    accounts.change("ana", is_email_verified=True)
    return accounts


def change(accounts: AccountFixture, **fields: str) -> None:
    accounts.services.profiles.change(accounts.ana(), ProfileChange(**fields))


def test_users_change_their_names_and_time_zone(accounts: AccountFixture) -> None:
    change(
        accounts, first_name=" Ana ", last_name="Lima", time_zone="Europe/Berlin", username="anna"
    )
    ana = accounts.user("anna")
    assert (ana.full_name, ana.time_zone, ana.is_email_verified) == (
        "Ana Lima",
        "Europe/Berlin",
        True,
    )
    entry = accounts.audit()[-1]
    assert entry.action == "UPDATE"
    assert entry.changes["username"] == ["ana", "anna"]
    assert not accounts.outbox.messages


def test_a_change_takes_effect_at_once(accounts: AccountFixture) -> None:
    signed_in = accounts.login()
    actor = accounts.actor(signed_in)
    accounts.services.profiles.change(actor, ProfileChange(time_zone="Asia/Kolkata"))
    assert accounts.actor(signed_in).time_zone == "Asia/Kolkata"


def test_an_unchanged_profile_is_not_audited(accounts: AccountFixture) -> None:
    change(accounts, first_name="", email="ANA@example.com")
    assert accounts.actions() == ["LOGIN"]
    assert accounts.user("ana").email == "ana@example.com"


def test_malformed_fields_are_reported(accounts: AccountFixture) -> None:
    with pytest.raises(Invalid) as caught:
        change(accounts, username="a b", email="no", first_name="\n\0x", last_name="x" * 151,
               time_zone="Mars")  # fmt: skip
    assert set(caught.value.field_errors) == {
        "username", "email", "first_name", "last_name", "time_zone",
    }  # fmt: skip


def test_a_taken_name_is_refused(accounts: AccountFixture) -> None:
    with pytest.raises(AlreadyTaken):
        change(accounts, username="BOB")
    with pytest.raises(AlreadyTaken):
        change(accounts, email="bob@example.com", current_password=PASSWORD)
    assert accounts.user("ana").email == "ana@example.com"


def test_a_new_address_requires_the_password_and_verification(accounts: AccountFixture) -> None:
    for given in ({}, {"current_password": "wrong"}):
        with pytest.raises(Invalid) as caught:
            change(accounts, email="new@example.com", **given)
        assert set(caught.value.field_errors) == {"current_password"}
    change(accounts, email="new@example.com", current_password=PASSWORD)
    assert not accounts.user("ana").is_email_verified
    code, notice = accounts.outbox.messages
    assert (code.to, notice.to) == ("new@example.com", "ana@example.com")
    accounts.outbox.messages.pop()
    assert accounts.identity.verify_otp("new@example.com", accounts.outbox.code()).is_email_verified


def test_a_code_sent_to_the_old_address_is_invalid(accounts: AccountFixture) -> None:
    accounts.services.passwords.request_reset("ana@example.com")
    code = accounts.outbox.code()
    change(accounts, email="new@example.com", current_password=PASSWORD)
    with pytest.raises(WrongCode):
        accounts.services.passwords.reset("new@example.com", code, NEW)


def test_a_password_may_be_changed_with_the_rest(accounts: AccountFixture) -> None:
    mine, other = accounts.login(), accounts.login()
    accounts.actor(other)
    profile_change = ProfileChange(
        email="new@example.com", password=NEW, current_password=PASSWORD, first_name="Ana"
    )
    accounts.services.profiles.change(accounts.actor(mine), profile_change)
    accounts.actor(mine)
    with pytest.raises(Unauthenticated):
        accounts.actor(other)
    assert accounts.login(password=NEW).user.first_name == "Ana"
    assert [message.to for message in accounts.outbox.messages] == [
        "new@example.com",
        "ana@example.com",
        "ana@example.com",
    ]
    assert "password_hash" not in str([entry.changes for entry in accounts.audit()])


def test_a_password_alone_sends_no_code(accounts: AccountFixture) -> None:
    change(accounts, password=NEW, current_password=PASSWORD)
    assert [message.subject for message in accounts.outbox.messages] == [
        "Your password was changed"
    ]
    ana = accounts.actor(accounts.login(password=NEW))
    with pytest.raises(Invalid):
        accounts.services.profiles.change(
            ana, ProfileChange(password="short", current_password=NEW)
        )


def test_other_users_are_not_found(accounts: AccountFixture) -> None:
    bob = accounts.user("bob").id
    for user_id in (bob, UserId(99)):
        with pytest.raises(NotFound):
            accounts.services.profiles.change(
                accounts.ana(), ProfileChange(first_name="x"), user_id
            )


def test_superusers_change_any_user_without_a_password(accounts: AccountFixture) -> None:
    root = accounts.actor(accounts.login("root"))
    signed_in = accounts.login("bob")
    accounts.actor(signed_in)
    profile_change = ProfileChange(email="robert@example.com", password=NEW)
    bob = accounts.services.profiles.change(root, profile_change, accounts.user("bob").id)
    assert bob.email == "robert@example.com"
    with pytest.raises(Unauthenticated):
        accounts.actor(signed_in)
    accounts.login("bob", NEW)
    with pytest.raises(NotFound):
        accounts.services.profiles.change(root, profile_change, UserId(99))


def test_a_key_changes_names_and_no_address(accounts: AccountFixture) -> None:
    new_key = accounts.services.api_keys.create(accounts.ana(), "w", [KeyScope.WRITE])
    actor = accounts.login_service.authenticate(new_key.text)
    assert accounts.services.profiles.change(actor, ProfileChange(first_name="A")).first_name == "A"
    moving = ProfileChange(email="new@example.com", current_password=PASSWORD)
    with pytest.raises(NotAllowed):
        accounts.services.profiles.change(actor, moving)
    small = accounts.services.api_keys.create(accounts.ana(), "r", [KeyScope.READ])
    with pytest.raises(NotAllowed):
        accounts.services.profiles.change(
            accounts.login_service.authenticate(small.text), ProfileChange(first_name="B")
        )


def test_secrets_are_not_in_the_repr() -> None:
    shown = repr(ProfileChange(password=NEW, current_password=PASSWORD))
    assert NEW not in shown and PASSWORD not in shown
