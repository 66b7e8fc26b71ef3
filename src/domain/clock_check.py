"""Leaps of a clock: when a reading far from the expected time is believed."""

from datetime import datetime, timedelta
from typing import Self

from attrs import frozen

MAX_LEAP = timedelta(seconds=60)
"""A reading further than this from the expected time is not believed at first."""
CONFIRMATIONS = 3
CONFIRM_SECONDS = 30.0
_MAX_DRIFT = timedelta(seconds=2)
"""Readings that differ by more, apart from the time between them, disagree."""


@frozen
class ClockReading:
    """The time of a clock at a time of the monotonic clock, in seconds."""

    time: datetime
    at: float

    def project(self, at: float) -> datetime:
        """Return what the clock shows at another time if it runs evenly."""
        return self.time + timedelta(seconds=at - self.at)


@frozen
class LeapCheck:
    """
    Readings that leap away from the expected time, and agree with one another.

    A leap is accepted after three such readings over 30 seconds: a clock that was
    corrected stays where it is, a broken one soon returns.
    """

    first: ClockReading | None = None
    count: int = 0

    @property
    def is_suspicious(self) -> bool:
        """Whether the last reading was refused."""
        return self.first is not None

    def judge(self, reading: ClockReading, expected: datetime) -> tuple[bool, Self]:
        """Return whether to accept a reading, and the check for the next one."""
        if abs(reading.time - expected) <= MAX_LEAP:
            return True, type(self)()
        first = self.first
        if first is None or abs(first.project(reading.at) - reading.time) > _MAX_DRIFT:
            return False, type(self)(reading, 1)
        count = self.count + 1
        if count >= CONFIRMATIONS and reading.at - first.at >= CONFIRM_SECONDS:
            return True, type(self)()
        return False, type(self)(first, count)
