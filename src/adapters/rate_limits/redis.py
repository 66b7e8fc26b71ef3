"""The rate limiter in Redis, with the local one for when it is away."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import structlog
from attrs import Factory, define
from limits.storage import RedisStorage

from workbell.adapters.rate_limits.memory import MemoryRateLimiter
from workbell.adapters.redis_client import TIMEOUT_SECONDS, CircuitBreaker, options
from workbell.domain.rate_limits.policy import Decision, RateLimitKey
from workbell.ports.rate_limits import RateLimiter

_log = structlog.get_logger(__name__)
KEEP_SECONDS: Final = 60
"""Keys outlive their span by this, should the clock be set back."""

_HIT: Final = b"""
local now, cost = tonumber(ARGV[1]), tonumber(ARGV[2])
local answer, admitted = {1}, true
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
    answer[2 * i] = low
    answer[2 * i + 1] = low > 0 and redis.call('lindex', key, low - 1) or ARGV[1]
    admitted = admitted and low + cost <= limit
end
if not admitted then
    answer[1] = 0
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
return answer
"""


class RedisMovingWindows(RedisStorage):
    """
    The moving windows of `limits`, several of them in one round trip.

    They are its lists of moments, the newest first; its own script knows one
    window at a time, and could not leave the wider ones alone.
    """

    def initialize_storage(self, _uri: str) -> None:
        """Register the scripts; nothing is sent yet."""
        super().initialize_storage(_uri)
        self._hit_all = self.get_connection().register_script(_HIT)

    def acquire_all(
        self, charges: Sequence[RateLimitKey], at: float, cost: int
    ) -> tuple[bool, Sequence[tuple[int, float]]]:
        """
        Spend the cost under every key, or under none.

        Returns whether it was admitted, and of each key how much was spent
        before and when the first of it was.

        Raises:
            RedisError: Redis does not answer, or not as it should.
        """
        arguments: list[Any] = [f"{at:.6f}", cost]
        for each in charges:
            arguments += (each.policy.rate.count, each.policy.rate.seconds)
        keys = [self.prefixed_key(each.key) for each in charges]
        admitted, *found = self._hit_all(keys, [*arguments, KEEP_SECONDS])
        return bool(admitted), [
            (int(spent), float(oldest))
            for spent, oldest in zip(found[::2], found[1::2], strict=True)
        ]


@define(eq=False)
class RedisRateLimiter:
    """
    Rates that several processes share.

    While Redis is away, each process counts by itself, and one request a
    second tries again.
    """

    _windows: RedisMovingWindows
    _local: RateLimiter = Factory(MemoryRateLimiter)
    _breaker: CircuitBreaker = Factory(CircuitBreaker)

    @classmethod
    def connect(
        cls, url: str, *, prefix: str = "workbell:limits", timeout: float = TIMEOUT_SECONDS
    ) -> "RedisRateLimiter":
        """
        Return a limiter; Redis is first asked when there is something to count.

        The timeout, in seconds, is for connecting and for an answer each.

        Raises:
            ValueError: The address is not one of Redis.
        """
        return cls(RedisMovingWindows(url, key_prefix=prefix, **options(timeout)))

    def hit(self, keys: Sequence[RateLimitKey], now: datetime, cost: int = 1) -> Sequence[Decision]:
        """Spend the cost under every charge, or under none if one refuses."""
        if not keys:
            return []
        if self._breaker.allows():
            try:
                decisions = self._shared(keys, now.timestamp(), cost)
            except Exception as error:  # noqa: BLE001 - whatever listens there, nobody waits for it
                if self._breaker.record_failure():
                    _log.warning("rate_limits_are_local", reason=type(error).__name__)
            else:
                if self._breaker.record_success():
                    _log.info("rate_limits_are_shared")
                return decisions
        return self._local.hit(keys, now, cost)

    def _shared(self, charges: Sequence[RateLimitKey], at: float, cost: int) -> Sequence[Decision]:
        admitted, found = self._windows.acquire_all(charges, at, cost)
        decisions = [
            Decision.from_usage(each.policy, spent, oldest, at, cost)
            for each, (spent, oldest) in zip(charges, found, strict=True)
        ]
        return [each.after_request(cost) for each in decisions] if admitted else decisions

    def close(self) -> None:
        """Close every connection."""
        self._windows.storage.close()
