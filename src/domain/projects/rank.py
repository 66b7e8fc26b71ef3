"""Ranks: strings that order the items of a board without renumbering them."""

from typing import Final

DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
WIDTH: Final = 9
"""The digits of a usual rank; longer ones only arise in crowded gaps."""
TAIL: Final = 36**3
"""How many random tails a rank has: the smallest gap that an insertion needs."""
NEAR: Final = 16
"""An insertion divides a gap by this ratio, the larger part away from the newer neighbour."""
END_STEP: Final = 4 * NEAR * TAIL
"""The distance of an item that is added at an end of the board."""
MAX_RANK_LENGTH: Final = 255
REBALANCE_LENGTH: Final = 64
"""Ranks longer than this make the board due for a rebalance."""


def rank_between(lower: str | None, upper: str | None, tail: int) -> str:
    """
    Return a rank between two others; None is an end of the board.

    Ranks are fractions in base 36 without trailing zeros, so they sort as text
    in every binary collation. `tail` is a random number from 0 to `TAIL` - 1 by
    which concurrent insertions into one gap differ. The new rank is close to
    the longer neighbour, which is the newer one: repeated insertions at one place
    then leave the rest of the gap free, and ranks stay short.

    Raises:
        ValueError: `lower` is not less than `upper`.
    """
    if lower is not None and upper is not None and lower >= upper:
        raise ValueError(f"The rank {lower!r} is not less than {upper!r}.")
    low, high = lower or "", upper or ""
    width = max(WIDTH, len(low), len(high))
    first = _to_number(low, width)
    last = _to_number(high, width) if high else 36**width
    while last - first < 4 * NEAR * TAIL:
        width, first, last = width + 1, first * 36, last * 36
    return _to_rank(_pick(low, high, first, last, tail), width)


def spread(count: int) -> list[str]:
    """Return ranks for the items of a board at equal distances, in order."""
    width = WIDTH
    while 36**width // (count + 1) < 4 * NEAR * TAIL:
        width += 1
    step = 36**width // (count + 1)
    return [_to_rank(step * index, width) for index in range(1, count + 1)]


def _pick(low: str, high: str, first: int, last: int, tail: int) -> int:
    """Return a number in a gap: near an open end's neighbour or the longer rank."""
    near = (last - first) // NEAR + tail + 1
    if not low and not high:
        return (first + last) // 2 + tail
    if not high:
        return first + END_STEP + tail if first + END_STEP + TAIL < last else first + near
    if not low:
        return last - END_STEP - tail if first + END_STEP + TAIL < last else last - near
    if len(low) == len(high):
        return (first + last) // 2 + tail
    return first + near if len(low) > len(high) else last - near


def _to_number(rank: str, width: int) -> int:
    return int(rank.ljust(width, "0"), 36) if rank else 0


def _to_rank(number: int, width: int) -> str:
    digits = ""
    for _ in range(width):
        number, digit = divmod(number, 36)
        digits = DIGITS[digit] + digits
    return digits.rstrip("0")
