"""A rate limiter in Redis; local limits while Redis is unavailable."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from attrs import Factory, define
from limits.storage import RedisStorage

from workbell.adapters.logs import get_logger
from workbell.adapters.rate_limits.memory import MemoryRateLimiter
from workbell.adapters.redis_client import TIMEOUT_SECONDS, RedisCircuitBreaker, options
from workbell.domain.rate_limits.policy import Decision, RateLimitKey
from workbell.ports.rate_limits import RateLimiter

_log = get_logger(__name__)
EXPIRY_MARGIN_SECONDS: Final = 60
"""Keys expire this long after their window, in case the clock is set back."""

_HIT: Final = b"""
local now, cost = tonumber(ARGV[1]), tonumber(ARGV[2])
local reply, allowed = {1}, true
for i, key in ipairs(KEYS) do
    local limit, since = tonumber(ARGV[2 * i + 1]), now - tonumber(ARGV[2 * i + 2])
    local low, high = 0, redis.call('llen', key)
    while low < high do
        local middle = math.floor((low + high) / 2)
        if tonumber(redis.call('lindex', key, middle)) > since then
            low = middle + 1
        else
            high = middle
        end
    end
    reply[2 * i] = low
    reply[2 * i + 1] = low > 0 and redis.call('lindex', key, low - 1) or ARGV[1]
    allowed = allowed and low + cost <= limit
end
if not allowed then
    reply[1] = 0
elseif cost > 0 then
    for i, key in ipairs(KEYS) do
        local limit, span = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
        local at, newest = ARGV[1], redis.call('lindex', key, 0)
        if newest and tonumber(newest) > now then at = newest end
        for _ = 1, cost do redis.call('lpush', key, at) end
        redis.call('ltrim', key, 0, limit - 1)
        redis.call('expire', key, span + tonumber(ARGV[2 * #KEYS + 3]))
    end
end
return reply
"""


class RedisMovingWindows(RedisStorage):
    """
    Moving windows of the `limits` library, several in one round trip.

    It uses the library's lists of timestamps, the newest first. The library's
    own script consumes from one window at a time, and so cannot refuse as a whole.
    """

    def initialize_storage(self, _uri: str) -> None:
        """Register the scripts without connecting."""
        super().initialize_storage(_uri)
        self._hit_all = self.get_connection().register_script(_HIT)

    def acquire_all(
        self, keys: Sequence[RateLimitKey], at: float, cost: int
    ) -> tuple[bool, Sequence[tuple[int, float]]]:
        """
        Consume the cost of every key, or of none.

        Return whether it was allowed, and for each key the number of hits
        before and the time of the oldest.

        Raises:
            RedisError: Redis is unavailable, or its reply is not valid.
        """
        arguments: list[Any] = [f"{at:.6f}", cost]
        for each in keys:
            arguments += (each.policy.rate.count, each.policy.rate.seconds)
        names = [self.prefixed_key(each.key) for each in keys]
        allowed, *counts = self._hit_all(names, [*arguments, EXPIRY_MARGIN_SECONDS])
        return bool(allowed), [
            (int(hits), float(oldest))
            for hits, oldest in zip(counts[::2], counts[1::2], strict=True)
        ]


@define(eq=False)
class RedisRateLimiter:
    """Rate limits that processes share; local while Redis is unavailable."""

    _windows: RedisMovingWindows
    _local: RateLimiter = Factory(MemoryRateLimiter)
    _breaker: RedisCircuitBreaker = Factory(RedisCircuitBreaker)

    @classmethod
    def connect(
        cls, url: str, *, prefix: str = "workbell:limits", timeout: float = TIMEOUT_SECONDS
    ) -> "RedisRateLimiter":
        """Return a limiter without connecting; `timeout` is in seconds."""
        return cls(RedisMovingWindows(url, key_prefix=prefix, **options(timeout)))

    def hit(self, keys: Sequence[RateLimitKey], now: datetime, cost: int = 1) -> Sequence[Decision]:
        """Consume the cost of every key, or of none if one of them is exceeded."""
        if not keys:
            return []
        if self._breaker.allows():
            try:
                decisions = self._hit_redis(keys, now.timestamp(), cost)
            except Exception as error:  # noqa: BLE001 - an optional server must not fail its callers
                if self._breaker.record_failure():
                    _log.warning("rate_limits_are_local", reason=type(error).__name__)
            else:
                if self._breaker.record_success():
                    _log.info("rate_limits_are_shared")
                return decisions
        return self._local.hit(keys, now, cost)

    def _hit_redis(self, keys: Sequence[RateLimitKey], at: float, cost: int) -> Sequence[Decision]:
        allowed, windows = self._windows.acquire_all(keys, at, cost)
        decisions = [
            Decision.from_usage(each.policy, hits, oldest, at, cost)
            for each, (hits, oldest) in zip(keys, windows, strict=True)
        ]
        return [each.after_request(cost) for each in decisions] if allowed else decisions

    def close(self) -> None:
        """Close all connections."""
        self._windows.storage.close()
