"""The rate limiter in memory: moving windows that forget who is gone."""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from threading import Lock

from attrs import Factory, define, field
from limits.storage.base import MovingWindowSupport

from workbell.domain.rate_limits.policy import Decision, RateLimitKey

MOST_KEYS = 100_000
"""How many keys of one span are remembered: of more, the longest unused are forgotten."""


class MemoryMovingWindows(MovingWindowSupport):
    """
    The moving windows of `limits`, by the time that is set in `at`.

    Its own MemoryStorage reads the wall clock, looks through every key each
    10 ms while it is used, and keeps every key that it ever saw.
    """

    def __init__(self, most_keys: int = MOST_KEYS) -> None:
        """Begin with nothing spent."""
        self.at = 0.0
        self._most_keys = most_keys
        self._logs: dict[int, OrderedDict[str, list[float]]] = {}

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Spend an amount if it fits into the limit; keys that are done with go."""
        logs = self._logs.setdefault(expiry, OrderedDict())
        log = logs.setdefault(key, [])
        del log[: bisect_right(log, self.at - expiry)]
        fits = len(log) + amount <= limit
        if fits:
            log.extend([max(self.at, log[-1]) if log else self.at] * amount)
        logs.move_to_end(key)
        self._forget(logs, expiry)
        return fits

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:  # noqa: ARG002
        """Return when the first of what counts was spent, and how much it is."""
        log = self._logs[expiry].get(key, []) if expiry in self._logs else []
        first = bisect_right(log, self.at - expiry)
        spent = len(log) - first
        return (log[first] if spent else self.at), spent

    def __len__(self) -> int:
        return sum(map(len, self._logs.values()))

    def _forget(self, logs: OrderedDict[str, list[float]], expiry: int) -> None:
        """Look at the two keys that are longest unused: more go than can come."""
        for _ in range(2):
            key, log = next(iter(logs.items()))
            if log and log[-1] > self.at - expiry and len(logs) <= self._most_keys:
                return
            if len(logs) == 1:
                return
            del logs[key]


@define(eq=False)
class MemoryRateLimiter:
    """Rates within one process: exact, and gone when it ends."""

    _windows: MemoryMovingWindows = Factory(MemoryMovingWindows)
    _lock: Lock = field(default=Factory(Lock), init=False, repr=False)

    def hit(self, keys: Sequence[RateLimitKey], now: datetime, cost: int = 1) -> Sequence[Decision]:
        """Spend the cost under every charge, or under none if one refuses."""
        windows, at = self._windows, now.timestamp()
        with self._lock:
            windows.at = at
            decisions = [self._decide(each, at, cost) for each in keys]
            if not cost or not all(each.allowed for each in decisions):
                return decisions
            for each in keys:
                rate = each.policy.rate
                windows.acquire_entry(each.key, rate.count, rate.seconds, cost)
        return [each.after_request(cost) for each in decisions]

    def _decide(self, charge: RateLimitKey, at: float, cost: int) -> Decision:
        rate = charge.policy.rate
        oldest, spent = self._windows.get_moving_window(charge.key, rate.count, rate.seconds)
        return Decision.from_usage(charge.policy, spent, oldest, at, cost)
