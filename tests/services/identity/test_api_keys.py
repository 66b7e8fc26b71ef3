"""API keys: created, used and revoked."""

from datetime import timedelta

import pytest

from tests.services.identity_scene import NOON, ORIGIN
from tests.services.members_scene import PASSWORD, Stage, a_stage
from workbell.domain.errors import (
    Invalid,
    LimitReached,
    NotAllowed,
    NotFound,
    Unauthenticated,
)
from workbell.domain.identity.api_key import MAX_KEYS
from workbell.domain.identity.user import KeyScope

pytestmark = pytest.mark.unit


READ, WRITE, ADMIN = KeyScope.READ, KeyScope.WRITE, KeyScope.ADMIN


@pytest.fixture
def stage() -> Stage:
    return a_stage("ana", "bob")


def refused(stage: Stage, token: str) -> bool:
    try:
        stage.signing_in.authenticate(token, ORIGIN)
    except Unauthenticated:
        return True
    return False


def test_a_key_is_shown_once_and_kept_as_a_hash(stage: Stage) -> None:
    ana = stage.ana()
    made = stage.members.api_keys.create(ana, " nightly ", [READ])
    assert made.text.startswith(f"wbk_{made.key.prefix}_")
    secret = made.text.rpartition("_")[2]
    assert made.key.name == "nightly"
    assert secret not in repr(made) + str(stage.members.api_keys.list_keys(ana)) + str(
        stage.audit()
    )
    assert stage.members.api_keys.list_keys(ana) == [made.key]
    assert (stage.actions()[-1], stage.audit()[-1].model_name) == ("CREATE", "api_key")


def test_a_key_speaks_for_its_person_within_its_scopes(stage: Stage) -> None:
    stage.change("ana", is_super_user=True)
    ana = stage.ana()
    small = stage.members.api_keys.create(ana, "small", [WRITE])
    actor = stage.signing_in.authenticate(small.text, ORIGIN)
    assert (actor.user_id, actor.is_super_user, actor.session_id) == (ana.user_id, False, "")
    assert actor.origin == ORIGIN
    full = stage.members.api_keys.create(ana, "full", [ADMIN])
    assert stage.signing_in.authenticate(full.text).is_super_user


def test_a_key_ends_when_it_says_or_is_revoked(stage: Stage) -> None:
    ana, api_keys = stage.ana(), stage.members.api_keys
    brief = api_keys.create(ana, "brief", [READ], NOON + timedelta(seconds=3))
    lasting = api_keys.create(ana, "lasting", [READ])
    assert not refused(stage, brief.text)
    stage.clock.wait(3)
    assert refused(stage, brief.text)
    assert not refused(stage, lasting.text)
    api_keys.revoke(ana, lasting.key.id)
    assert refused(stage, lasting.text)
    assert stage.actions()[-1] == "DELETE"
    for key_id in (lasting.key.id, 999):
        with pytest.raises(NotFound):
            api_keys.revoke(ana, key_id)


def test_another_persons_key_is_not_there(stage: Stage) -> None:
    made = stage.members.api_keys.create(stage.ana(), "mine", [READ])
    with pytest.raises(NotFound):
        stage.members.api_keys.revoke(stage.actor(stage.login("bob")), made.key.id)
    assert not refused(stage, made.text)


@pytest.mark.parametrize("change", [{"is_active": False}])
def test_a_key_falls_with_its_person(stage: Stage, change: dict[str, bool]) -> None:
    made = stage.members.api_keys.create(stage.ana(), "mine", [READ])
    stage.change("ana", **change)
    assert refused(stage, made.text)


def test_a_key_with_another_secret_or_prefix_is_none(stage: Stage) -> None:
    made = stage.members.api_keys.create(stage.ana(), "mine", [READ])
    assert refused(stage, f"wbk_{made.key.prefix}_{'x' * 64}")
    assert refused(stage, f"wbk_other_{made.text.rpartition('_')[2]}")
    assert refused(stage, f"wbk_{made.key.prefix}_{made.key.secret_hash}")


def test_the_use_of_a_key_is_noted_once_a_minute(stage: Stage) -> None:
    ana = stage.ana()
    made = stage.members.api_keys.create(ana, "mine", [READ])
    stage.signing_in.authenticate(made.text)
    assert stage.members.api_keys.list_keys(ana)[0].last_used_at == NOON
    stage.clock.wait(30)
    stage.signing_in.authenticate(made.text)
    assert stage.members.api_keys.list_keys(ana)[0].last_used_at == NOON
    stage.clock.wait(30)
    stage.signing_in.authenticate(made.text)
    assert stage.members.api_keys.list_keys(ana)[0].last_used_at == stage.clock.at


def test_nobody_has_more_keys_than_they_may_have(stage: Stage) -> None:
    ana, api_keys = stage.ana(), stage.members.api_keys
    keys = [api_keys.create(ana, f"{n}", [READ]) for n in range(MAX_KEYS)]
    with pytest.raises(LimitReached) as caught:
        api_keys.create(ana, "one more", [READ])
    assert (caught.value.used, caught.value.limit) == (MAX_KEYS, MAX_KEYS)
    api_keys.revoke(ana, keys[0].key.id)
    api_keys.create(ana, "one more", [READ])


def test_a_key_handles_no_credentials(stage: Stage) -> None:
    made = stage.members.api_keys.create(stage.ana(), "all", [READ, WRITE, ADMIN])
    actor = stage.signing_in.authenticate(made.text)
    api_keys = stage.members.api_keys
    for attempt in (
        lambda: api_keys.create(actor, "another", [READ]),
        lambda: api_keys.list_keys(actor),
        lambda: api_keys.revoke(actor, made.key.id),
        lambda: stage.members.sessions.list_sessions(actor),
        lambda: stage.members.sessions.revoke(actor, "s"),
        lambda: stage.signing_in.logout(actor),
        lambda: stage.members.passwords.change(actor, PASSWORD, "another good one"),
    ):
        with pytest.raises(NotAllowed):
            attempt()
    with pytest.raises(Invalid):
        api_keys.create(stage.ana(), "", [])
