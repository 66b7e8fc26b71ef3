"""Registration, with and without disclosure; the first administrator."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from tests.services.accounts import AccountServiceSet, Numbers
from tests.services.registration import ANA, CLIENT, NOON, RegistrationFixture, make_registration
from workbell.adapters.crypto.jwt_tokens import JwtTokens
from workbell.adapters.crypto.totp import PyotpTotp
from workbell.domain.errors import Invalid, NotFound, Unavailable, WorkbellError
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.identity.one_time_code import Purpose, WrongCode
from workbell.domain.identity.password_policy import GENERATED_PASSWORD_LIFETIME
from workbell.domain.identity.user import AlreadyTaken, Role, Tier, UserId, WrongCredentials
from workbell.services.identity.login import LoginService

pytestmark = pytest.mark.unit


@pytest.fixture
def registration() -> RegistrationFixture:
    return make_registration()


# registering


def test_a_new_user_gets_an_account_and_an_emailed_code(registration: RegistrationFixture) -> None:
    user = registration.register(first_name="Ana")
    assert user.id > 0
    assert user == registration.user("ANA@example.com")
    assert user.password_hash == "hash of correct horse"
    assert (user.is_email_verified, user.created_at) == (False, NOON)
    [message] = registration.outbox.messages
    assert message.to == ANA
    assert "Hello Ana" in message.text
    assert "10 minutes" in message.text
    assert registration.outbox.code() not in message.subject


def test_a_registration_is_audited_with_client_info_and_without_secrets(
    registration: RegistrationFixture,
) -> None:
    user = registration.register()
    [entry] = registration.audit()
    assert (entry.action, entry.model_name, entry.object_id) == ("REGISTER", "user", str(user.id))
    assert (entry.user_id, entry.address, entry.request_id) == (user.id, "192.0.2.1", "r")
    assert registration.outbox.code() not in str(entry)
    assert "horse" not in str(entry)


def test_only_the_hash_of_the_code_is_stored(registration: RegistrationFixture) -> None:
    user = registration.register()
    with registration.store.view() as tx:
        stored = tx.codes.latest(user.id, Purpose.VERIFY_EMAIL)
    assert stored is not None
    assert stored.code_hash == f"hash of {registration.outbox.code()}"
    assert stored.expires_at == NOON + timedelta(minutes=10)


def test_malformed_fields_are_refused_first(
    registration: RegistrationFixture,
) -> None:
    with pytest.raises(Invalid) as caught:
        registration.register(email="x", password="short")
    assert set(caught.value.field_errors) == {"email", "password"}
    assert registration.hasher.hashed == 0
    assert registration.audit() == []


def test_a_taken_name_or_address_is_reported(registration: RegistrationFixture) -> None:
    registration.register()
    with pytest.raises(AlreadyTaken) as caught:
        registration.register(username="ANA", email="Ana@Example.com")
    assert set(caught.value.field_errors) == {"username", "email"}
    with pytest.raises(AlreadyTaken) as caught:
        registration.register(username="ana2")
    assert set(caught.value.field_errors) == {"email"}
    assert registration.actions() == ["REGISTER"]
    assert len(registration.outbox.messages) == 1


def test_a_username_is_derived_from_the_address(registration: RegistrationFixture) -> None:
    assert registration.register(username=None).username == "ana"
    second = registration.register(username=None, email="ana@example.org")
    assert re.fullmatch(r"ana-\d{6}", second.username)


def test_a_tier_is_accepted_only_if_the_settings_allow_it(
    registration: RegistrationFixture,
) -> None:
    assert registration.register(tier=Tier.PREMIUM).tier is Tier.PREMIUM
    registration.identity = evolve(registration.identity, self_service_tier=False)
    with pytest.raises(Invalid) as caught:
        registration.register(tier=Tier.PREMIUM)
    assert set(caught.value.field_errors) == {"tier"}


def test_an_email_error_is_reported_and_the_account_exists(
    registration: RegistrationFixture,
) -> None:
    registration.outbox.fails_with = Unavailable("away")
    with pytest.raises(Unavailable):
        registration.register()
    assert registration.user("ana") is not None


def test_a_hundred_registrations_of_one_name_create_one_account(
    registration: RegistrationFixture,
) -> None:
    def attempt(number: int) -> bool:
        try:
            registration.register(email=f"ana{number}@example.com")
        except AlreadyTaken:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(100))) == 1


# without disclosure


def register_without_disclosure(
    registration: RegistrationFixture, email: str = ANA, password: str = "correct horse"
) -> None:
    registration.identity.register_without_disclosure(email, password, CLIENT)


def test_a_registration_without_disclosure_creates_an_account(
    registration: RegistrationFixture,
) -> None:
    register_without_disclosure(registration)
    user = registration.identity.verify_otp(ANA, registration.outbox.code())
    assert (user.username, user.email) == ("ana", ANA)


def test_an_existing_account_is_disclosed_by_email_only(registration: RegistrationFixture) -> None:
    user = registration.register()
    registration.identity.verify_otp(ANA, registration.outbox.code())
    registration.clock.wait(60)
    hashed = registration.hasher.hashed
    register_without_disclosure(registration, "ANA@example.com", "another horse")
    assert registration.hasher.hashed - hashed == 2
    assert "already have an account" in registration.outbox.messages[-1].subject
    assert not re.search(r"\d{6}", registration.outbox.messages[-1].text)
    stored = registration.user(ANA)
    assert stored is not None
    assert stored.password_hash == user.password_hash
    assert registration.actions()[-1] == "SEND_OTP"


def test_an_unverified_user_gets_a_new_code(registration: RegistrationFixture) -> None:
    register_without_disclosure(registration)
    first = registration.outbox.code()
    registration.clock.wait(60)
    register_without_disclosure(registration, password="another horse")
    assert registration.outbox.code() != first
    with pytest.raises(WrongCode):
        registration.identity.verify_otp(ANA, first)
    registration.identity.verify_otp(ANA, registration.outbox.code())


def test_emails_to_known_addresses_are_limited_like_codes(
    registration: RegistrationFixture,
) -> None:
    for _ in range(3):
        register_without_disclosure(registration)
    assert len(registration.outbox.messages) == 1
    assert registration.actions() == ["REGISTER", "SEND_OTP_REFUSED"]


def test_an_inactive_user_gets_no_email(registration: RegistrationFixture) -> None:
    registration.change(registration.register(), is_active=False)
    registration.clock.wait(60)
    register_without_disclosure(registration)
    assert len(registration.outbox.messages) == 1


@pytest.mark.parametrize("error", [Unavailable("away"), Invalid.field("to", "no")])
def test_a_failed_email_does_not_change_the_response(
    registration: RegistrationFixture, error: WorkbellError
) -> None:
    registration.outbox.fails_with = error
    register_without_disclosure(registration)
    registration.clock.wait(60)
    register_without_disclosure(registration)
    registration.clock.wait(60)
    registration.identity.resend_otp(ANA)
    assert registration.outbox.messages == []
    registration.outbox.fails_with = None
    registration.clock.wait(60)
    registration.identity.resend_otp(ANA)
    assert len(registration.outbox.messages) == 1


def test_malformed_input_is_refused_for_known_and_unknown_addresses(
    registration: RegistrationFixture,
) -> None:
    registration.register()
    for email in (ANA, "bob@example.com"):
        with pytest.raises(Invalid) as caught:
            register_without_disclosure(registration, email, "short")
        assert set(caught.value.field_errors) == {"password"}


def test_a_lost_race_for_a_username_gets_another_one(
    registration: RegistrationFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    registration.register()
    seen: list[str] = []

    def free_at_first(tx: Any, email: str, randomness: Any) -> str:
        seen.append(email)
        return "ana" if len(seen) == 1 else "ana-2"

    monkeypatch.setattr("workbell.services.identity.registration.free_username", free_at_first)
    register_without_disclosure(registration, "ana@example.org")
    assert len(seen) == 2
    assert registration.user("ana-2") is not None


# own user


def test_me_returns_the_actors_user(registration: RegistrationFixture) -> None:
    user = registration.register()
    assert registration.identity.me(Actor.of(user)) == user


def test_the_system_has_no_user(registration: RegistrationFixture) -> None:
    for actor in (SYSTEM, Actor(user_id=UserId(99))):
        with pytest.raises(NotFound):
            registration.identity.me(actor)


# the first administrator


def test_the_first_administrators_password_is_generated_and_returned_once(
    registration: RegistrationFixture,
) -> None:
    password = registration.identity.ensure_administrator("admin", "admin@example.com", None)
    assert password is not None
    assert re.fullmatch(r"[A-Za-z2-9]{20}", password)
    user = registration.user("admin")
    assert user is not None
    assert user.password_hash == f"hash of {password}"
    assert (user.role, user.is_super_user, user.is_email_verified) == (Role.ADMIN, True, True)
    [entry] = registration.audit()
    assert (entry.action, entry.user_id, entry.object_id) == ("CREATE", 0, str(user.id))
    assert password not in str(entry)


def test_a_generated_password_is_valid_for_a_week(registration: RegistrationFixture) -> None:
    """Unless it is changed: it must not become the permanent one (ASVS 6.4.1)."""
    password = registration.identity.ensure_administrator("admin", "admin@example.com", None)
    login_service = LoginService(
        store=registration.store,
        clock=registration.clock,
        ids=Numbers(),
        hasher=registration.hasher,
        tokens=JwtTokens.create([b"k" * 32], registration.clock, issuer="us"),
        totp=PyotpTotp(),
    )
    services = AccountServiceSet.of(registration.identity, login_service)
    assert password is not None
    registration.clock.wait(GENERATED_PASSWORD_LIFETIME.total_seconds() - 1)
    login_service.login("admin", password)
    registration.clock.wait(1)
    with pytest.raises(WrongCredentials):
        login_service.login("admin", password)
    services.passwords.request_reset("admin@example.com")
    services.passwords.reset("admin@example.com", registration.outbox.code(), "chosen by myself")
    registration.clock.wait(GENERATED_PASSWORD_LIFETIME.total_seconds())
    admin = login_service.authenticate(login_service.login("admin", "chosen by myself").access)
    services.passwords.change(admin, "chosen by myself", "chosen once more")
    assert login_service.login("admin", "chosen once more").user.password_expires_at is None


def test_a_given_password_is_not_returned_and_exempt_from_the_policy(
    registration: RegistrationFixture,
) -> None:
    assert registration.identity.ensure_administrator("admin", "admin@example.com", "admin") is None
    user = registration.user("admin")
    assert user is not None
    assert user.password_hash == "hash of admin"


def test_a_second_start_creates_no_administrator(registration: RegistrationFixture) -> None:
    registration.identity.ensure_administrator("admin", "admin@example.com", None)
    assert registration.identity.ensure_administrator("admin2", "admin2@example.com", None) is None
    assert registration.user("admin2") is None


def test_two_concurrent_first_starts_create_one_administrator(
    registration: RegistrationFixture,
) -> None:
    def other_start() -> None:
        registration.identity.ensure_administrator("admin", "admin@example.com", "first one")

    registration.hasher.during_hash.append(other_start)
    assert registration.identity.ensure_administrator("admin", "admin@example.com", None) is None
    user = registration.user("admin")
    assert user is not None
    assert user.password_hash == "hash of first one"


def test_an_existing_user_is_not_promoted_by_name(registration: RegistrationFixture) -> None:
    registration.register(username="admin")
    with pytest.raises(AlreadyTaken):
        registration.identity.ensure_administrator("admin", "admin@example.com", None)
    user = registration.user("admin")
    assert user is not None
    assert not user.is_super_user


def test_a_malformed_administrator_is_refused(registration: RegistrationFixture) -> None:
    with pytest.raises(Invalid) as caught:
        registration.identity.ensure_administrator("a b", "x", None)
    assert set(caught.value.field_errors) == {"username", "email"}
