"""Clocks, random ids and random numbers."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import SystemRandom
from uuid import uuid4

from attrs import define, field, frozen

from workbell.domain.clock_check import ClockReading, LeapCheck

MAX_ROUND_TRIP = timedelta(seconds=0.5)
"""Samples of another clock that took longer are dropped."""
MIN_DURATION_SECONDS = 0.025
"""Longer than a few statements and a commit take on an idle disk."""


@contextmanager
def min_duration(seconds: float = MIN_DURATION_SECONDS) -> Iterator[None]:
    """Make a block take at least `seconds`, even if it raises."""
    until = time.perf_counter() + seconds
    try:
        yield
    finally:
        time.sleep(max(0.0, until - time.perf_counter()))


@frozen
class SystemClock:
    """The clock of this host."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        return datetime.now(UTC)


@frozen
class _Anchor(ClockReading):
    """A reading of another clock, and how long it took."""

    round_trip: timedelta


@define
class AnchoredClock:
    """
    The database's time, advanced by the monotonic clock.

    Between two anchors, changes of the host's wall clock do not affect it. A leap
    of over 60 s is ignored until three anchors over 30 s agree on it.
    """

    _read_time: Callable[[], datetime]
    _monotonic: Callable[[], float] = time.monotonic
    _anchor: _Anchor = field(init=False)
    _leap: LeapCheck = field(factory=LeapCheck, init=False)

    def __attrs_post_init__(self) -> None:
        """Anchor to the best of up to three samples."""
        best = _sample(self._read_time, self._monotonic)
        for _ in range(2):
            if best.round_trip <= MAX_ROUND_TRIP:
                break
            again = _sample(self._read_time, self._monotonic)
            best = min(best, again, key=lambda sample: sample.round_trip)
        self._anchor = best

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        return self._anchor.project(self._monotonic())

    @property
    def has_leaped(self) -> bool:
        """Whether the last anchor showed a leap that is not confirmed yet."""
        return self._leap.is_suspicious

    def anchor(self) -> timedelta | None:
        """
        Take a new sample and return the correction of the clock.

        None: the sample took longer than 0.5 s, or leaps away (`has_leaped`), and was
        dropped.

        Raises:
            Unavailable: `read_time` failed.
        """
        sample = _sample(self._read_time, self._monotonic)
        if sample.round_trip > MAX_ROUND_TRIP:
            return None
        expected = self._anchor.project(sample.at)
        accepted, self._leap = self._leap.judge(sample, expected)
        if not accepted:
            return None
        self._anchor = sample
        return sample.time - expected


def _sample(read_time: Callable[[], datetime], monotonic: Callable[[], float]) -> _Anchor:
    before = monotonic()
    instant = read_time().astimezone(UTC)
    after = monotonic()
    return _Anchor(instant, (before + after) / 2, timedelta(seconds=after - before))


@frozen
class UuidIds:
    """Random ids of 32 hexadecimal digits."""

    def new(self) -> str:
        """Return a new id that cannot be guessed."""
        return uuid4().hex


@frozen
class SystemRandomness:
    """Random numbers from the operating system."""

    _source: SystemRandom = field(factory=SystemRandom, init=False)

    def randbelow(self, bound: int) -> int:
        """Return an integer from 0 up to, but not including, the bound."""
        return secrets.randbelow(bound)

    def uniform(self, low: float, high: float) -> float:
        """Return a number between `low` and `high`."""
        return self._source.uniform(low, high)
