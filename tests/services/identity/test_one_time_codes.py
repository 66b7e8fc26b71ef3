"""Verifying an address by the mailed code, and asking for another."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from tests.services.identity_scene import ANA, NOON, ORIGIN, Scene, a_scene
from workbell.domain.identity.one_time_code import WrongCode

pytestmark = pytest.mark.unit


@pytest.fixture
def scene() -> Scene:
    return a_scene()


# --------------------------------------------------------------------------------- verifying


def test_the_code_verifies_the_address_once(scene: Scene) -> None:
    scene.register()
    code = scene.outbox.code()
    user = scene.identity.verify_otp(" ANA@example.com ", f"{code[:3]} {code[3:]}", ORIGIN)
    assert user.is_email_verified
    assert scene.user("ana") == user
    entry = scene.audit()[-1]
    assert entry.action == "VERIFY_EMAIL"
    assert entry.changes == {"is_email_verified": [False, True]}
    with pytest.raises(WrongCode):
        scene.identity.verify_otp(ANA, code)


def test_the_code_expires(scene: Scene) -> None:
    scene.register()
    scene.clock.wait(600)
    with pytest.raises(WrongCode):
        scene.identity.verify_otp(ANA, scene.outbox.code())


def test_a_code_that_expires_while_it_is_compared_is_refused(scene: Scene) -> None:
    scene.register()
    scene.hasher.meanwhile.append(lambda: scene.clock.wait(600))
    with pytest.raises(WrongCode):
        scene.identity.verify_otp(ANA, scene.outbox.code())


def test_five_tries_and_no_more(scene: Scene) -> None:
    scene.register()
    for _ in range(5):
        with pytest.raises(WrongCode):
            scene.identity.verify_otp(ANA, "000000")
    with pytest.raises(WrongCode):
        scene.identity.verify_otp(ANA, scene.outbox.code())
    assert scene.actions() == ["REGISTER", "VERIFY_EMAIL_FAILED"]


def test_the_fifth_try_may_be_right(scene: Scene) -> None:
    scene.register()
    for _ in range(4):
        with pytest.raises(WrongCode):
            scene.identity.verify_otp(ANA, "000000")
    assert scene.identity.verify_otp(ANA, scene.outbox.code()).is_email_verified


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "abcdef", "1" * 5000])
def test_what_cannot_be_a_code_costs_no_try(scene: Scene, typed: str) -> None:
    scene.register()
    for _ in range(6):
        with pytest.raises(WrongCode):
            scene.identity.verify_otp(ANA, typed)
    assert scene.identity.verify_otp(ANA, scene.outbox.code()).is_email_verified


def test_parallel_guesses_are_five_guesses(scene: Scene) -> None:
    scene.register()
    with ThreadPoolExecutor(8) as pool:
        guesses = [pool.submit(scene.identity.verify_otp, ANA, f"{n:06}") for n in range(50)]
    assert all(isinstance(guess.exception(), WrongCode) for guess in guesses)
    assert len([given for given in scene.hasher.compared if given]) == 5


def test_of_parallel_right_answers_one_wins(scene: Scene) -> None:
    scene.register()
    code = scene.outbox.code()
    with ThreadPoolExecutor(5) as pool:
        tries = [pool.submit(scene.identity.verify_otp, ANA, code) for _ in range(5)]
    assert sum(each.exception() is None for each in tries) == 1


@pytest.mark.parametrize("email", ["bob@example.com", "", "\0", "\ud800@x", "ana"])
def test_an_unknown_address_is_answered_alike(scene: Scene, email: str) -> None:
    scene.register()
    before = len(scene.hasher.compared)
    with pytest.raises(WrongCode):
        scene.identity.verify_otp(email, scene.outbox.code(), ORIGIN)
    assert len(scene.hasher.compared) - before == 1
    entry = scene.audit()[-1]
    assert (entry.action, entry.user_id, entry.object_id) == ("VERIFY_EMAIL_FAILED", 0, "")


# --------------------------------------------------------------------------------- resending


def test_a_new_code_kills_the_old(scene: Scene) -> None:
    scene.register()
    old = scene.outbox.code()
    scene.clock.wait(60)
    scene.identity.resend_otp(ANA, ORIGIN)
    new = scene.outbox.code()
    with pytest.raises(WrongCode):
        scene.identity.verify_otp(ANA, old)
    assert scene.identity.verify_otp(ANA, new).is_email_verified


def test_a_code_that_is_superseded_while_it_is_compared_is_refused(scene: Scene) -> None:
    scene.register()
    old = scene.outbox.code()
    scene.clock.wait(60)
    scene.hasher.meanwhile.append(lambda: scene.identity.resend_otp(ANA))
    with pytest.raises(WrongCode):
        scene.identity.verify_otp(ANA, old)


def test_codes_go_out_once_a_minute_and_five_times_an_hour(scene: Scene) -> None:
    scene.register()
    sent = []
    for second in range(0, 3660, 30):
        scene.clock.at = NOON + timedelta(seconds=second)
        before = len(scene.outbox.messages)
        scene.identity.resend_otp(ANA)
        if len(scene.outbox.messages) > before:
            sent.append(second)
    assert sent == [60, 120, 180, 240, 3600]


def test_parallel_requests_send_one_code(scene: Scene) -> None:
    scene.register()
    scene.clock.wait(60)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(scene.identity.resend_otp, [ANA] * 20))
    assert len(scene.outbox.messages) == 2


def test_no_code_goes_to_unknown_or_verified_addresses(scene: Scene) -> None:
    scene.register()
    scene.identity.verify_otp(ANA, scene.outbox.code())
    scene.clock.wait(60)
    made = scene.hasher.made
    for email in (ANA, "bob@example.com"):
        scene.identity.resend_otp(email, ORIGIN)
    assert scene.hasher.made - made == 2
    assert len(scene.outbox.messages) == 1
    assert scene.actions()[-2:] == ["SEND_OTP_REFUSED"] * 2
