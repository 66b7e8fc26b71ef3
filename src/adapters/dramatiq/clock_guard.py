"""Clock guard: no scheduler pass on a clock that may have leaped."""

from collections.abc import Callable
from datetime import datetime
from math import inf
from time import monotonic

import structlog
from attrs import asdict, astuple, define, field

from workbell.adapters.dramatiq.metrics import EngineMetrics
from workbell.domain.clock_check import ClockReading, LeapCheck
from workbell.services.schedules.clock_moves import ClockMoves

SAMPLE_SECONDS = 10.0
RECORD_SECONDS = 20.0
CORRECT_SECONDS = 3600.0

log = structlog.get_logger()


@define(eq=False)
class ClockGuard:
    """
    Lets the passes of a scheduler begin, and corrects rows after a leap.

    The clock itself ignores leaps until they are confirmed (`AnchoredClock`). A
    process that starts has no earlier time to compare with: the guard compares
    its clock with the last pass that any scheduler has recorded.
    """

    moves: ClockMoves
    metrics: EngineMetrics
    anchor: Callable[[], float | None]
    seconds: Callable[[], float] = monotonic
    _last_pass: datetime | None = field(default=None, init=False)
    _check: LeapCheck = field(factory=LeapCheck, init=False)
    _is_trusted: bool = field(default=False, init=False)
    _sampled_at: float = field(default=-inf, init=False)
    _recorded_at: float = field(default=-inf, init=False)
    _corrected_at: float = field(default=-inf, init=False)

    def allows_pass(self) -> bool:
        """Return whether a pass may begin; first correct rows if it is time."""
        if not self._is_trusted and not self._confirm():
            return False
        now = self.seconds()
        if now - self._corrected_at >= CORRECT_SECONDS:
            self._corrected_at = now
            self._correct()
        if now - self._recorded_at >= RECORD_SECONDS:
            self._recorded_at = now
            self.moves.record_pass()
        return True

    def clock_moved(self) -> None:
        """Correct rows before the next pass; called when a leap was accepted."""
        self._corrected_at = -inf

    def _confirm(self) -> bool:
        """Compare the clock with the last recorded pass, every 10 s at most."""
        if self._last_pass is None and (last_pass := self.moves.last_pass()) is not None:
            self._last_pass = last_pass
        if self._last_pass is None:
            self._is_trusted = True
        elif (at := self.seconds()) - self._sampled_at >= SAMPLE_SECONDS:
            self._sampled_at = at
            if self.anchor() is None:  # the clock itself contradicts its start
                self._check = LeapCheck()
            else:
                reading = ClockReading(self.moves.clock.now(), self.seconds())
                self._is_trusted, self._check = self._check.judge(reading, self._last_pass)
            if not self._is_trusted:
                self.metrics.clock_refused.inc()
                log.warning("clock_unconfirmed", last_pass=self._last_pass.isoformat())
        return self._is_trusted

    def _correct(self) -> None:
        corrected = self.moves.correct()
        if any(astuple(corrected)):
            log.warning("clock_corrected", **asdict(corrected))
