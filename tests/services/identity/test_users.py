"""People as superusers look after them."""

from typing import Any

import pytest

from tests.services.identity_scene import ORIGIN
from tests.services.members_scene import PASSWORD, Stage, a_stage
from workbell.domain.errors import (
    Conflict,
    Invalid,
    NotAllowed,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.identity.user import KeyScope, Role, Tier, UserId, WrongCredentials
from workbell.ports.identity.users import UserFilter
from workbell.services.identity.users import UserChange

pytestmark = pytest.mark.unit

ALL = UserFilter()


@pytest.fixture
def stage() -> Stage:
    stage = a_stage("ana", "bob")
    stage.join("root", is_super_user=True)
    return stage


@pytest.fixture
def root(stage: Stage) -> Actor:
    return stage.actor(stage.login("root"))


def change(stage: Stage, actor: Actor, name: str, **fields: Any) -> None:
    stage.members.people.change(actor, stage.user(name).id, UserChange(**fields))


def test_superusers_see_everybody(stage: Stage, root: Actor) -> None:
    people = stage.members.people
    found, total = people.find(root, ALL, ("-username",), 0, 2)
    assert ([user.username for user in found], total) == (["root", "bob"], 3)
    assert people.get(root, stage.user("ana").id).username == "ana"
    with pytest.raises(NotFound):
        people.get(root, UserId(99))


def test_others_see_themselves(stage: Stage, root: Actor) -> None:
    ana, people = stage.ana(), stage.members.people
    with pytest.raises(NotAllowed):
        people.find(ana, ALL, ("id",), 0, 9)
    with pytest.raises(NotAllowed):
        people.get(ana, ana.user_id)
    found, total = people.find_visible(ana, ALL, ("id",), 0, 9)
    assert ([user.username for user in found], total) == (["ana"], 1)
    assert people.find_visible(ana, UserFilter(id=root.user_id), ("id",), 0, 9) == ([], 0)
    assert people.find_visible(ana, UserFilter(id=ana.user_id), ("id",), 0, 9)[1] == 1
    assert people.find_visible(ana, UserFilter(email="bob@example.com"), ("id",), 0, 9)[1] == 0
    assert people.find_visible(root, ALL, ("id",), 0, 9)[1] == 3


def test_names_are_told_to_who_has_signed_in(stage: Stage) -> None:
    assert list(stage.members.people.usernames(stage.ana())) == ["ana", "bob", "root"]
    with pytest.raises(NotAllowed):
        stage.members.people.usernames(Actor(user_id=UserId(0)))


def test_a_tier_is_given_and_nobody_is_signed_out(stage: Stage, root: Actor) -> None:
    signed_in = stage.login()
    stage.actor(signed_in)
    change(stage, root, "ana", tier=Tier.PREMIUM)
    assert stage.actor(signed_in).tier is Tier.PREMIUM
    assert stage.audit()[-1].changes == {"tier": [Tier.FREE, Tier.PREMIUM]}
    entries = len(stage.audit())
    change(stage, root, "ana", tier=Tier.PREMIUM)
    change(stage, root, "ana")
    assert len(stage.audit()) == entries


def test_a_promotion_counts_at_once(stage: Stage, root: Actor) -> None:
    signed_in = stage.login()
    assert not stage.actor(signed_in).is_super_user
    change(stage, root, "ana", is_super_user=True, role=Role.MANAGER)
    actor = stage.actor(signed_in)
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
def test_who_loses_a_right_is_signed_out_at_once(
    stage: Stage, root: Actor, fields: dict[str, Any]
) -> None:
    stage.change("ana", is_super_user=True, role=Role.ADMIN)
    signed_in = stage.login()
    opaque = stage.signing_in.login_opaque("ana", PASSWORD)
    stage.actor(signed_in)
    change(stage, root, "ana", **fields)
    with pytest.raises(Unauthenticated):
        stage.actor(signed_in)
    with pytest.raises(Unauthenticated):
        stage.signing_in.refresh(signed_in.refresh)
    with pytest.raises(Unauthenticated):
        stage.signing_in.authenticate(opaque.token.text)


def test_who_was_switched_off_and_on_again_has_to_sign_in(stage: Stage, root: Actor) -> None:
    signed_in = stage.login()
    made = stage.members.api_keys.create(stage.actor(signed_in), "k", [KeyScope.READ])
    change(stage, root, "ana", is_active=False)
    with pytest.raises(WrongCredentials):
        stage.login()
    with pytest.raises(Unauthenticated):
        stage.signing_in.authenticate(made.text)
    change(stage, root, "ana", is_active=True)
    with pytest.raises(Unauthenticated):
        stage.actor(signed_in)
    stage.login()


def test_nobody_changes_what_they_are_themselves(stage: Stage, root: Actor) -> None:
    with pytest.raises(Conflict):
        change(stage, root, "root", is_super_user=False)
    for actor in (stage.ana(), Actor(user_id=UserId(0))):
        with pytest.raises(NotAllowed):
            change(stage, actor, "ana", is_super_user=True)


def test_who_is_no_superuser_any_more_changes_nobody(stage: Stage, root: Actor) -> None:
    """What was known a moment ago is checked again under the lock."""
    stage.change("root", is_super_user=False)
    with pytest.raises(NotAllowed):
        change(stage, root, "ana", role=Role.ADMIN)
    stage.change("root", is_super_user=True, is_active=False)
    with pytest.raises(NotAllowed):
        change(stage, root, "ana", role=Role.ADMIN)


def test_who_is_not_there_is_not_found(stage: Stage, root: Actor) -> None:
    for actor in (root, SYSTEM):
        with pytest.raises(NotFound):
            stage.members.people.change(actor, UserId(99), UserChange(role=Role.ADMIN))
    with pytest.raises(NotFound):
        stage.members.people.change(root, UserId(0), UserChange(role=Role.ADMIN))


def test_the_system_makes_a_superuser(stage: Stage) -> None:
    change(stage, SYSTEM, "ana", is_super_user=True)
    assert stage.ana().is_super_user


# --------------------------------------------------------------------------------- invitations


def test_an_invited_person_sets_a_password_by_the_code(stage: Stage, root: Actor) -> None:
    user, is_new = stage.members.people.invite(root, " new@example.com ")
    assert (user.username, user.password_hash, is_new) == ("new", "", True)
    with pytest.raises(WrongCredentials):
        stage.login("new", "")
    stage.members.passwords.reset("new@example.com", stage.outbox.code(), "a good one, 7", ORIGIN)
    signed_in = stage.login("new", "a good one, 7")
    assert signed_in.user.is_email_verified
    assert "INVITE" in stage.actions()


def test_who_has_an_account_is_not_invited_again(stage: Stage, root: Actor) -> None:
    user, is_new = stage.members.people.invite(root, "ANA@example.com")
    assert (user, is_new) == (stage.user("ana"), False)
    assert not stage.outbox.messages


def test_an_invited_person_gets_a_name_that_is_free(stage: Stage, root: Actor) -> None:
    user, _ = stage.members.people.invite(root, "ana@elsewhere.example")
    assert user.username.startswith("ana-")


def test_an_invitation_needs_an_address_and_a_superuser(stage: Stage, root: Actor) -> None:
    with pytest.raises(Invalid):
        stage.members.people.invite(root, "no address")
    with pytest.raises(NotAllowed):
        stage.members.people.invite(stage.ana(), "new@example.com")
    stage.outbox.fails_with = Unavailable("no")
    with pytest.raises(Unavailable):
        stage.members.people.invite(root, "new@example.com")
    assert stage.user("new").email == "new@example.com"


def test_a_superuser_signs_somebody_out_everywhere(stage: Stage, root: Actor) -> None:
    signed_in, _ = stage.login(), stage.login()
    stage.actor(signed_in)
    assert stage.members.people.sign_out(root, stage.user("ana").id) == 2
    with pytest.raises(Unauthenticated):
        stage.actor(signed_in)
    assert stage.actions()[-1] == "SIGN_OUT"
    stage.login()
    with pytest.raises(NotAllowed):
        stage.members.people.sign_out(stage.ana(), root.user_id)
