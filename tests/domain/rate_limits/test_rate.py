"""Rates are written as people say them."""

import pytest
from hypothesis import given
from hypothesis.strategies import integers, sampled_from

from workbell.domain.errors import Invalid
from workbell.domain.rate_limits.policy import Rate

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/day", Rate(10, 86_400)),
        ("1000/hour", Rate(1_000, 3_600)),
        ("10/minute", Rate(10, 60)),
        (" 5/Second ", Rate(5, 1)),
        ("off", None),
        ("OFF", None),
    ],
)
def test_a_rate_is_read(text: str, rate: Rate | None) -> None:
    """Case and blanks around do not matter."""
    assert Rate.parse(text) == rate


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "10/",
        "/day",
        "0/day",
        "-1/day",
        "1.5/day",
        "10/days",
        "10/week",
        "10 / day",
        "٥/day",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """Off is written as off, never as nothing in a second."""
    with pytest.raises(Invalid):
        Rate.parse(text)


@given(integers(1, 999_999_999), sampled_from([1, 60, 3_600, 86_400]))
def test_a_written_rate_reads_back(count: int, seconds: int) -> None:
    """Settings are shown as they may be written."""
    assert Rate.parse(str(Rate(count, seconds))) == Rate(count, seconds)


def test_an_odd_span_is_shown_in_seconds() -> None:
    """Code may ask for any span."""
    assert str(Rate(20, 90)) == "20/90 seconds"


def test_a_rate_spans_some_time() -> None:
    """A span of nothing would allow everything."""
    with pytest.raises(Invalid, match="at least one"):
        Rate(1, 0)
