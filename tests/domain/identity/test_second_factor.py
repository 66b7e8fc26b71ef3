"""The second factor: codes of RFC 6238, recovery codes, and whom duty binds."""

from base64 import b32decode
from datetime import UTC, datetime, timedelta
from random import Random
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from attrs import evolve

from workbell.domain.identity.second_factor import (
    RECOVERY_CODES,
    STEP,
    Duty,
    FactorKeys,
    SecondFactor,
    as_text,
    as_uri,
    code_at,
    draw_recovery_codes,
)
from workbell.domain.identity.user import User, UserId

pytestmark = pytest.mark.unit

RFC_SECRET = b"12345678901234567890"
KEYS = FactorKeys.of([b"k" * 32])
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
ANA = UserId(1)
RECOVERY = draw_recovery_codes(Random(1).randrange)


def step_of(now: datetime) -> int:
    return int(now.timestamp()) // STEP


def code(factor: SecondFactor, now: datetime = NOON, keys: FactorKeys = KEYS) -> str:
    secret = keys.secret(factor)
    assert secret is not None
    return code_at(secret, step_of(now))


def begun() -> SecondFactor:
    return KEYS.begun(ANA, "ab" * 32, NOON)


def working() -> SecondFactor:
    """Return a factor that was confirmed an hour ago."""
    before = NOON - timedelta(hours=1)
    factor = begun()
    confirmed = factor.confirmed(KEYS, code(factor, before), RECOVERY, before)
    assert confirmed is not None
    return confirmed


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_codes_are_those_of_rfc_6238(seconds: int, expected: str) -> None:
    """Its appendix B has eight digits; six are the last of them."""
    assert code_at(RFC_SECRET, seconds // STEP) == expected[-6:]


def test_codes_are_those_of_rfc_4226() -> None:
    """Appendix D, the first ten counts."""
    expected = [
        "755224",
        "287082",
        "359152",
        "969429",
        "338314",
        "254676",
        "287922",
        "162583",
        "399871",
        "520489",
    ]
    assert [code_at(RFC_SECRET, count) for count in range(10)] == expected


def test_the_secret_is_derived_and_not_kept() -> None:
    factor = begun()
    secret = KEYS.secret(factor)
    assert secret is not None
    assert len(secret) == 20
    assert KEYS.secret(evolve(factor, seed="cd" * 32)) != secret
    assert FactorKeys.of([b"l" * 32]).secret(factor) is None
    kept = repr(factor) + factor.seed + "".join(factor.recovery)
    assert as_text(secret) not in kept
    assert secret.hex() not in kept


def test_a_former_key_goes_on_serving_its_own() -> None:
    factor, rotated = working(), FactorKeys.of([b"new" * 11, b"k" * 32])
    assert factor.used(rotated, code(factor), NOON) is not None
    assert rotated.begun(ANA, "ab" * 32, NOON).key_id != factor.key_id


def test_without_its_key_only_recovery_codes_serve() -> None:
    factor, others = working(), FactorKeys.of([b"l" * 32])
    assert factor.used(others, code(factor), NOON) is None
    assert factor.used(others, RECOVERY[0], NOON) is not None


def test_a_first_code_confirms_it() -> None:
    factor = begun()
    assert not factor.works
    assert factor.confirmed(KEYS, "000000", RECOVERY, NOON) is None
    confirmed = factor.confirmed(KEYS, f" {code(factor)[:3]} {code(factor)[3:]}", RECOVERY, NOON)
    assert confirmed is not None
    assert confirmed.works
    assert len(confirmed.recovery) == RECOVERY_CODES
    assert confirmed.used(KEYS, code(factor), NOON) is None, "it was used by confirming"


@pytest.mark.parametrize(("late", "works"), [(-2, False), (-1, True), (0, True), (1, True),
                                             (2, False)])  # fmt: skip
def test_a_clock_may_be_one_step_off(late: int, works: bool) -> None:
    factor = working()
    typed = code(factor, NOON + timedelta(seconds=late * STEP))
    assert (factor.used(KEYS, typed, NOON) is not None) is works


def test_a_code_works_once_and_kills_those_before_it() -> None:
    factor = working()
    after = factor.used(KEYS, code(factor), NOON)
    assert after is not None
    assert after.last_step == step_of(NOON)
    assert after.used(KEYS, code(factor), NOON) is None
    assert after.used(KEYS, code(factor, NOON - timedelta(seconds=STEP)), NOON) is None
    assert after.used(KEYS, code(factor, NOON + timedelta(seconds=STEP)), NOON) is not None


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "abcdef", "٣٣٣٣٣٣", "\ud800", "-" * 24])
def test_what_is_no_code_is_refused(typed: str) -> None:
    assert working().used(KEYS, typed, NOON) is None


def test_a_recovery_code_works_once_however_it_is_typed() -> None:
    factor = working()
    typed = RECOVERY[3].upper().replace("-", " ").replace("0", "O").replace("1", "l")
    after = factor.used(KEYS, typed, NOON)
    assert after is not None
    assert len(after.recovery) == RECOVERY_CODES - 1
    assert after.last_step == factor.last_step
    assert after.used(KEYS, RECOVERY[3], NOON) is None
    assert after.used(KEYS, RECOVERY[4], NOON) is not None


def test_new_recovery_codes_end_the_earlier_ones() -> None:
    new = draw_recovery_codes(Random(2).randrange)
    factor = working().renewed(new)
    assert factor.used(KEYS, RECOVERY[0], NOON) is None
    assert factor.used(KEYS, new[0], NOON) is not None


def test_recovery_codes_have_120_bits_and_only_their_hashes_are_kept() -> None:
    bounds: list[int] = []

    def below(bound: int) -> int:
        bounds.append(bound)
        return bound - 1

    assert draw_recovery_codes(below)[0] == "zzzzzz-zzzzzz-zzzzzz-zzzzzz"
    assert bounds == [32] * 24 * RECOVERY_CODES
    assert len(set(RECOVERY)) == RECOVERY_CODES
    kept = working().recovery
    assert all(len(one) == 64 and int(one, 16) for one in kept)
    assert len(" ".join(kept)) <= 700


def test_devices_read_the_secret_from_an_address() -> None:
    uri = urlsplit(as_uri(RFC_SECRET, "ana & bob/ü"))
    query = parse_qs(uri.query)
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert unquote(uri.path) == "/Workbell:ana & bob/ü"
    assert b32decode(query["secret"][0]) == RFC_SECRET
    assert query["issuer"] == ["Workbell"]


def test_duty_binds_nobody_or_superusers_or_everyone() -> None:
    ana = User(username="ana", email="ana@example.org", created_at=NOON)
    root = evolve(ana, is_super_user=True)
    assert [(one.binds(ana), one.binds(root)) for one in Duty] == [
        (False, False), (False, True), (True, True),
    ]  # fmt: skip
