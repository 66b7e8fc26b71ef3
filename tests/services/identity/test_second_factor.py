"""The second factor: added, asked for at every way in, used once, lost and removed."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from typing import Any
from unittest import mock

import pytest
from attrs import define, evolve, field
from pyotp.totp import TOTP

from tests.services.identity_scene import ORIGIN
from tests.services.members_scene import PASSWORD, Stage, a_stage
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
class Chance:
    """Random numbers that are the same in every run."""

    _random: Random = field(factory=lambda: Random(7))

    def randbelow(self, bound: int) -> int:
        return self._random.randrange(bound)

    def uniform(self, low: float, high: float) -> float:
        return low


def made(duty: SecondFactorPolicy = SecondFactorPolicy.NONE, **more: Any) -> Stage:
    return a_stage("ana", "bob", chance=Chance(), factor_keys=KEYS, second_factor_duty=duty, **more)


@pytest.fixture
def stage() -> Stage:
    return made()


@pytest.fixture
def limited() -> Stage:
    """Return a stage where failures are counted."""
    stage = made()
    rate_limits = RateLimiting(
        store=stage.store, limiter=MemoryRateLimiter(), clock=stage.clock, policies=UNLIMITED
    )
    signing_in = evolve(stage.signing_in, rate_limits=rate_limits)
    members = type(stage.members).of(stage.identity, signing_in)
    return evolve(stage, signing_in=signing_in, members=members)


def factor(stage: Stage, name: str = "ana") -> SecondFactor | None:
    with stage.store.view() as tx:
        return tx.second_factors.find(stage.user(name).id)


def code(stage: Stage, name: str = "ana", steps: int = 0) -> str:
    """Return the code that a device shows now, or some steps later."""
    kept = factor(stage, name)
    assert kept is not None
    secret = KEYS.secret(kept)
    assert secret is not None
    return TOTP(base32_secret(secret)).at(stage.clock.at, counter_offset=steps)


def enrolled(stage: Stage, name: str = "ana") -> Sequence[str]:
    """Give somebody a second factor; return their recovery codes. A step later, it is unused."""
    actor = stage.actor(stage.login(name))
    stage.members.second_factor.begin(actor, PASSWORD)
    recovery = stage.members.second_factor.confirm(actor, code(stage, name))
    stage.clock.wait(STEP)
    return recovery


def signed_in(stage: Stage, typed: str, name: str = "ana") -> Actor:
    return stage.actor(stage.signing_in.login(name, PASSWORD, ORIGIN, code=typed))


def reasons(stage: Stage) -> list[Any]:
    return [one.changes["reason"][1] for one in stage.audit() if one.action == "LOGIN_FAILED"]


# ----------------------------------------------------------------------------------- enrolling


def test_a_second_factor_counts_once_its_first_code_has_come(stage: Stage) -> None:
    ana, own = stage.ana(), stage.members.second_factor
    secret = own.begin(ana, PASSWORD)
    assert secret.text in secret.uri
    assert secret.text not in repr(secret)
    assert stage.login().user.username == "ana"
    assert own.state(ana).since is None
    recovery = own.confirm(ana, code(stage))
    assert len(set(recovery)) == RECOVERY_CODES
    state = own.state(ana)
    assert (state.since, state.recovery_codes_left) == (stage.clock.at, RECOVERY_CODES)
    assert not state.is_required
    with pytest.raises(SecondFactorRequired):
        stage.login()
    assert stage.actions()[-3:] == ["LOGIN", "SECOND_FACTOR_ADD", "LOGIN_FAILED"]
    assert "SECOND_FACTOR_BEGIN" in stage.actions()
    assert "was added" in stage.outbox.messages[-1].text


def test_confirming_ends_all_other_sessions(stage: Stage) -> None:
    other, signed = stage.login(), stage.login()
    own, actor = stage.members.second_factor, stage.actor(signed)
    own.begin(actor, PASSWORD)
    own.confirm(actor, code(stage))
    with pytest.raises(Unauthenticated):
        stage.actor(other)
    assert stage.actor(signed) == actor


def test_a_wrong_first_code_confirms_nothing(stage: Stage) -> None:
    ana, own = stage.ana(), stage.members.second_factor
    with pytest.raises(Conflict):
        own.confirm(ana, "123456")
    own.begin(ana, PASSWORD)
    with pytest.raises(Invalid) as caught:
        own.confirm(ana, code(stage, steps=9))
    assert "code" in caught.value.field_errors
    assert stage.actions()[-1] == "SECOND_FACTOR_FAILED"
    assert own.state(ana).since is None
    assert own.confirm(ana, code(stage))
    with pytest.raises(Conflict):
        own.confirm(ana, code(stage, steps=1))


def test_beginning_anew_forgets_the_secret_before(stage: Stage) -> None:
    ana, own = stage.ana(), stage.members.second_factor
    own.begin(ana, PASSWORD)
    first = code(stage)
    own.begin(ana, PASSWORD)
    with pytest.raises(Invalid):
        own.confirm(ana, first)


def test_beginning_takes_the_password_and_no_second_one(stage: Stage) -> None:
    ana, own = stage.ana(), stage.members.second_factor
    with pytest.raises(Invalid):
        own.begin(ana, "wrong")
    assert stage.actions()[-1] == "PASSWORD_PROOF_FAILED"
    enrolled(stage)
    with pytest.raises(Conflict):
        own.begin(ana, PASSWORD)


def test_a_second_factor_that_was_confirmed_meanwhile_stays(stage: Stage) -> None:
    ana, own = stage.ana(), stage.members.second_factor
    stage.hasher.meanwhile.append(lambda: enrolled(stage))
    with pytest.raises(Conflict):
        own.begin(ana, PASSWORD)
    signed_in(stage, code(stage))


def test_a_key_never_handles_a_second_factor(stage: Stage) -> None:
    own, key = stage.members.second_factor, evolve(stage.ana(), key_scopes=frozenset(KeyScope))
    asked: Sequence[Callable[[], object]] = (
        lambda: own.state(key),
        lambda: own.begin(key, PASSWORD),
        lambda: own.confirm(key, "1"),
        lambda: own.renew(key, PASSWORD, "1"),
        lambda: own.remove(key, PASSWORD, "1"),
    )
    for ask in asked:
        with pytest.raises(NotAllowed):
            ask()


# ---------------------------------------------------------------------------------- signing in


def test_every_way_in_asks_for_it(stage: Stage) -> None:
    enrolled(stage)
    with pytest.raises(SecondFactorRequired):
        stage.signing_in.login("ana", PASSWORD, ORIGIN)
    for kind in (SessionKind.OPAQUE, SessionKind.BROWSER):
        with pytest.raises(SecondFactorRequired):
            stage.signing_in.login_opaque("ana", PASSWORD, ORIGIN, kind=kind)
        with pytest.raises(WrongSecondFactor):
            stage.signing_in.login_opaque("ana", PASSWORD, ORIGIN, kind=kind, code="123456")
    stage.signing_in.login_opaque("ana", PASSWORD, ORIGIN, code=code(stage))
    stage.clock.wait(STEP)
    assert signed_in(stage, code(stage)).username == "ana"
    assert reasons(stage) == ["second_factor_required"], "the others are of the same flood"
    assert "SECOND_FACTOR_FAILED" in stage.actions()
    stage.login("bob")


def test_who_has_not_the_password_learns_nothing_of_it(stage: Stage) -> None:
    enrolled(stage)
    for typed in ("", "123456", code(stage)):
        with pytest.raises(WrongCredentials) as caught:
            stage.signing_in.login("ana", "wrong", ORIGIN, code=typed)
        assert caught.value.code == "wrong_credentials"
    signed_in(stage, code(stage))  # the code was not used up


def test_a_code_signs_in_once(stage: Stage) -> None:
    enrolled(stage)
    typed = code(stage)
    signed_in(stage, typed)
    for _ in range(2):
        with pytest.raises(WrongSecondFactor):
            signed_in(stage, typed)


def test_of_parallel_logins_with_one_code_one_counts(stage: Stage) -> None:
    recovery = enrolled(stage)
    for typed in (code(stage), recovery[0]):

        def works(_: int, typed: str = typed) -> bool:
            try:
                signed_in(stage, typed)
            except WrongSecondFactor:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(works, range(8))) == 1


def test_a_recovery_code_signs_in_once_and_is_remembered(stage: Stage) -> None:
    recovery = enrolled(stage)
    ana = signed_in(stage, recovery[0].upper())
    assert stage.members.second_factor.state(ana).recovery_codes_left == RECOVERY_CODES - 1
    [used] = [one for one in stage.audit() if one.action == "RECOVERY_CODE_USED"]
    assert used.changes == {"recovery_codes_left": [10, 9]}
    assert (used.object_id, used.address) == (str(ana.user_id), ORIGIN.address)
    with pytest.raises(WrongSecondFactor):
        signed_in(stage, recovery[0])
    signed_in(stage, recovery[1])


def test_no_code_stands_in_the_trail(stage: Stage) -> None:
    recovery = enrolled(stage)
    with pytest.raises(WrongSecondFactor):
        signed_in(stage, "987654")
    signed_in(stage, recovery[0])
    typed = code(stage)
    signed_in(stage, typed)
    kept = factor(stage)
    assert kept is not None
    text = repr(stage.audit())
    assert not [one for one in ("987654", typed, kept.seed, *recovery) if one in text]


def test_refreshing_asks_for_no_code(stage: Stage) -> None:
    enrolled(stage)
    session = stage.signing_in.login("ana", PASSWORD, ORIGIN, code=code(stage))
    assert stage.signing_in.refresh(session.refresh, ORIGIN).access


def test_a_key_goes_on_working_beside_it() -> None:
    """So that programs run, even of who must have a second factor and has none yet."""
    stage = made(SecondFactorPolicy.EVERYONE)
    ana = stage.ana()
    key = stage.members.api_keys.create(evolve(ana, must_enrol=False), "one", [KeyScope.READ])
    assert not stage.signing_in.authenticate(key.text).must_enrol
    enrolled(stage)
    assert stage.signing_in.authenticate(key.text).user_id == ana.user_id


def test_a_reset_password_neither_gets_around_it_nor_takes_it_away(stage: Stage) -> None:
    enrolled(stage)
    stage.members.passwords.request_reset("ana@example.com", ORIGIN)
    mailed = stage.outbox.code()
    stage.members.passwords.reset("ana@example.com", mailed, "another good one", ORIGIN)
    with pytest.raises(SecondFactorRequired):
        stage.signing_in.login("ana", "another good one", ORIGIN)
    with pytest.raises(WrongSecondFactor):
        stage.signing_in.login("ana", "another good one", ORIGIN, code=mailed)
    stage.signing_in.login("ana", "another good one", ORIGIN, code=code(stage))


def test_who_was_on_the_way_in_when_it_was_added_is_refused(stage: Stage) -> None:
    """A session that slipped in without it would outlive the others."""
    seen = stage.user("ana")
    seed = stage.signing_in.gate.verify(seen, "", ORIGIN)
    assert seed == ""
    enrolled(stage)
    with stage.store.begin() as tx, pytest.raises(WrongCredentials):
        stage.signing_in.gate.check_unchanged(tx, seen, seed)


def test_codes_are_guessed_at_twenty_times_a_day(limited: Stage) -> None:
    recovery = enrolled(limited)
    for _ in range(20):
        with pytest.raises(WrongSecondFactor):
            signed_in(limited, "000000")
    with pytest.raises(RateLimited):
        signed_in(limited, code(limited))
    signed_in(limited, recovery[0])  # its owner is not shut out
    limited.clock.at += timedelta(days=1)
    signed_in(limited, code(limited))


def test_right_codes_are_not_counted(limited: Stage) -> None:
    enrolled(limited)
    for _ in range(25):
        signed_in(limited, code(limited))
        limited.clock.wait(STEP)


def test_guessing_within_a_session_counts_as_well(limited: Stage) -> None:
    enrolled(limited)
    ana = signed_in(limited, code(limited))
    for _ in range(20):
        with pytest.raises(Invalid):
            limited.members.second_factor.remove(ana, PASSWORD, "000000")
    limited.clock.wait(STEP)
    with pytest.raises(RateLimited):
        limited.members.second_factor.remove(ana, PASSWORD, code(limited))


# -------------------------------------------------------------------------- renewing, removing


def test_new_recovery_codes_take_password_and_code(stage: Stage) -> None:
    recovery, own = enrolled(stage), stage.members.second_factor
    ana = signed_in(stage, recovery[0])
    with pytest.raises(Invalid):
        own.renew(ana, "wrong", code(stage))
    with pytest.raises(Invalid) as caught:
        own.renew(ana, PASSWORD, "123456")
    assert "code" in caught.value.field_errors
    assert stage.actions()[-1] == "SECOND_FACTOR_FAILED"
    new = own.renew(ana, PASSWORD, code(stage))
    assert stage.actions()[-1] == "RECOVERY_CODES_RENEW"
    assert "new recovery codes" in stage.outbox.messages[-1].text
    with pytest.raises(WrongSecondFactor):
        signed_in(stage, recovery[1])
    signed_in(stage, new[1])


def test_removing_takes_password_and_code_and_ends_other_sessions(stage: Stage) -> None:
    recovery, own = enrolled(stage), stage.members.second_factor
    ana, other = signed_in(stage, recovery[0]), signed_in(stage, recovery[1])
    for password, typed in (("wrong", code(stage)), (PASSWORD, "123456"), (PASSWORD, "")):
        with pytest.raises(Invalid):
            own.remove(ana, password, typed)
    own.remove(ana, PASSWORD, code(stage))
    assert factor(stage) is None
    stage.login()
    assert stage.session(other.session_id).revoked_at is not None
    assert stage.session(ana.session_id).revoked_at is None
    assert "SECOND_FACTOR_REMOVE" in stage.actions()
    assert "was removed" in stage.outbox.messages[-1].text


def test_where_there_is_none_there_is_nothing_to_renew_or_remove(stage: Stage) -> None:
    ana, own = stage.ana(), stage.members.second_factor
    own.begin(ana, PASSWORD)
    with pytest.raises(Conflict):
        own.renew(ana, PASSWORD, "123456")
    with pytest.raises(Conflict):
        own.remove(ana, PASSWORD, "")


def test_what_was_removed_meanwhile_is_not_renewed(stage: Stage) -> None:
    recovery, own = enrolled(stage), stage.members.second_factor
    ana = signed_in(stage, recovery[0])
    gone = [lambda: stage.members.people.remove_second_factor(SYSTEM, ana.user_id)]
    stage.hasher.meanwhile.extend(gone)
    with pytest.raises(Invalid):
        own.renew(ana, PASSWORD, code(stage))
    with pytest.raises(Conflict):
        own._store_recovery_codes(ana, stage.user("ana"), recovery)


# --------------------------------------------------------------------------------- who lost it


def test_a_superuser_removes_a_lost_one(stage: Stage) -> None:
    stage.join("root", is_super_user=True)
    root, people = stage.actor(stage.login("root")), stage.members.people
    recovery = enrolled(stage)
    ana = signed_in(stage, recovery[0])
    assert people.remove_second_factor(root, ana.user_id)
    assert stage.session(ana.session_id).revoked_at is not None
    last = stage.audit()[-1]
    assert (last.action, last.user_id, last.object_id) == (
        "SECOND_FACTOR_REMOVE", root.user_id, str(ana.user_id),
    )  # fmt: skip
    assert "by an administrator" in stage.outbox.messages[-1].text
    stage.login()
    assert not people.remove_second_factor(root, ana.user_id)


def test_nobody_else_does_and_nobody_their_own_that_way(stage: Stage) -> None:
    stage.join("root", is_super_user=True)
    root, people = stage.actor(stage.login("root")), stage.members.people
    enrolled(stage, "bob")
    with pytest.raises(NotAllowed):
        people.remove_second_factor(stage.ana(), stage.user("bob").id)
    with pytest.raises(Conflict):
        people.remove_second_factor(root, root.user_id)
    with pytest.raises(NotFound):
        people.remove_second_factor(root, UserId(99))
    assert factor(stage, "bob") is not None


# ---------------------------------------------------------------------------------------- duty


@pytest.mark.parametrize("duty", SecondFactorPolicy)
def test_who_must_have_one_and_has_none_is_known_as_that(duty: SecondFactorPolicy) -> None:
    stage = made(duty)
    stage.join("root", is_super_user=True)
    for name, bound in (
        ("ana", duty is SecondFactorPolicy.EVERYONE),
        ("root", duty is not SecondFactorPolicy.NONE),
    ):
        actor = stage.actor(stage.login(name))
        assert actor.must_enrol is bound
        opened = stage.signing_in.login_opaque(name, PASSWORD, ORIGIN)
        assert stage.signing_in.authenticate(opened.token.text).must_enrol is bound
        assert stage.members.second_factor.state(actor).is_required is bound
        enrolled(stage, name)
        assert not signed_in(stage, code(stage, name), name).must_enrol


def test_adding_one_counts_at_once() -> None:
    """In the process where it was added: what was known a moment before is forgotten."""
    stage = made(SecondFactorPolicy.EVERYONE)
    session, own = stage.login(), stage.members.second_factor
    assert stage.actor(session).must_enrol
    own.begin(stage.actor(session), PASSWORD)
    assert stage.actor(session).must_enrol
    own.confirm(stage.actor(session), code(stage))
    assert not stage.actor(session).must_enrol


def test_a_code_may_be_typed_with_spaces_and_hyphens(stage: Stage) -> None:
    enrolled(stage)
    kept, now, typed = factor(stage), stage.clock.at, code(stage)
    assert kept is not None
    step = int(now.timestamp()) // STEP
    for spelled in (typed, f" {typed[:3]} {typed[3:]}", f"{typed[:3]}-{typed[3:]}"):
        assert stage.signing_in.gate.find_step(kept, spelled, now) == step


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "abcdef", "٣٣٣٣٣٣", "\ud800", "-" * 24])
def test_what_does_not_look_like_a_code_is_never_compared(stage: Stage, typed: str) -> None:
    enrolled(stage)
    kept = factor(stage)
    assert kept is not None
    with mock.patch.object(PyotpTotp, "find_step") as compared:
        assert stage.signing_in.gate.find_step(kept, typed, stage.clock.at) is None
    compared.assert_not_called()


def test_without_its_key_only_recovery_codes_serve(stage: Stage) -> None:
    recovery = enrolled(stage)
    signing_in = evolve(stage.signing_in, factor_keys=FactorKeys.of([b"l" * 32]))
    other = evolve(stage, signing_in=signing_in)
    with pytest.raises(WrongSecondFactor):
        signed_in(other, code(stage))
    assert signed_in(other, recovery[0]).user_id == stage.user("ana").id
    rotated = evolve(stage.signing_in, factor_keys=FactorKeys.of([b"l" * 32, b"k" * 32]))
    assert signed_in(evolve(stage, signing_in=rotated), code(stage)).user_id
