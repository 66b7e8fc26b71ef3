"""Verification of an address by an emailed code, and new codes."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from tests.services.registration import ANA, CLIENT, NOON, RegistrationFixture, make_registration
from workbell.domain.identity.one_time_code import WrongCode

pytestmark = pytest.mark.unit


@pytest.fixture
def registration() -> RegistrationFixture:
    return make_registration()


# verifying


def test_the_code_verifies_the_address_once(registration: RegistrationFixture) -> None:
    registration.register()
    code = registration.outbox.code()
    user = registration.identity.verify_otp(" ANA@example.com ", f"{code[:3]} {code[3:]}", CLIENT)
    assert user.is_email_verified
    assert registration.user("ana") == user
    entry = registration.audit()[-1]
    assert entry.action == "VERIFY_EMAIL"
    assert entry.changes == {"is_email_verified": [False, True]}
    with pytest.raises(WrongCode):
        registration.identity.verify_otp(ANA, code)


def test_the_code_expires(registration: RegistrationFixture) -> None:
    registration.register()
    registration.clock.wait(600)
    with pytest.raises(WrongCode):
        registration.identity.verify_otp(ANA, registration.outbox.code())


def test_a_code_that_expires_while_it_is_compared_is_refused(
    registration: RegistrationFixture,
) -> None:
    registration.register()
    registration.hasher.during_hash.append(lambda: registration.clock.wait(600))
    with pytest.raises(WrongCode):
        registration.identity.verify_otp(ANA, registration.outbox.code())


def test_a_code_allows_five_attempts(registration: RegistrationFixture) -> None:
    registration.register()
    for _ in range(5):
        with pytest.raises(WrongCode):
            registration.identity.verify_otp(ANA, "000000")
    with pytest.raises(WrongCode):
        registration.identity.verify_otp(ANA, registration.outbox.code())
    assert registration.actions() == ["REGISTER", "VERIFY_EMAIL_FAILED"]


def test_the_fifth_attempt_may_succeed(registration: RegistrationFixture) -> None:
    registration.register()
    for _ in range(4):
        with pytest.raises(WrongCode):
            registration.identity.verify_otp(ANA, "000000")
    assert registration.identity.verify_otp(ANA, registration.outbox.code()).is_email_verified


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "abcdef", "1" * 5000])
def test_malformed_codes_cost_no_attempt(registration: RegistrationFixture, typed: str) -> None:
    registration.register()
    for _ in range(6):
        with pytest.raises(WrongCode):
            registration.identity.verify_otp(ANA, typed)
    assert registration.identity.verify_otp(ANA, registration.outbox.code()).is_email_verified


def test_parallel_guesses_count_as_five_attempts(registration: RegistrationFixture) -> None:
    registration.register()
    with ThreadPoolExecutor(8) as pool:
        guesses = [pool.submit(registration.identity.verify_otp, ANA, f"{n:06}") for n in range(50)]
    assert all(isinstance(guess.exception(), WrongCode) for guess in guesses)
    assert len([given for given in registration.hasher.compared if given]) == 5


def test_of_parallel_correct_codes_one_is_accepted(registration: RegistrationFixture) -> None:
    registration.register()
    code = registration.outbox.code()
    with ThreadPoolExecutor(5) as pool:
        tries = [pool.submit(registration.identity.verify_otp, ANA, code) for _ in range(5)]
    assert sum(each.exception() is None for each in tries) == 1


@pytest.mark.parametrize("email", ["bob@example.com", "", "\0", "\ud800@x", "ana"])
def test_an_unknown_address_gets_the_same_response(
    registration: RegistrationFixture, email: str
) -> None:
    registration.register()
    before = len(registration.hasher.compared)
    with pytest.raises(WrongCode):
        registration.identity.verify_otp(email, registration.outbox.code(), CLIENT)
    assert len(registration.hasher.compared) - before == 1
    entry = registration.audit()[-1]
    assert (entry.action, entry.user_id, entry.object_id) == ("VERIFY_EMAIL_FAILED", 0, "")


# resending


def test_a_new_code_invalidates_the_old_one(registration: RegistrationFixture) -> None:
    registration.register()
    old = registration.outbox.code()
    registration.clock.wait(60)
    registration.identity.resend_otp(ANA, CLIENT)
    new = registration.outbox.code()
    with pytest.raises(WrongCode):
        registration.identity.verify_otp(ANA, old)
    assert registration.identity.verify_otp(ANA, new).is_email_verified


def test_a_code_that_is_superseded_while_it_is_compared_is_refused(
    registration: RegistrationFixture,
) -> None:
    registration.register()
    old = registration.outbox.code()
    registration.clock.wait(60)
    registration.hasher.during_hash.append(lambda: registration.identity.resend_otp(ANA))
    with pytest.raises(WrongCode):
        registration.identity.verify_otp(ANA, old)


def test_codes_are_sent_once_a_minute_and_five_times_an_hour(
    registration: RegistrationFixture,
) -> None:
    registration.register()
    sent = []
    for second in range(0, 3660, 30):
        registration.clock.at = NOON + timedelta(seconds=second)
        before = len(registration.outbox.messages)
        registration.identity.resend_otp(ANA)
        if len(registration.outbox.messages) > before:
            sent.append(second)
    assert sent == [60, 120, 180, 240, 3600]


def test_parallel_requests_send_one_code(registration: RegistrationFixture) -> None:
    registration.register()
    registration.clock.wait(60)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(registration.identity.resend_otp, [ANA] * 20))
    assert len(registration.outbox.messages) == 2


def test_no_code_is_sent_to_unknown_or_verified_addresses(
    registration: RegistrationFixture,
) -> None:
    registration.register()
    registration.identity.verify_otp(ANA, registration.outbox.code())
    registration.clock.wait(60)
    hashed = registration.hasher.hashed
    for email in (ANA, "bob@example.com"):
        registration.identity.resend_otp(email, CLIENT)
    assert registration.hasher.hashed - hashed == 2
    assert len(registration.outbox.messages) == 1
    assert registration.actions()[-2:] == ["SEND_OTP_REFUSED"] * 2
