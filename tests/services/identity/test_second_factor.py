"""Second factor: enrolment, login, recovery and removal."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from typing import Any
from unittest import mock

import pytest
from attrs import define, evolve, field
from pyotp.totp import TOTP

from tests.services.accounts import PASSWORD, AccountFixture, make_accounts
from tests.services.registration import CLIENT
from workbell.adapters.crypto.totp import PyotpTotp
from workbell.adapters.rate_limits.memory import MemoryRateLimiter
from workbell.domain.errors import Conflict, Invalid, NotAllowed, NotFound, Unauthenticated
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.identity.second_factor import (
    RECOVERY_CODES,
    STEP,
    FactorKeys,
    SecondFactor,
    SecondFactorPolicy,
    SecondFactorRequired,
    WrongSecondFactor,
    base32_secret,
)
from workbell.domain.identity.session import SessionKind
from workbell.domain.identity.user import KeyScope, UserId, WrongCredentials
from workbell.domain.rate_limits.policy import Policies, RateLimited
from workbell.services.rate_limits import RateLimiting

pytestmark = pytest.mark.unit

KEYS = FactorKeys.of([b"k" * 32])
UNLIMITED = Policies.of(anonymous=None, user=None, login=None, ingest=None, free=None, premium=None)


@define
class FixedRandomness:
    """Random numbers that are the same in every run."""

    _random: Random = field(factory=lambda: Random(7))

    def randbelow(self, bound: int) -> int:
        return self._random.randrange(bound)

    def uniform(self, low: float, high: float) -> float:
        return low


def make_fixture(
    policy: SecondFactorPolicy = SecondFactorPolicy.NONE, **more: Any
) -> AccountFixture:
    return make_accounts(
        "ana",
        "bob",
        chance=FixedRandomness(),
        factor_keys=KEYS,
        second_factor_policy=policy,
        **more,
    )


@pytest.fixture
def accounts() -> AccountFixture:
    return make_fixture()


@pytest.fixture
def limited() -> AccountFixture:
    """Return account fixtures where failures are counted."""
    accounts = make_fixture()
    rate_limits = RateLimiting(
        store=accounts.store, limiter=MemoryRateLimiter(), clock=accounts.clock, policies=UNLIMITED
    )
    login_service = evolve(accounts.login_service, rate_limits=rate_limits)
    services = type(accounts.services).of(accounts.identity, login_service)
    return evolve(accounts, login_service=login_service, services=services)


def factor(accounts: AccountFixture, name: str = "ana") -> SecondFactor | None:
    with accounts.store.view() as tx:
        return tx.second_factors.find(accounts.user(name).id)


def code(accounts: AccountFixture, name: str = "ana", steps: int = 0) -> str:
    """Return the code that a device shows now, or some steps later."""
    stored = factor(accounts, name)
    assert stored is not None
    secret = KEYS.secret(stored)
    assert secret is not None
    return TOTP(base32_secret(secret)).at(accounts.clock.at, counter_offset=steps)


def enrolled(accounts: AccountFixture, name: str = "ana") -> Sequence[str]:
    """Enrol a user; return the recovery codes and advance by one time step."""
    actor = accounts.actor(accounts.login(name))
    accounts.services.second_factor.begin(actor, PASSWORD)
    recovery = accounts.services.second_factor.confirm(actor, code(accounts, name))
    accounts.clock.wait(STEP)
    return recovery


def signed_in(accounts: AccountFixture, typed: str, name: str = "ana") -> Actor:
    return accounts.actor(accounts.login_service.login(name, PASSWORD, CLIENT, code=typed))


def reasons(accounts: AccountFixture) -> list[Any]:
    return [one.changes["reason"][1] for one in accounts.audit() if one.action == "LOGIN_FAILED"]


# enrolling


def test_logins_without_a_code_are_not_counted_as_failures(limited: AccountFixture) -> None:
    enrolled(limited)
    for _ in range(30):
        with pytest.raises(SecondFactorRequired):
            limited.login()
    assert signed_in(limited, code(limited)).username == "ana"


def test_a_second_factor_is_active_after_its_first_code(accounts: AccountFixture) -> None:
    ana, own = accounts.ana(), accounts.services.second_factor
    secret = own.begin(ana, PASSWORD)
    assert secret.text in secret.uri
    assert secret.text not in repr(secret)
    assert accounts.login().user.username == "ana"
    assert own.state(ana).since is None
    recovery = own.confirm(ana, code(accounts))
    assert len(set(recovery)) == RECOVERY_CODES
    state = own.state(ana)
    assert (state.since, state.recovery_codes_left) == (accounts.clock.at, RECOVERY_CODES)
    assert not state.is_required
    with pytest.raises(SecondFactorRequired):
        accounts.login()
    assert accounts.actions()[-3:] == ["LOGIN", "SECOND_FACTOR_ADD", "LOGIN_FAILED"]
    assert "SECOND_FACTOR_BEGIN" in accounts.actions()
    assert "was added" in accounts.outbox.messages[-1].text


def test_confirming_revokes_all_other_sessions(accounts: AccountFixture) -> None:
    other, signed = accounts.login(), accounts.login()
    own, actor = accounts.services.second_factor, accounts.actor(signed)
    own.begin(actor, PASSWORD)
    own.confirm(actor, code(accounts))
    with pytest.raises(Unauthenticated):
        accounts.actor(other)
    assert accounts.actor(signed) == actor


def test_a_wrong_first_code_confirms_nothing(accounts: AccountFixture) -> None:
    ana, own = accounts.ana(), accounts.services.second_factor
    with pytest.raises(Conflict):
        own.confirm(ana, "123456")
    own.begin(ana, PASSWORD)
    with pytest.raises(Invalid) as caught:
        own.confirm(ana, code(accounts, steps=9))
    assert "code" in caught.value.field_errors
    assert accounts.actions()[-1] == "SECOND_FACTOR_FAILED"
    assert own.state(ana).since is None
    assert own.confirm(ana, code(accounts))
    with pytest.raises(Conflict):
        own.confirm(ana, code(accounts, steps=1))


def test_a_second_enrolment_replaces_the_unconfirmed_secret(accounts: AccountFixture) -> None:
    ana, own = accounts.ana(), accounts.services.second_factor
    own.begin(ana, PASSWORD)
    first = code(accounts)
    own.begin(ana, PASSWORD)
    with pytest.raises(Invalid):
        own.confirm(ana, first)


def test_enrolment_requires_the_password_and_no_existing_factor(accounts: AccountFixture) -> None:
    ana, own = accounts.ana(), accounts.services.second_factor
    with pytest.raises(Invalid):
        own.begin(ana, "wrong")
    assert accounts.actions()[-1] == "PASSWORD_PROOF_FAILED"
    enrolled(accounts)
    with pytest.raises(Conflict):
        own.begin(ana, PASSWORD)


def test_a_second_factor_confirmed_since_is_not_replaced(accounts: AccountFixture) -> None:
    ana, own = accounts.ana(), accounts.services.second_factor
    accounts.hasher.during_hash.append(lambda: enrolled(accounts))
    with pytest.raises(Conflict):
        own.begin(ana, PASSWORD)
    signed_in(accounts, code(accounts))


def test_a_key_cannot_manage_a_second_factor(accounts: AccountFixture) -> None:
    own, key = (
        accounts.services.second_factor,
        evolve(accounts.ana(), key_scopes=frozenset(KeyScope)),
    )
    requests: Sequence[Callable[[], object]] = (
        lambda: own.state(key),
        lambda: own.begin(key, PASSWORD),
        lambda: own.confirm(key, "1"),
        lambda: own.renew(key, PASSWORD, "1"),
        lambda: own.remove(key, PASSWORD, "1"),
    )
    for request in requests:
        with pytest.raises(NotAllowed):
            request()


# login


def test_every_kind_of_login_requires_the_second_factor(accounts: AccountFixture) -> None:
    enrolled(accounts)
    with pytest.raises(SecondFactorRequired):
        accounts.login_service.login("ana", PASSWORD, CLIENT)
    for kind in (SessionKind.OPAQUE, SessionKind.BROWSER):
        with pytest.raises(SecondFactorRequired):
            accounts.login_service.login_opaque("ana", PASSWORD, CLIENT, kind=kind)
        with pytest.raises(WrongSecondFactor):
            accounts.login_service.login_opaque("ana", PASSWORD, CLIENT, kind=kind, code="123456")
    accounts.login_service.login_opaque("ana", PASSWORD, CLIENT, code=code(accounts))
    accounts.clock.wait(STEP)
    assert signed_in(accounts, code(accounts)).username == "ana"
    assert reasons(accounts) == ["second_factor_required"], "the others are of the same flood"
    assert "SECOND_FACTOR_FAILED" in accounts.actions()
    accounts.login("bob")


def test_a_wrong_password_does_not_reveal_the_second_factor(accounts: AccountFixture) -> None:
    enrolled(accounts)
    for typed in ("", "123456", code(accounts)):
        with pytest.raises(WrongCredentials) as caught:
            accounts.login_service.login("ana", "wrong", CLIENT, code=typed)
        assert caught.value.code == "wrong_credentials"
    signed_in(accounts, code(accounts))  # the code was not consumed


def test_a_code_logs_in_once(accounts: AccountFixture) -> None:
    enrolled(accounts)
    typed = code(accounts)
    signed_in(accounts, typed)
    for _ in range(2):
        with pytest.raises(WrongSecondFactor):
            signed_in(accounts, typed)


def test_of_parallel_logins_with_one_code_one_is_accepted(accounts: AccountFixture) -> None:
    recovery = enrolled(accounts)
    for typed in (code(accounts), recovery[0]):

        def works(_: int, typed: str = typed) -> bool:
            try:
                signed_in(accounts, typed)
            except WrongSecondFactor:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(works, range(8))) == 1


def test_a_recovery_code_logs_in_once_and_is_audited(accounts: AccountFixture) -> None:
    recovery = enrolled(accounts)
    ana = signed_in(accounts, recovery[0].upper())
    assert accounts.services.second_factor.state(ana).recovery_codes_left == RECOVERY_CODES - 1
    [used] = [one for one in accounts.audit() if one.action == "RECOVERY_CODE_USED"]
    assert used.changes == {"recovery_codes_left": [10, 9]}
    assert (used.object_id, used.address) == (str(ana.user_id), CLIENT.address)
    with pytest.raises(WrongSecondFactor):
        signed_in(accounts, recovery[0])
    signed_in(accounts, recovery[1])


def test_no_code_is_in_the_audit_trail(accounts: AccountFixture) -> None:
    recovery = enrolled(accounts)
    with pytest.raises(WrongSecondFactor):
        signed_in(accounts, "987654")
    signed_in(accounts, recovery[0])
    typed = code(accounts)
    signed_in(accounts, typed)
    stored = factor(accounts)
    assert stored is not None
    text = repr(accounts.audit())
    assert not [one for one in ("987654", typed, stored.seed, *recovery) if one in text]


def test_refreshing_requires_no_code(accounts: AccountFixture) -> None:
    enrolled(accounts)
    session = accounts.login_service.login("ana", PASSWORD, CLIENT, code=code(accounts))
    assert accounts.login_service.refresh(session.refresh, CLIENT).access


def test_api_keys_work_without_the_second_factor() -> None:
    """Even if the user must still enrol, so that programs keep working."""
    accounts = make_fixture(SecondFactorPolicy.EVERYONE)
    ana = accounts.ana()
    key = accounts.services.api_keys.create(evolve(ana, must_enrol=False), "one", [KeyScope.READ])
    assert not accounts.login_service.authenticate(key.text).must_enrol
    enrolled(accounts)
    assert accounts.login_service.authenticate(key.text).user_id == ana.user_id


def test_a_password_reset_neither_bypasses_nor_removes_the_factor(
    accounts: AccountFixture,
) -> None:
    enrolled(accounts)
    accounts.services.passwords.request_reset("ana@example.com", CLIENT)
    mailed = accounts.outbox.code()
    accounts.services.passwords.reset("ana@example.com", mailed, "another good one", CLIENT)
    with pytest.raises(SecondFactorRequired):
        accounts.login_service.login("ana", "another good one", CLIENT)
    with pytest.raises(WrongSecondFactor):
        accounts.login_service.login("ana", "another good one", CLIENT, code=mailed)
    accounts.login_service.login("ana", "another good one", CLIENT, code=code(accounts))


def test_a_login_in_progress_while_the_factor_is_added_is_refused(accounts: AccountFixture) -> None:
    """A session without the factor would outlive the revoked ones."""
    seen = accounts.user("ana")
    seed = accounts.login_service.factor_check.verify(seen, "", CLIENT)
    assert seed == ""
    enrolled(accounts)
    with accounts.store.begin() as tx, pytest.raises(WrongCredentials):
        accounts.login_service.factor_check.check_unchanged(tx, seen, seed)


def test_codes_allow_twenty_guesses_a_day(limited: AccountFixture) -> None:
    recovery = enrolled(limited)
    for _ in range(20):
        with pytest.raises(WrongSecondFactor):
            signed_in(limited, "000000")
    with pytest.raises(RateLimited):
        signed_in(limited, code(limited))
    signed_in(limited, recovery[0])  # its owner is not locked out
    limited.clock.at += timedelta(days=1)
    signed_in(limited, code(limited))


def test_right_codes_are_not_counted(limited: AccountFixture) -> None:
    enrolled(limited)
    for _ in range(25):
        assert signed_in(limited, code(limited)).username == "ana"
        limited.clock.wait(STEP)


def test_guesses_within_a_session_are_counted(limited: AccountFixture) -> None:
    enrolled(limited)
    ana = signed_in(limited, code(limited))
    for _ in range(20):
        with pytest.raises(Invalid):
            limited.services.second_factor.remove(ana, PASSWORD, "000000")
    limited.clock.wait(STEP)
    with pytest.raises(RateLimited):
        limited.services.second_factor.remove(ana, PASSWORD, code(limited))


# renewing, removing


def test_new_recovery_codes_require_password_and_code(accounts: AccountFixture) -> None:
    recovery, own = enrolled(accounts), accounts.services.second_factor
    ana = signed_in(accounts, recovery[0])
    with pytest.raises(Invalid):
        own.renew(ana, "wrong", code(accounts))
    with pytest.raises(Invalid) as caught:
        own.renew(ana, PASSWORD, "123456")
    assert "code" in caught.value.field_errors
    assert accounts.actions()[-1] == "SECOND_FACTOR_FAILED"
    new = own.renew(ana, PASSWORD, code(accounts))
    assert accounts.actions()[-1] == "RECOVERY_CODES_RENEW"
    assert "new recovery codes" in accounts.outbox.messages[-1].text
    with pytest.raises(WrongSecondFactor):
        signed_in(accounts, recovery[1])
    signed_in(accounts, new[1])


def test_removal_requires_password_and_code_and_revokes_other_sessions(
    accounts: AccountFixture,
) -> None:
    recovery, own = enrolled(accounts), accounts.services.second_factor
    ana, other = signed_in(accounts, recovery[0]), signed_in(accounts, recovery[1])
    for password, typed in (("wrong", code(accounts)), (PASSWORD, "123456"), (PASSWORD, "")):
        with pytest.raises(Invalid):
            own.remove(ana, password, typed)
    own.remove(ana, PASSWORD, code(accounts))
    assert factor(accounts) is None
    accounts.login()
    assert accounts.session(other.session_id).revoked_at is not None
    assert accounts.session(ana.session_id).revoked_at is None
    assert "SECOND_FACTOR_REMOVE" in accounts.actions()
    assert "was removed" in accounts.outbox.messages[-1].text


def test_without_a_factor_renewal_and_removal_are_refused(accounts: AccountFixture) -> None:
    ana, own = accounts.ana(), accounts.services.second_factor
    own.begin(ana, PASSWORD)
    with pytest.raises(Conflict):
        own.renew(ana, PASSWORD, "123456")
    with pytest.raises(Conflict):
        own.remove(ana, PASSWORD, "")


def test_a_factor_removed_since_is_not_renewed(accounts: AccountFixture) -> None:
    recovery, own = enrolled(accounts), accounts.services.second_factor
    ana = signed_in(accounts, recovery[0])
    removals = [lambda: accounts.services.users.remove_second_factor(SYSTEM, ana.user_id)]
    accounts.hasher.during_hash.extend(removals)
    with pytest.raises(Invalid):
        own.renew(ana, PASSWORD, code(accounts))
    with pytest.raises(Conflict):
        own._store_recovery_codes(ana, accounts.user("ana"), recovery)


# lost second factors


def test_a_superuser_removes_a_lost_second_factor(accounts: AccountFixture) -> None:
    accounts.join("root", is_super_user=True)
    root, people = accounts.actor(accounts.login("root")), accounts.services.users
    recovery = enrolled(accounts)
    ana = signed_in(accounts, recovery[0])
    assert people.remove_second_factor(root, ana.user_id)
    assert accounts.session(ana.session_id).revoked_at is not None
    last = accounts.audit()[-1]
    assert (last.action, last.user_id, last.object_id) == (
        "SECOND_FACTOR_REMOVE", root.user_id, str(ana.user_id),
    )  # fmt: skip
    assert "by an administrator" in accounts.outbox.messages[-1].text
    accounts.login()
    assert not people.remove_second_factor(root, ana.user_id)


def test_only_superusers_remove_factors_of_other_users(accounts: AccountFixture) -> None:
    accounts.join("root", is_super_user=True)
    root, people = accounts.actor(accounts.login("root")), accounts.services.users
    enrolled(accounts, "bob")
    with pytest.raises(NotAllowed):
        people.remove_second_factor(accounts.ana(), accounts.user("bob").id)
    with pytest.raises(Conflict):
        people.remove_second_factor(root, root.user_id)
    with pytest.raises(NotFound):
        people.remove_second_factor(root, UserId(99))
    assert factor(accounts, "bob") is not None


# policy


@pytest.mark.parametrize("policy", SecondFactorPolicy)
def test_an_actor_that_must_enrol_is_marked(policy: SecondFactorPolicy) -> None:
    accounts = make_fixture(policy)
    accounts.join("root", is_super_user=True)
    for name, bound in (
        ("ana", policy is SecondFactorPolicy.EVERYONE),
        ("root", policy is not SecondFactorPolicy.NONE),
    ):
        actor = accounts.actor(accounts.login(name))
        assert actor.must_enrol is bound
        opened = accounts.login_service.login_opaque(name, PASSWORD, CLIENT)
        assert accounts.login_service.authenticate(opened.token.text).must_enrol is bound
        assert accounts.services.second_factor.state(actor).is_required is bound
        enrolled(accounts, name)
        assert not signed_in(accounts, code(accounts, name), name).must_enrol


def test_enrolment_takes_effect_at_once() -> None:
    """In the same process: the cached actor is evicted."""
    accounts = make_fixture(SecondFactorPolicy.EVERYONE)
    session, own = accounts.login(), accounts.services.second_factor
    assert accounts.actor(session).must_enrol
    own.begin(accounts.actor(session), PASSWORD)
    assert accounts.actor(session).must_enrol
    own.confirm(accounts.actor(session), code(accounts))
    assert not accounts.actor(session).must_enrol


def test_a_code_may_be_typed_with_spaces_and_hyphens(accounts: AccountFixture) -> None:
    enrolled(accounts)
    stored, now, typed = factor(accounts), accounts.clock.at, code(accounts)
    assert stored is not None
    step = int(now.timestamp()) // STEP
    for spelled in (typed, f" {typed[:3]} {typed[3:]}", f"{typed[:3]}-{typed[3:]}"):
        assert accounts.login_service.factor_check.find_step(stored, spelled, now) == step


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "abcdef", "٣٣٣٣٣٣", "\ud800", "-" * 24])
def test_what_does_not_look_like_a_code_is_never_compared(
    accounts: AccountFixture, typed: str
) -> None:
    enrolled(accounts)
    stored = factor(accounts)
    assert stored is not None
    with mock.patch.object(PyotpTotp, "find_step") as compared:
        assert (
            accounts.login_service.factor_check.find_step(stored, typed, accounts.clock.at) is None
        )
    compared.assert_not_called()


def test_without_the_key_only_recovery_codes_are_valid(accounts: AccountFixture) -> None:
    recovery = enrolled(accounts)
    login_service = evolve(accounts.login_service, factor_keys=FactorKeys.of([b"l" * 32]))
    other = evolve(accounts, login_service=login_service)
    with pytest.raises(WrongSecondFactor):
        signed_in(other, code(accounts))
    assert signed_in(other, recovery[0]).user_id == accounts.user("ana").id
    rotated = evolve(accounts.login_service, factor_keys=FactorKeys.of([b"l" * 32, b"k" * 32]))
    assert signed_in(evolve(accounts, login_service=rotated), code(accounts)).user_id
