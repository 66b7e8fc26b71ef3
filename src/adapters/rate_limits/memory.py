"""A rate limiter in memory, by moving windows."""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from threading import Lock

from attrs import Factory, define, field
from limits.storage.base import MovingWindowSupport

from workbell.domain.rate_limits.policy import Decision, RateLimitKey

MAX_KEYS = 100_000
"""Keys per window length; beyond, the least recently used are evicted."""


class MemoryMovingWindows(MovingWindowSupport):
    """
    Moving windows for the `limits` library, at the time in `at`.

    The library's own MemoryStorage reads the wall clock, scans all keys every
    10 ms while it is used, and never evicts.
    """

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        """Create empty windows."""
        self.at = 0.0
        self._max_keys = max_keys
        self._logs: dict[int, OrderedDict[str, list[float]]] = {}

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Consume an amount if the limit allows it; return whether it did."""
        logs = self._logs.setdefault(expiry, OrderedDict())
        log = logs.setdefault(key, [])
        del log[: bisect_right(log, self.at - expiry)]
        fits = len(log) + amount <= limit
        if fits:
            log.extend([max(self.at, log[-1]) if log else self.at] * amount)
        logs.move_to_end(key)
        self._evict(logs, expiry)
        return fits

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:  # noqa: ARG002
        """Return the time of the oldest hit in the window, and the number of hits."""
        log = self._logs[expiry].get(key, []) if expiry in self._logs else []
        first = bisect_right(log, self.at - expiry)
        hits = len(log) - first
        return (log[first] if hits else self.at), hits

    def __len__(self) -> int:
        return sum(map(len, self._logs.values()))

    def _evict(self, logs: OrderedDict[str, list[float]], expiry: int) -> None:
        """Evict up to two of the least recently used keys."""
        for _ in range(2):
            key, log = next(iter(logs.items()))
            if log and log[-1] > self.at - expiry and len(logs) <= self._max_keys:
                return
            if len(logs) == 1:
                return
            del logs[key]


@define(eq=False)
class MemoryRateLimiter:
    """Rate limits within one process."""

    _windows: MemoryMovingWindows = Factory(MemoryMovingWindows)
    _lock: Lock = field(default=Factory(Lock), init=False, repr=False)

    def hit(self, keys: Sequence[RateLimitKey], now: datetime, cost: int = 1) -> Sequence[Decision]:
        """Consume the cost of every key, or of none if one of them is exceeded."""
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

    def _decide(self, key: RateLimitKey, at: float, cost: int) -> Decision:
        rate = key.policy.rate
        oldest, hits = self._windows.get_moving_window(key.key, rate.count, rate.seconds)
        return Decision.from_usage(key.policy, hits, oldest, at, cost)
