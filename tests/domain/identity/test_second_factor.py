"""Second factor: each-time use of steps and recovery codes; the policy."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from attrs import evolve

from workbell.domain.identity.second_factor import (
    RECOVERY_CODES,
    STEP,
    FactorKeys,
    SecondFactor,
    SecondFactorPolicy,
    base32_secret,
    generate_recovery_codes,
)
from workbell.domain.identity.user import User, UserId

pytestmark = pytest.mark.unit

KEYS = FactorKeys.of([b"k" * 32])
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
ANA = UserId(1)
RECOVERY = generate_recovery_codes(Random(1).randrange)


NOON_STEP = int(NOON.timestamp()) // STEP


def unconfirmed_factor() -> SecondFactor:
    return KEYS.enrol(ANA, "ab" * 32, NOON)


def confirmed_factor() -> SecondFactor:
    """Return a factor that was confirmed an hour ago."""
    before = NOON - timedelta(hours=1)
    confirmed = unconfirmed_factor().confirm(NOON_STEP - 120, RECOVERY, before)
    assert confirmed is not None
    return confirmed


def test_the_secret_is_derived_and_not_stored() -> None:
    factor = unconfirmed_factor()
    secret = KEYS.secret(factor)
    assert secret is not None
    assert len(secret) == 20
    assert KEYS.secret(evolve(factor, seed="cd" * 32)) != secret
    assert FactorKeys.of([b"l" * 32]).secret(factor) is None
    stored = repr(factor) + factor.seed + "".join(factor.recovery)
    assert base32_secret(secret) not in stored
    assert secret.hex() not in stored


def test_a_former_key_still_derives_its_secrets() -> None:
    factor, rotated = confirmed_factor(), FactorKeys.of([b"new" * 11, b"k" * 32])
    assert rotated.secret(factor) == KEYS.secret(factor)
    assert rotated.enrol(ANA, "ab" * 32, NOON).key_id != factor.key_id


def test_a_first_code_confirms_the_factor() -> None:
    factor = unconfirmed_factor()
    assert not factor.is_confirmed
    assert factor.confirm(None, RECOVERY, NOON) is None
    confirmed = factor.confirm(NOON_STEP, RECOVERY, NOON)
    assert confirmed is not None
    assert confirmed.is_confirmed
    assert len(confirmed.recovery) == RECOVERY_CODES
    assert confirmed.use_step(NOON_STEP) is None, "it was used by confirming"


def test_a_time_step_is_used_once_and_invalidates_earlier_ones() -> None:
    after = confirmed_factor().use_step(NOON_STEP)
    assert after is not None
    assert after.last_step == NOON_STEP
    assert after.use_step(NOON_STEP) is None
    assert after.use_step(NOON_STEP - 1) is None
    assert after.use_step(NOON_STEP + 1) is not None
    assert after.use_step(None) is None


@pytest.mark.parametrize("typed", ["", "123456", "\ud800", "-" * 24])
def test_wrong_recovery_codes_are_rejected(typed: str) -> None:
    assert confirmed_factor().use_recovery_code(typed) is None


def test_a_recovery_code_is_valid_once_in_any_spelling() -> None:
    factor = confirmed_factor()
    typed = RECOVERY[3].upper().replace("-", " ").replace("0", "O").replace("1", "l")
    after = factor.use_recovery_code(typed)
    assert after is not None
    assert len(after.recovery) == RECOVERY_CODES - 1
    assert after.last_step == factor.last_step
    assert after.use_recovery_code(RECOVERY[3]) is None
    assert after.use_recovery_code(RECOVERY[4]) is not None


def test_new_recovery_codes_replace_the_earlier_ones() -> None:
    new = generate_recovery_codes(Random(2).randrange)
    factor = confirmed_factor().with_recovery_codes(new)
    assert factor.use_recovery_code(RECOVERY[0]) is None
    assert factor.use_recovery_code(new[0]) is not None


def test_recovery_codes_have_120_bits_and_are_stored_as_hashes() -> None:
    bounds: list[int] = []

    def below(bound: int) -> int:
        bounds.append(bound)
        return bound - 1

    assert generate_recovery_codes(below)[0] == "zzzzzz-zzzzzz-zzzzzz-zzzzzz"
    assert bounds == [32] * 24 * RECOVERY_CODES
    assert len(set(RECOVERY)) == RECOVERY_CODES
    stored = confirmed_factor().recovery
    assert all(len(each) == 64 and int(each, 16) for each in stored)
    assert len(" ".join(stored)) <= 700


def test_the_policy_applies_to_none_or_superusers_or_everyone() -> None:
    ana = User(username="ana", email="ana@example.org", created_at=NOON)
    root = evolve(ana, is_super_user=True)
    assert [(each.applies_to(ana), each.applies_to(root)) for each in SecondFactorPolicy] == [
        (False, False), (False, True), (True, True),
    ]  # fmt: skip
