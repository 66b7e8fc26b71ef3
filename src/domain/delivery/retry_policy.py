"""Retry policy of deliveries: delays, jitter and Retry-After."""

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Final

from workbell.domain.errors import Invalid

_MINUTE, _HOUR = 60, 3_600
RETRY_DELAYS: Final = (
    5, 30, 2 * _MINUTE, 10 * _MINUTE, 30 * _MINUTE, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR,
    14 * _HOUR, 20 * _HOUR, 24 * _HOUR,
)  # fmt: skip
"""Seconds before each retry, unless a destination has its own schedule."""
JITTER: Final = 0.1
"""The fraction by which a delay is varied in both directions."""
MIN_RETRY_AFTER, MAX_RETRY_AFTER = 1.0, 3_600.0
"""Bounds in seconds for the Retry-After header of a destination."""
MAX_DELAYS, MAX_DELAY = 20, 7 * 24 * _HOUR


def check_retry_delays(delays: Sequence[int]) -> None:
    """
    Check the retry schedule of a destination; the empty one means the default.

    Raises:
        Invalid: There are too many delays, or one is out of range.
    """
    if len(delays) > MAX_DELAYS:
        raise Invalid.field("retry_delays", f"must have at most {MAX_DELAYS} entries")
    for n, delay in enumerate(delays):
        if not 1 <= delay <= MAX_DELAY:
            message = f"must be from 1 to {MAX_DELAY:,} seconds"
            raise Invalid.field(f"retry_delays.{n}", message)


def retry_delay(
    failures: int, delays: Sequence[int], variation: float, retry_after: float | None = None
) -> float | None:
    """
    Return the seconds before the next attempt, or None after the last one.

    `failures` counts the attempts of the current schedule, from 1; `variation` is
    a random number from -1 to 1; `retry_after` is what the destination asked for.
    """
    delays = delays or RETRY_DELAYS
    if failures > len(delays):
        return None
    if retry_after is not None:
        return min(max(retry_after, MIN_RETRY_AFTER), MAX_RETRY_AFTER)
    return delays[failures - 1] * (1 + JITTER * variation)


def parse_retry_after(text: str | None, now: datetime) -> float | None:
    """
    Return the seconds of a Retry-After header; None if it is missing or invalid.

    Accepts a number of seconds (also with a fraction) or an HTTP date (RFC 9110,
    10.2.3); a date in the past is 0.
    """
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        return _seconds_until(text, now)
    return seconds if isfinite(seconds) and seconds >= 0 else None


def _seconds_until(text: str, now: datetime) -> float | None:
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return max(0.0, (at - now).total_seconds())
