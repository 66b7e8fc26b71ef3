"""Changing one's own profile, and as a superuser anybody's."""

import pytest

from tests.services.members_scene import PASSWORD, Stage, a_stage
from workbell.domain.errors import Invalid, NotAllowed, NotFound, Unauthenticated
from workbell.domain.identity.one_time_code import WrongCode
from workbell.domain.identity.user import AlreadyTaken, KeyScope, UserId
from workbell.services.identity.profiles import ProfileChange

pytestmark = pytest.mark.unit

NEW = "another good one"


@pytest.fixture
def stage() -> Stage:
    stage = a_stage("ana", "bob")
    stage.join("root", is_super_user=True)
    stage.change("ana", is_email_verified=True)
    return stage


def change(stage: Stage, **fields: str) -> None:
    stage.members.profiles.change(stage.ana(), ProfileChange(**fields))


def test_names_and_zone_are_ones_own_to_change(stage: Stage) -> None:
    change(stage, first_name=" Ana ", last_name="Lima", time_zone="Europe/Berlin", username="anna")
    ana = stage.user("anna")
    assert (ana.full_name, ana.time_zone, ana.is_email_verified) == (
        "Ana Lima",
        "Europe/Berlin",
        True,
    )
    entry = stage.audit()[-1]
    assert entry.action == "UPDATE"
    assert entry.changes["username"] == ["ana", "anna"]
    assert not stage.outbox.messages


def test_a_change_counts_at_once(stage: Stage) -> None:
    signed_in = stage.login()
    actor = stage.actor(signed_in)
    stage.members.profiles.change(actor, ProfileChange(time_zone="Asia/Kolkata"))
    assert stage.actor(signed_in).time_zone == "Asia/Kolkata"


def test_what_does_not_change_leaves_no_trace(stage: Stage) -> None:
    change(stage, first_name="", email="ANA@example.com")
    assert stage.actions() == ["LOGIN"]
    assert stage.user("ana").email == "ana@example.com"


def test_what_is_malformed_is_named(stage: Stage) -> None:
    with pytest.raises(Invalid) as caught:
        change(stage, username="a b", email="no", first_name="\n\0x", last_name="x" * 151,
               time_zone="Mars")  # fmt: skip
    assert set(caught.value.field_errors) == {
        "username", "email", "first_name", "last_name", "time_zone",
    }  # fmt: skip


def test_a_taken_name_is_refused(stage: Stage) -> None:
    with pytest.raises(AlreadyTaken):
        change(stage, username="BOB")
    with pytest.raises(AlreadyTaken):
        change(stage, email="bob@example.com", current_password=PASSWORD)
    assert stage.user("ana").email == "ana@example.com"


def test_another_address_takes_the_password_and_is_verified_anew(stage: Stage) -> None:
    for given in ({}, {"current_password": "wrong"}):
        with pytest.raises(Invalid) as caught:
            change(stage, email="new@example.com", **given)
        assert set(caught.value.field_errors) == {"current_password"}
    change(stage, email="new@example.com", current_password=PASSWORD)
    assert not stage.user("ana").is_email_verified
    code, told = stage.outbox.messages
    assert (code.to, told.to) == ("new@example.com", "ana@example.com")
    stage.outbox.messages.pop()
    assert stage.identity.verify_otp("new@example.com", stage.outbox.code()).is_email_verified


def test_a_code_that_went_to_the_old_address_works_no_more(stage: Stage) -> None:
    stage.members.passwords.request_reset("ana@example.com")
    code = stage.outbox.code()
    change(stage, email="new@example.com", current_password=PASSWORD)
    with pytest.raises(WrongCode):
        stage.members.passwords.reset("new@example.com", code, NEW)


def test_a_password_may_be_changed_with_the_rest(stage: Stage) -> None:
    mine, other = stage.login(), stage.login()
    stage.actor(other)
    asked = ProfileChange(
        email="new@example.com", password=NEW, current_password=PASSWORD, first_name="Ana"
    )
    stage.members.profiles.change(stage.actor(mine), asked)
    stage.actor(mine)
    with pytest.raises(Unauthenticated):
        stage.actor(other)
    assert stage.login(password=NEW).user.first_name == "Ana"
    assert [message.to for message in stage.outbox.messages] == [
        "new@example.com",
        "ana@example.com",
        "ana@example.com",
    ]
    assert "password_hash" not in str([entry.changes for entry in stage.audit()])


def test_a_password_alone_sends_no_code(stage: Stage) -> None:
    change(stage, password=NEW, current_password=PASSWORD)
    assert [message.subject for message in stage.outbox.messages] == ["Your password was changed"]
    ana = stage.actor(stage.login(password=NEW))
    with pytest.raises(Invalid):
        stage.members.profiles.change(ana, ProfileChange(password="short", current_password=NEW))


def test_others_are_not_there(stage: Stage) -> None:
    bob = stage.user("bob").id
    for user_id in (bob, UserId(99)):
        with pytest.raises(NotFound):
            stage.members.profiles.change(stage.ana(), ProfileChange(first_name="x"), user_id)


def test_superusers_change_anybody_without_knowing_a_password(stage: Stage) -> None:
    root = stage.actor(stage.login("root"))
    signed_in = stage.login("bob")
    stage.actor(signed_in)
    asked = ProfileChange(email="robert@example.com", password=NEW)
    bob = stage.members.profiles.change(root, asked, stage.user("bob").id)
    assert bob.email == "robert@example.com"
    with pytest.raises(Unauthenticated):
        stage.actor(signed_in)
    stage.login("bob", NEW)
    with pytest.raises(NotFound):
        stage.members.profiles.change(root, asked, UserId(99))


def test_a_key_changes_names_but_no_address(stage: Stage) -> None:
    made = stage.members.api_keys.create(stage.ana(), "w", [KeyScope.WRITE])
    actor = stage.signing_in.authenticate(made.text)
    assert stage.members.profiles.change(actor, ProfileChange(first_name="A")).first_name == "A"
    moving = ProfileChange(email="new@example.com", current_password=PASSWORD)
    with pytest.raises(NotAllowed):
        stage.members.profiles.change(actor, moving)
    small = stage.members.api_keys.create(stage.ana(), "r", [KeyScope.READ])
    with pytest.raises(NotAllowed):
        stage.members.profiles.change(
            stage.signing_in.authenticate(small.text), ProfileChange(first_name="B")
        )


def test_secrets_are_not_shown() -> None:
    shown = repr(ProfileChange(password=NEW, current_password=PASSWORD))
    assert NEW not in shown and PASSWORD not in shown
