"""Changing passwords, and setting forgotten ones anew."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.services.identity_scene import ORIGIN
from tests.services.members_scene import PASSWORD, Stage, a_stage
from workbell.domain.errors import Invalid, Unauthenticated, Unavailable
from workbell.domain.identity.one_time_code import MAX_WRONG_PER_DAY, WrongCode
from workbell.domain.identity.user import WrongCredentials

pytestmark = pytest.mark.unit

ANA, NEW = "ana@example.com", "another good one"


@pytest.fixture
def stage() -> Stage:
    return a_stage("ana", "bob")


def test_a_new_password_ends_all_other_sessions(stage: Stage) -> None:
    mine, other = stage.login(), stage.login()
    stage.actor(other)
    ana = stage.actor(mine)
    stage.members.passwords.change(ana, PASSWORD, NEW, NEW)
    assert stage.actor(mine).user_id == ana.user_id
    assert stage.signing_in.refresh(mine.refresh).user.username == "ana"
    with pytest.raises(Unauthenticated):
        stage.actor(other)
    with pytest.raises(WrongCredentials):
        stage.login()
    stage.login(password=NEW)
    assert "PASSWORD_CHANGE" in stage.actions()
    assert stage.outbox.messages[-1].subject == "Your password was changed"
    assert NEW not in str(stage.audit()) + str(stage.outbox.messages)


def test_the_current_password_is_needed(stage: Stage) -> None:
    ana, before = stage.ana(), len(stage.hasher.compared)
    with pytest.raises(Invalid) as caught:
        stage.members.passwords.change(ana, "wrong", NEW)
    assert set(caught.value.field_errors) == {"current_password"}
    assert len(stage.hasher.compared) == before + 1
    assert stage.actions()[-1] == "PASSWORD_PROOF_FAILED"
    stage.login()


@pytest.mark.parametrize(
    ("new", "confirm", "fields"),
    [
        ("short", None, {"password"}),
        ("12345678901", None, {"password"}),
        ("ana@example.com", None, {"password"}),
        (NEW, "other", {"password_confirm"}),
        ("short", "other", {"password", "password_confirm"}),
    ],
)
def test_a_new_password_goes_by_the_policy(
    stage: Stage, new: str, confirm: str | None, fields: set[str]
) -> None:
    with pytest.raises(Invalid) as caught:
        stage.members.passwords.change(stage.ana(), PASSWORD, new, confirm)
    assert set(caught.value.field_errors) == fields


def test_of_two_changes_at_once_one_counts(stage: Stage) -> None:
    ana = stage.ana()
    stage.hasher.meanwhile = [lambda: stage.change("ana", password_hash="hash of other")]
    with pytest.raises(Invalid):
        stage.members.passwords.change(ana, PASSWORD, NEW)
    assert stage.user("ana").password_hash == "hash of other"


# --------------------------------------------------------------------------------- resetting


def test_a_mailed_code_sets_the_password_and_ends_every_session(stage: Stage) -> None:
    signed_in = stage.login()
    stage.actor(signed_in)
    stage.members.passwords.request_reset(ANA, ORIGIN)
    code = stage.outbox.code()
    stage.members.passwords.reset(ANA, code, NEW, ORIGIN, NEW)
    with pytest.raises(Unauthenticated):
        stage.actor(signed_in)
    with pytest.raises(Unauthenticated):
        stage.signing_in.refresh(signed_in.refresh)
    assert stage.login(password=NEW).user.is_email_verified
    assert stage.actions()[1:4] == ["SEND_RESET", "PASSWORD_RESET", "LOGIN"]
    assert code not in str(stage.audit())
    with pytest.raises(WrongCode):
        stage.members.passwords.reset(ANA, code, "yet another one")


def test_who_is_unknown_or_off_is_answered_alike(stage: Stage) -> None:
    """The same number of hashes and comparisons, and no letter."""
    stage.change("bob", is_active=False)
    costs = []
    for email in (ANA, "bob@example.com", "nobody@example.com", "", "\0", "no address"):
        made, compared = stage.hasher.made, len(stage.hasher.compared)
        stage.members.passwords.request_reset(email, ORIGIN)
        with pytest.raises(WrongCode):
            stage.members.passwords.reset(email, "000000", NEW, ORIGIN)
        costs.append((stage.hasher.made - made, len(stage.hasher.compared) - compared))
    assert set(costs) == {(1, 1)}
    assert [message.to for message in stage.outbox.messages] == [ANA]


def test_mail_that_cannot_be_sent_is_no_error(stage: Stage) -> None:
    stage.outbox.fails_with = Unavailable("no")
    stage.members.passwords.request_reset(ANA)
    assert stage.outbox.messages == []


def test_resets_are_mailed_once_a_minute_and_five_times_an_hour(stage: Stage) -> None:
    for _ in range(3):
        stage.members.passwords.request_reset(ANA)
    assert len(stage.outbox.messages) == 1
    for _ in range(9):
        stage.clock.wait(60)
        stage.members.passwords.request_reset(ANA)
    assert len(stage.outbox.messages) == 5


def test_a_code_serves_one_purpose(stage: Stage) -> None:
    stage.members.passwords.request_reset(ANA)
    with pytest.raises(WrongCode):
        stage.identity.verify_otp(ANA, stage.outbox.code())
    stage.identity.resend_otp("bob@example.com")
    with pytest.raises(WrongCode):
        stage.members.passwords.reset("bob@example.com", stage.outbox.code(), NEW)


def test_a_password_that_does_not_do_costs_no_code(stage: Stage) -> None:
    stage.members.passwords.request_reset(ANA)
    code = stage.outbox.code()
    for new in ("short", ANA):
        with pytest.raises(Invalid):
            stage.members.passwords.reset(ANA, code, new)
    stage.change("ana", last_name="Wonderlander")
    with pytest.raises(Invalid):
        stage.members.passwords.reset(ANA, code, "wonderlander1")
    stage.members.passwords.reset(ANA, code, NEW)


def test_a_changed_password_kills_the_code_that_is_on_its_way(stage: Stage) -> None:
    stage.members.passwords.request_reset(ANA)
    code = stage.outbox.code()
    stage.members.passwords.change(stage.ana(), PASSWORD, NEW)
    with pytest.raises(WrongCode):
        stage.members.passwords.reset(ANA, code, "yet another one")


def test_who_is_switched_off_meanwhile_sets_no_password(stage: Stage) -> None:
    stage.members.passwords.request_reset(ANA)
    stage.hasher.meanwhile = [lambda: stage.change("ana", is_active=False)]
    with pytest.raises(WrongCode):
        stage.members.passwords.reset(ANA, stage.outbox.code(), NEW)
    assert stage.user("ana").password_hash == f"hash of {PASSWORD}"


def test_of_parallel_resets_with_one_code_one_counts(stage: Stage) -> None:
    stage.members.passwords.request_reset(ANA)
    code = stage.outbox.code()

    def attempt(n: int) -> bool:
        try:
            stage.members.passwords.reset(ANA, code, f"{NEW} {n}")
        except WrongCode:
            return False
        return True

    with ThreadPoolExecutor(5) as pool:
        assert sum(pool.map(attempt, range(5))) == 1


# ---------------------------------------------------------------------------------- guessing


def guesses_compared(stage: Stage, email: str, rounds: int) -> int:
    """Guess as fast as the rules allow, and return how many guesses were compared."""
    before = len([kept for kept in stage.hasher.compared if kept])
    for number in range(rounds):
        stage.clock.wait(61)
        stage.members.passwords.request_reset(email)
        for guess in range(6):
            with pytest.raises(WrongCode):
                stage.members.passwords.reset(email, f"9{number:03}{guess:02}", NEW)
    return len([kept for kept in stage.hasher.compared if kept]) - before


def test_an_account_is_guessed_at_twenty_times_a_day(stage: Stage) -> None:
    """However many codes are mailed, and whatever they are for."""
    assert guesses_compared(stage, ANA, 40) == MAX_WRONG_PER_DAY
    stage.identity.resend_otp(ANA)
    right = stage.outbox.code()
    with pytest.raises(WrongCode):
        stage.identity.verify_otp(ANA, right)
    stage.clock.wait(25 * 3600)
    stage.identity.resend_otp(ANA)
    stage.identity.verify_otp(ANA, stage.outbox.code())


def test_a_guesser_gets_no_further_with_many_addresses() -> None:
    names = [f"user{n}" for n in range(100)]
    stage = a_stage(*names)
    for name in names:
        stage.members.passwords.request_reset(f"{name}@example.com")
    for name in names:
        for guess in range(8):
            with pytest.raises(WrongCode):
                stage.members.passwords.reset(f"{name}@example.com", f"99999{guess}", NEW)
    assert len([kept for kept in stage.hasher.compared if kept]) == 5 * len(names)
