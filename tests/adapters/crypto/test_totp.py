"""Time-based codes: test vectors of the RFCs, clock drift, provisioning URI."""

from base64 import b32decode
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from workbell.adapters.crypto.totp import PyotpTotp
from workbell.domain.identity.second_factor import STEP

pytestmark = pytest.mark.unit

RFC_SECRET = b"12345678901234567890"
TOTP = PyotpTotp()


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
    """Appendix B has eight digits; the code is the last six."""
    now = datetime.fromtimestamp(seconds, UTC)
    assert TOTP.find_step(RFC_SECRET, expected[-6:], now) == seconds // STEP


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
    for count, code in enumerate(expected):
        now = datetime.fromtimestamp((count + 1) * STEP, UTC)  # a step late
        assert TOTP.find_step(RFC_SECRET, code, now) == count


@pytest.mark.parametrize(("drift", "is_valid"), [(-2, False), (-1, True), (0, True), (1, True),
                                              (2, False)])  # fmt: skip
def test_a_clock_may_be_one_step_off(drift: int, is_valid: bool) -> None:
    """The code is of step 37037036, one step before or after the clock."""
    now = datetime.fromtimestamp(1111111109 - drift * STEP, UTC)
    assert TOTP.find_step(RFC_SECRET, "081804", now) == (37037036 if is_valid else None)


@pytest.mark.parametrize("code", ["", "81804", "0081804", "081805", "abcdef", "07081804"])
def test_a_wrong_code_has_no_step(code: str) -> None:
    assert TOTP.find_step(RFC_SECRET, code, datetime.fromtimestamp(1111111109, UTC)) is None


def test_authenticator_apps_read_the_secret_from_a_uri() -> None:
    uri = urlsplit(TOTP.provisioning_uri(RFC_SECRET, "ana & bob/ü"))
    query = parse_qs(uri.query)
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert unquote(uri.path) == "/Workbell:ana & bob/ü"
    assert b32decode(query["secret"][0]) == RFC_SECRET
    assert query["issuer"] == ["Workbell"]
