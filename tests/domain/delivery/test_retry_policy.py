"""Retry delays: the schedule, jitter and Retry-After."""

from datetime import timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.domain.delivery.factories import NOON, after
from workbell.domain.delivery.retry_policy import (
    MAX_DELAY,
    RETRY_DELAYS,
    check_retry_delays,
    parse_retry_after,
    retry_delay,
)
from workbell.domain.errors import Invalid

pytestmark = pytest.mark.unit

HOUR = 3_600


def test_the_default_schedule_has_eleven_retries_over_76_hours() -> None:
    delays = [retry_delay(n, (), 0.0) for n in range(1, 12)]
    assert delays == [5, 30, 120, 600, 1_800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR,
                      24 * HOUR]  # fmt: skip
    assert retry_delay(12, (), 0.0) is None


def test_a_destination_may_have_its_own_schedule() -> None:
    assert [retry_delay(n, (7, 9), 0.0) for n in (1, 2, 3)] == [7, 9, None]


@given(st.integers(1, 11), st.floats(-1, 1))
def test_jitter_varies_a_delay_by_at_most_a_tenth(failures: int, variation: float) -> None:
    delay = retry_delay(failures, (), variation)
    assert delay is not None
    assert abs(delay - RETRY_DELAYS[failures - 1]) <= RETRY_DELAYS[failures - 1] * 0.1 + 1e-9


@given(st.integers(1, 11), st.floats(0, 1e300))
def test_retry_after_is_bounded_by_a_second_and_an_hour(failures: int, wanted: float) -> None:
    delay = retry_delay(failures, (), 0.5, wanted)
    assert delay == min(max(wanted, 1.0), 3_600.0)


def test_retry_after_does_not_add_an_attempt() -> None:
    assert retry_delay(12, (), 0.0, 30.0) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("1.5", 1.5),
        ("0", 0.0),
        ("9999999999", 9_999_999_999.0),
        (format_datetime(after(60), usegmt=True), 60.0),
        (format_datetime(after(-60), usegmt=True), 0.0),
        ("Tue, 01 Jan 2030 12:01:00", 60.0),
        ("Tue, 01 Jan 2030 14:01:00 +0200", 60.0),
    ],
)
def test_a_number_or_a_date_is_understood(text: str, seconds: float) -> None:
    assert parse_retry_after(text, NOON) == seconds


@pytest.mark.parametrize(
    "text",
    [None, "", "-5", "soon", "nan", "inf", "-inf", "1e999", "Fri, 99 Foo 2030 12:00:00 GMT"],
)
def test_anything_else_is_ignored(text: str | None) -> None:
    assert parse_retry_after(text, NOON) is None


@given(st.text(max_size=60) | st.from_regex(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{1,6} .{0,20}"))
def test_no_header_raises_or_moves_the_next_attempt_out_of_bounds(text: str) -> None:
    seconds = parse_retry_after(text, NOON)
    delay = retry_delay(1, (), 0.0, seconds)
    assert delay is not None
    assert NOON + timedelta(seconds=1) <= NOON + timedelta(seconds=delay) <= after(HOUR)


def test_a_schedule_has_at_most_20_delays_of_a_second_to_a_week() -> None:
    check_retry_delays(())
    check_retry_delays([1, MAX_DELAY] * 10)
    with pytest.raises(Invalid):
        check_retry_delays([1] * 21)
    for wrong in (0, MAX_DELAY + 1):
        with pytest.raises(Invalid) as caught:
            check_retry_delays([5, wrong])
        assert list(caught.value.field_errors) == ["retry_delays.1"]
