"""Circuit breaker of a destination: when its deliveries are sent."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Self

from attrs import evolve, frozen

FAILURES_TO_OPEN: Final = 5
FIRST_PAUSE: Final = timedelta(seconds=60)
MAX_PAUSE: Final = timedelta(minutes=15)
MAX_FAILING: Final = timedelta(days=1)
"""How long a destination may fail without a success before it is disabled."""


class BreakerState(StrEnum):
    """The state of a circuit breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@frozen(kw_only=True)
class CircuitBreaker:
    """
    Stops sending to a destination that fails, and probes it later.

    CLOSED: everything is sent. After `FAILURES_TO_OPEN` failures in a row it is
    OPEN until `open_until`; deliveries are parked. Then one delivery, the
    probe, is sent (HALF_OPEN): its success closes the breaker, its failure
    opens it for twice as long, at most `MAX_PAUSE`. A probe that has no result
    at `open_until` is replaced by the next delivery.

    `failures` counts failures since the last success, `failing_since` is the
    time of the first of them, `openings` counts openings since the last success.
    """

    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    failing_since: datetime | None = None
    openings: int = 0
    open_until: datetime | None = None
    probe: int | None = None

    @property
    def is_pristine(self) -> bool:
        """Whether a success would change nothing."""
        return self == CircuitBreaker()

    def is_failing_too_long(self, now: datetime) -> bool:
        """
        Whether the destination should be disabled.

        A few failures that are days apart do not open the breaker, and are not enough.
        """
        since = self.failing_since
        return self.openings > 0 and since is not None and now - since >= MAX_FAILING

    def admits(self, delivery_id: int, now: datetime) -> bool:
        """Whether a delivery may be sent now."""
        if self.state is BreakerState.CLOSED or self.probe == delivery_id:
            return True
        return self.open_until is None or now >= self.open_until

    def start(self, delivery_id: int, now: datetime, limit: timedelta) -> Self:
        """
        Return the breaker after an admitted delivery has started.

        `limit` is how long a probe may take before another one replaces it.
        """
        if self.state is BreakerState.CLOSED:
            return self
        return evolve(self, state=BreakerState.HALF_OPEN, probe=delivery_id, open_until=now + limit)

    def succeed(self) -> "CircuitBreaker":
        """Return the closed breaker."""
        return CircuitBreaker()

    def fail(self, delivery_id: int, now: datetime) -> Self:
        """
        Return the breaker after a failure.

        Deliveries that were sent before the breaker opened do not extend its pause.
        """
        counted = evolve(self, failures=self.failures + 1, failing_since=self.failing_since or now)
        if self.state is BreakerState.CLOSED and counted.failures < FAILURES_TO_OPEN:
            return counted
        if self.state is not BreakerState.CLOSED and self.probe != delivery_id:
            return counted
        pause = min(FIRST_PAUSE * 2 ** min(self.openings, 10), MAX_PAUSE)
        return evolve(
            counted,
            state=BreakerState.OPEN,
            openings=self.openings + 1,
            open_until=now + pause,
            probe=None,
        )
