"""Percentiles by the nearest rank."""

import pytest

from workbell.domain.delivery.percentile import find_percentile

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([], 50, None),
        ([7], 50, 7),
        ([7], 0, 7),
        ([30, 10, 20], 50, 20),
        ([4, 3, 2, 1], 50, 2),
        (list(range(1, 101)), 95, 95),
        (list(range(1, 21)), 95, 19),
        ([1, 2], 100, 2),
    ],
)
def test_a_percentile_is_one_of_the_values(
    values: list[int], percent: int, expected: int | None
) -> None:
    assert find_percentile(values, percent) == expected
