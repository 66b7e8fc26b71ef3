"""Password changes and resets."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.services.accounts import PASSWORD, AccountFixture, make_accounts
from tests.services.registration import CLIENT
from workbell.domain.errors import Invalid, Unauthenticated, Unavailable
from workbell.domain.identity.one_time_code import MAX_WRONG_PER_DAY, WrongCode
from workbell.domain.identity.user import WrongCredentials

pytestmark = pytest.mark.unit

ANA, NEW = "ana@example.com", "another good one"


def test_a_new_password_revokes_all_other_sessions(accounts: AccountFixture) -> None:
    mine, other = accounts.login(), accounts.login()
    accounts.actor(other)
    ana = accounts.actor(mine)
    accounts.services.passwords.change(ana, PASSWORD, NEW, NEW)
    assert accounts.actor(mine).user_id == ana.user_id
    assert accounts.login_service.refresh(mine.refresh).user.username == "ana"
    with pytest.raises(Unauthenticated):
        accounts.actor(other)
    with pytest.raises(WrongCredentials):
        accounts.login()
    accounts.login(password=NEW)
    assert "PASSWORD_CHANGE" in accounts.actions()
    assert accounts.outbox.messages[-1].subject == "Your password was changed"
    assert NEW not in str(accounts.audit()) + str(accounts.outbox.messages)


def test_the_current_password_is_required(accounts: AccountFixture) -> None:
    ana, before = accounts.ana(), len(accounts.hasher.compared)
    with pytest.raises(Invalid) as caught:
        accounts.services.passwords.change(ana, "wrong", NEW)
    assert set(caught.value.field_errors) == {"current_password"}
    assert len(accounts.hasher.compared) == before + 1
    assert accounts.actions()[-1] == "PASSWORD_PROOF_FAILED"
    accounts.login()


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
def test_a_new_password_must_comply_with_the_policy(
    accounts: AccountFixture, new: str, confirm: str | None, fields: set[str]
) -> None:
    with pytest.raises(Invalid) as caught:
        accounts.services.passwords.change(accounts.ana(), PASSWORD, new, confirm)
    assert set(caught.value.field_errors) == fields


def test_of_two_concurrent_changes_one_is_accepted(accounts: AccountFixture) -> None:
    ana = accounts.ana()
    accounts.hasher.during_hash = [lambda: accounts.change("ana", password_hash="hash of other")]
    with pytest.raises(Invalid):
        accounts.services.passwords.change(ana, PASSWORD, NEW)
    assert accounts.user("ana").password_hash == "hash of other"


# resetting


def test_an_emailed_code_sets_the_password_and_revokes_all_sessions(
    accounts: AccountFixture,
) -> None:
    signed_in = accounts.login()
    accounts.actor(signed_in)
    accounts.services.passwords.request_reset(ANA, CLIENT)
    code = accounts.outbox.code()
    accounts.services.passwords.reset(ANA, code, NEW, CLIENT, NEW)
    with pytest.raises(Unauthenticated):
        accounts.actor(signed_in)
    with pytest.raises(Unauthenticated):
        accounts.login_service.refresh(signed_in.refresh)
    assert accounts.login(password=NEW).user.is_email_verified
    assert accounts.actions()[1:4] == ["SEND_RESET", "PASSWORD_RESET", "LOGIN"]
    assert code not in str(accounts.audit())
    with pytest.raises(WrongCode):
        accounts.services.passwords.reset(ANA, code, "yet another one")


def test_unknown_and_inactive_users_get_the_same_response(accounts: AccountFixture) -> None:
    """With the same number of hashes and comparisons, and no email."""
    accounts.change("bob", is_active=False)
    costs = []
    for email in (ANA, "bob@example.com", "nobody@example.com", "", "\0", "no address"):
        hashed, compared = accounts.hasher.hashed, len(accounts.hasher.compared)
        accounts.services.passwords.request_reset(email, CLIENT)
        with pytest.raises(WrongCode):
            accounts.services.passwords.reset(email, "000000", NEW, CLIENT)
        costs.append((accounts.hasher.hashed - hashed, len(accounts.hasher.compared) - compared))
    assert set(costs) == {(1, 1)}
    assert [message.to for message in accounts.outbox.messages] == [ANA]


def test_a_failed_email_is_no_error(accounts: AccountFixture) -> None:
    accounts.outbox.fails_with = Unavailable("no")
    accounts.services.passwords.request_reset(ANA)
    assert accounts.outbox.messages == []


def test_resets_are_mailed_once_a_minute_and_five_times_an_hour(accounts: AccountFixture) -> None:
    for _ in range(3):
        accounts.services.passwords.request_reset(ANA)
    assert len(accounts.outbox.messages) == 1
    for _ in range(9):
        accounts.clock.wait(60)
        accounts.services.passwords.request_reset(ANA)
    assert len(accounts.outbox.messages) == 5


def test_a_code_is_valid_for_one_purpose(accounts: AccountFixture) -> None:
    accounts.services.passwords.request_reset(ANA)
    with pytest.raises(WrongCode):
        accounts.identity.verify_otp(ANA, accounts.outbox.code())
    accounts.identity.resend_otp("bob@example.com")
    with pytest.raises(WrongCode):
        accounts.services.passwords.reset("bob@example.com", accounts.outbox.code(), NEW)


def test_a_refused_password_does_not_consume_the_code(accounts: AccountFixture) -> None:
    accounts.services.passwords.request_reset(ANA)
    code = accounts.outbox.code()
    for new in ("short", ANA):
        with pytest.raises(Invalid):
            accounts.services.passwords.reset(ANA, code, new)
    accounts.change("ana", last_name="Wonderlander")
    with pytest.raises(Invalid):
        accounts.services.passwords.reset(ANA, code, "wonderlander1")
    accounts.services.passwords.reset(ANA, code, NEW)


def test_a_changed_password_invalidates_pending_reset_codes(accounts: AccountFixture) -> None:
    accounts.services.passwords.request_reset(ANA)
    code = accounts.outbox.code()
    accounts.services.passwords.change(accounts.ana(), PASSWORD, NEW)
    with pytest.raises(WrongCode):
        accounts.services.passwords.reset(ANA, code, "yet another one")


def test_a_user_deactivated_since_sets_no_password(accounts: AccountFixture) -> None:
    accounts.services.passwords.request_reset(ANA)
    accounts.hasher.during_hash = [lambda: accounts.change("ana", is_active=False)]
    with pytest.raises(WrongCode):
        accounts.services.passwords.reset(ANA, accounts.outbox.code(), NEW)
    assert accounts.user("ana").password_hash == f"hash of {PASSWORD}"


def test_of_parallel_resets_with_one_code_one_is_accepted(accounts: AccountFixture) -> None:
    accounts.services.passwords.request_reset(ANA)
    code = accounts.outbox.code()

    def attempt(n: int) -> bool:
        try:
            accounts.services.passwords.reset(ANA, code, f"{NEW} {n}")
        except WrongCode:
            return False
        return True

    with ThreadPoolExecutor(5) as pool:
        assert sum(pool.map(attempt, range(5))) == 1


# guessing


def guesses_compared(accounts: AccountFixture, email: str, rounds: int) -> int:
    """Guess as fast as the limits allow; return how many were compared."""
    before = len([password_hash for password_hash in accounts.hasher.compared if password_hash])
    for number in range(rounds):
        accounts.clock.wait(61)
        accounts.services.passwords.request_reset(email)
        for guess in range(6):
            with pytest.raises(WrongCode):
                accounts.services.passwords.reset(email, f"9{number:03}{guess:02}", NEW)
    return (
        len([password_hash for password_hash in accounts.hasher.compared if password_hash]) - before
    )


def test_an_account_allows_twenty_guesses_a_day(accounts: AccountFixture) -> None:
    """However many codes are sent, for any purpose."""
    assert guesses_compared(accounts, ANA, 40) == MAX_WRONG_PER_DAY
    accounts.identity.resend_otp(ANA)
    right = accounts.outbox.code()
    with pytest.raises(WrongCode):
        accounts.identity.verify_otp(ANA, right)
    accounts.clock.wait(25 * 3600)
    accounts.identity.resend_otp(ANA)
    accounts.identity.verify_otp(ANA, accounts.outbox.code())


def test_many_addresses_allow_no_more_guesses() -> None:
    names = [f"user{n}" for n in range(100)]
    accounts = make_accounts(*names)
    for name in names:
        accounts.services.passwords.request_reset(f"{name}@example.com")
    for name in names:
        for guess in range(8):
            with pytest.raises(WrongCode):
                accounts.services.passwords.reset(f"{name}@example.com", f"99999{guess}", NEW)
    assert len(
        [password_hash for password_hash in accounts.hasher.compared if password_hash]
    ) == 5 * len(names)
