"""Parsing and formatting of rates."""

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
def test_rates_are_parsed(text: str, rate: Rate | None) -> None:
    """Case and surrounding spaces are ignored."""
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
def test_other_texts_are_rejected(text: str) -> None:
    """A disabled limit is written as off, not as a count of 0."""
    with pytest.raises(Invalid):
        Rate.parse(text)


@given(integers(1, 999_999_999), sampled_from([1, 60, 3_600, 86_400]))
def test_formatted_rates_can_be_parsed(count: int, seconds: int) -> None:
    """Settings are shown in the notation in which they are written."""
    assert Rate.parse(str(Rate(count, seconds))) == Rate(count, seconds)


def test_other_periods_are_formatted_in_seconds() -> None:
    """Code may use any period."""
    assert str(Rate(20, 90)) == "20/90 seconds"


def test_a_rate_has_a_positive_period() -> None:
    """A period of 0 would allow everything."""
    with pytest.raises(Invalid, match="at least 1"):
        Rate(1, 0)
