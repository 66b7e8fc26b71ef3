"""The machine: clocks, opaque ids and chance."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import SystemRandom
from uuid import uuid4

from attrs import define, field, frozen

MAX_ROUND_TRIP = timedelta(seconds=0.5)
"""A sample of another clock that took longer is not used."""
MAX_DRIFT = timedelta(seconds=2)
"""A correction by more than this is a move, after which leases need care."""

EVEN_SECONDS = 0.025
"""More than what a few statements and a commit take, on a disk that is not busy."""


@contextmanager
def min_duration(seconds: float = EVEN_SECONDS) -> Iterator[None]:
    """Have a block take at least so long, whatever it does and however it ends."""
    until = time.perf_counter() + seconds
    try:
        yield
    finally:
        time.sleep(max(0.0, until - time.perf_counter()))


@frozen
class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """Return the time, aware, in UTC, to the microsecond."""
        return datetime.now(UTC)


@frozen
class _Anchor:
    """What the other clock said, when ours stood at a number of seconds."""

    time: datetime
    at: float
    round_trip: timedelta


@define
class AnchoredClock:
    """
    Another clock's time (the database's), carried on by this machine's monotonic one.

    Between two anchors it cannot be moved by anybody who sets the machine's
    clock. `moved_at` is its time just after the last correction by more than
    2 s, or None; who works with leases gives everybody one lease of peace then.
    """

    _read_time: Callable[[], datetime]
    _monotonic: Callable[[], float] = time.monotonic
    _anchor: _Anchor = field(init=False)
    moved_at: datetime | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """
        Anchor it to the best of up to three samples.

        What `read_time` raises when the other clock is away is passed on.
        """
        best = _sample(self._read_time, self._monotonic)
        for _ in range(2):
            if best.round_trip <= MAX_ROUND_TRIP:
                break
            again = _sample(self._read_time, self._monotonic)
            best = min(best, again, key=lambda sample: sample.round_trip)
        self._anchor = best

    def now(self) -> datetime:
        """Return the time, aware, in UTC, to the microsecond."""
        return self._at(self._anchor, self._monotonic())

    def anchor(self) -> timedelta | None:
        """
        Take a new sample, and return by how much it moved the clock.

        None means that the sample took too long and was dropped. A move by
        more than 2 s, either way, also sets `moved_at`.

        Raises:
            Unavailable: Whatever `read_time` raises when the other clock is away.
        """
        sample = _sample(self._read_time, self._monotonic)
        if sample.round_trip > MAX_ROUND_TRIP:
            return None
        moved = sample.time - self._at(self._anchor, sample.at)
        self._anchor = sample
        if abs(moved) > MAX_DRIFT:
            self.moved_at = self.now()
        return moved

    @staticmethod
    def _at(anchor: _Anchor, seconds: float) -> datetime:
        return anchor.time + timedelta(seconds=seconds - anchor.at)


def _sample(read_time: Callable[[], datetime], monotonic: Callable[[], float]) -> _Anchor:
    before = monotonic()
    moment = read_time().astimezone(UTC)
    after = monotonic()
    return _Anchor(moment, (before + after) / 2, timedelta(seconds=after - before))


@frozen
class UuidIds:
    """Random ids of 32 hexadecimal digits."""

    def new(self) -> str:
        """Return an id that nobody can guess and that nobody had before."""
        return uuid4().hex


@frozen
class SystemRandomness:
    """Chance from the operating system."""

    _source: SystemRandom = field(factory=SystemRandom, init=False)

    def randbelow(self, bound: int) -> int:
        """Return an integer from 0 up to, not including, the bound."""
        return secrets.randbelow(bound)

    def uniform(self, low: float, high: float) -> float:
        """Return a number between two others."""
        return self._source.uniform(low, high)
