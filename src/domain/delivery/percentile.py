"""Percentiles of durations."""

from collections.abc import Sequence


def find_percentile(values: Sequence[int], percent: int) -> int | None:
    """Return a percentile by the nearest-rank method; None without values."""
    if not values:
        return None
    rank = -(-len(values) * percent // 100)
    return sorted(values)[max(rank, 1) - 1]
