"""One-time codes: generation, validity and limits."""

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from workbell.domain.identity.one_time_code import (
    CODE_LIFETIME,
    MAX_ATTEMPTS,
    MAX_SENT_PER_HOUR,
    MAX_WRONG_PER_DAY,
    OneTimeCode,
    Purpose,
    WrongCode,
    can_send_code,
    can_try_code,
    generate_code,
    looks_like_code,
    normalise_code,
)
from workbell.domain.identity.user import UserId

pytestmark = pytest.mark.unit

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def a_code() -> OneTimeCode:
    return OneTimeCode.issue(UserId(7), Purpose.VERIFY_EMAIL, "hash", NOON)


@given(st.integers(0, 999_999))
def test_a_code_has_six_digits_for_any_random_number(number: int) -> None:
    bounds = []

    def below(bound: int) -> int:
        bounds.append(bound)
        return number

    code = generate_code(below)
    assert looks_like_code(code)
    assert int(code) == number
    assert bounds == [1_000_000]


@pytest.mark.parametrize("text", ["", "12345", "1234567", "12345a", "１２３４５６", "²²²²²²"])
def test_other_texts_do_not_look_like_a_code(text: str) -> None:
    assert not looks_like_code(text)


def test_spaces_and_hyphens_are_removed() -> None:
    assert normalise_code(" 123-456\n") == normalise_code("123 456") == "123456"


def test_a_code_is_valid_for_ten_minutes() -> None:
    code = a_code()
    assert timedelta(minutes=10) == CODE_LIFETIME
    assert code.is_usable(NOON)
    assert code.is_usable(NOON + CODE_LIFETIME - MICROSECOND)
    assert not code.is_usable(NOON + CODE_LIFETIME)


def test_the_lifetime_is_configurable() -> None:
    code = OneTimeCode.issue(UserId(7), Purpose.VERIFY_EMAIL, "hash", NOON, timedelta(minutes=3))
    assert code.expires_at == NOON + timedelta(minutes=3)


def test_a_code_is_valid_once() -> None:
    used = a_code().used(NOON)
    assert used.used_at == NOON
    assert not used.is_usable(NOON)
    assert not used.can_be_tried(NOON)


def test_a_code_may_be_tried_five_times() -> None:
    code = a_code()
    for _ in range(MAX_ATTEMPTS):
        assert code.can_be_tried(NOON)
        code = code.tried()
    assert code.attempts == 5
    assert not code.can_be_tried(NOON)
    assert code.is_usable(NOON)  # the fifth try was begun and may succeed


def test_a_newer_code_expires_it_and_never_extends_it() -> None:
    assert not a_code().superseded(NOON + MICROSECOND).is_usable(NOON + MICROSECOND)
    late = NOON + CODE_LIFETIME + MICROSECOND
    assert a_code().superseded(late) == a_code()


def test_a_first_code_can_be_sent() -> None:
    assert can_send_code(None, 0, NOON)


def test_the_next_code_waits_a_minute() -> None:
    assert not can_send_code(a_code(), 1, NOON + timedelta(seconds=60) - MICROSECOND)
    assert can_send_code(a_code(), 1, NOON + timedelta(seconds=60))


def test_five_codes_can_be_sent_per_hour() -> None:
    later = NOON + timedelta(minutes=30)
    assert can_send_code(a_code(), MAX_SENT_PER_HOUR - 1, later)
    assert not can_send_code(a_code(), MAX_SENT_PER_HOUR, later)


def test_the_error_does_not_reveal_the_reason() -> None:
    assert list(WrongCode().field_errors) == ["otp"]
    assert WrongCode.code == "wrong_code"


def test_the_code_hash_is_not_in_the_repr() -> None:
    assert "hash=" not in repr(evolve(a_code(), code_hash="secret"))


def test_wrong_codes_per_account_and_day_are_limited() -> None:
    assert can_try_code(MAX_WRONG_PER_DAY - 1)
    assert not can_try_code(MAX_WRONG_PER_DAY)
