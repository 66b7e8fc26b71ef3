"""API keys: creation, use and revocation."""

from datetime import timedelta

import pytest

from tests.services.accounts import PASSWORD, AccountFixture
from tests.services.registration import CLIENT, NOON
from workbell.domain.errors import (
    Invalid,
    LimitReached,
    NotAllowed,
    NotFound,
)
from workbell.domain.identity.api_key import MAX_KEYS
from workbell.domain.identity.user import KeyScope

pytestmark = pytest.mark.unit


READ, WRITE, ADMIN = KeyScope.READ, KeyScope.WRITE, KeyScope.ADMIN


def test_a_key_is_returned_once_and_stored_as_a_hash(accounts: AccountFixture) -> None:
    ana = accounts.ana()
    new_key = accounts.services.api_keys.create(ana, " nightly ", [READ])
    assert new_key.text.startswith(f"wbk_{new_key.key.prefix}_")
    secret = new_key.text.rpartition("_")[2]
    assert new_key.key.name == "nightly"
    assert secret not in repr(new_key) + str(accounts.services.api_keys.list_keys(ana)) + str(
        accounts.audit()
    )
    assert accounts.services.api_keys.list_keys(ana) == [new_key.key]
    assert (accounts.actions()[-1], accounts.audit()[-1].model_name) == ("CREATE", "api_key")


def test_a_key_authenticates_its_user_within_its_scopes(accounts: AccountFixture) -> None:
    accounts.change("ana", is_super_user=True)
    ana = accounts.ana()
    small = accounts.services.api_keys.create(ana, "small", [WRITE])
    actor = accounts.login_service.authenticate(small.text, CLIENT)
    assert (actor.user_id, actor.is_super_user, actor.session_id) == (ana.user_id, False, "")
    assert actor.client_info == CLIENT
    full = accounts.services.api_keys.create(ana, "full", [ADMIN])
    assert accounts.login_service.authenticate(full.text).is_super_user


def test_a_key_ends_at_its_expiry_or_when_revoked(accounts: AccountFixture) -> None:
    ana, api_keys = accounts.ana(), accounts.services.api_keys
    brief = api_keys.create(ana, "brief", [READ], NOON + timedelta(seconds=3))
    lasting = api_keys.create(ana, "lasting", [READ])
    assert not accounts.refuses(brief.text)
    accounts.clock.wait(3)
    assert accounts.refuses(brief.text)
    assert not accounts.refuses(lasting.text)
    api_keys.revoke(ana, lasting.key.id)
    assert accounts.refuses(lasting.text)
    assert accounts.actions()[-1] == "DELETE"
    for key_id in (lasting.key.id, 999):
        with pytest.raises(NotFound):
            api_keys.revoke(ana, key_id)


def test_another_users_key_is_not_found(accounts: AccountFixture) -> None:
    new_key = accounts.services.api_keys.create(accounts.ana(), "mine", [READ])
    with pytest.raises(NotFound):
        accounts.services.api_keys.revoke(accounts.actor(accounts.login("bob")), new_key.key.id)
    assert not accounts.refuses(new_key.text)


@pytest.mark.parametrize("change", [{"is_active": False}])
def test_a_key_of_an_inactive_user_is_invalid(
    accounts: AccountFixture, change: dict[str, bool]
) -> None:
    new_key = accounts.services.api_keys.create(accounts.ana(), "mine", [READ])
    accounts.change("ana", **change)
    assert accounts.refuses(new_key.text)


def test_a_key_with_a_wrong_secret_or_prefix_is_invalid(accounts: AccountFixture) -> None:
    new_key = accounts.services.api_keys.create(accounts.ana(), "mine", [READ])
    assert accounts.refuses(f"wbk_{new_key.key.prefix}_{'x' * 64}")
    assert accounts.refuses(f"wbk_other_{new_key.text.rpartition('_')[2]}")
    assert accounts.refuses(f"wbk_{new_key.key.prefix}_{new_key.key.secret_hash}")


def test_the_use_of_a_key_is_recorded_once_a_minute(accounts: AccountFixture) -> None:
    ana = accounts.ana()
    new_key = accounts.services.api_keys.create(ana, "mine", [READ])
    accounts.login_service.authenticate(new_key.text)
    assert accounts.services.api_keys.list_keys(ana)[0].last_used_at == NOON
    accounts.clock.wait(30)
    accounts.login_service.authenticate(new_key.text)
    assert accounts.services.api_keys.list_keys(ana)[0].last_used_at == NOON
    accounts.clock.wait(30)
    accounts.login_service.authenticate(new_key.text)
    assert accounts.services.api_keys.list_keys(ana)[0].last_used_at == accounts.clock.at


def test_the_number_of_keys_per_user_is_limited(accounts: AccountFixture) -> None:
    ana, api_keys = accounts.ana(), accounts.services.api_keys
    keys = [api_keys.create(ana, f"{n}", [READ]) for n in range(MAX_KEYS)]
    with pytest.raises(LimitReached) as caught:
        api_keys.create(ana, "one more", [READ])
    assert (caught.value.used, caught.value.limit) == (MAX_KEYS, MAX_KEYS)
    api_keys.revoke(ana, keys[0].key.id)
    api_keys.create(ana, "one more", [READ])


def test_a_key_cannot_manage_credentials(accounts: AccountFixture) -> None:
    new_key = accounts.services.api_keys.create(accounts.ana(), "all", [READ, WRITE, ADMIN])
    actor = accounts.login_service.authenticate(new_key.text)
    api_keys = accounts.services.api_keys
    for attempt in (
        lambda: api_keys.create(actor, "another", [READ]),
        lambda: api_keys.list_keys(actor),
        lambda: api_keys.revoke(actor, new_key.key.id),
        lambda: accounts.services.sessions.list_sessions(actor),
        lambda: accounts.services.sessions.revoke(actor, "s"),
        lambda: accounts.login_service.logout(actor),
        lambda: accounts.services.passwords.change(actor, PASSWORD, "another good one"),
    ):
        with pytest.raises(NotAllowed):
            attempt()
    with pytest.raises(Invalid):
        api_keys.create(accounts.ana(), "", [])
