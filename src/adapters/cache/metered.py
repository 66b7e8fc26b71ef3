"""A cache that counts and logs hits and misses."""

from typing import Any

from attrs import Factory, define, field
from prometheus_client import Counter

from workbell.adapters.logs import get_logger
from workbell.adapters.observability.metrics import MetricsRegistry
from workbell.ports.cache import Cache


@define(eq=False)
class MeteredCache:
    """Counts and logs hits and misses by the key's part before the colon."""

    _cache: Cache
    _registry: MetricsRegistry = field(repr=False)
    _log: Any = field(default=Factory(get_logger), repr=False)
    _requests: Counter = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Create the counter."""
        self._requests = Counter(
            "workbell_cache_requests",
            "Summaries read from the cache, by outcome (hit or miss).",
            ["summary", "outcome"],
            registry=self._registry.collectors,
        )

    def get(self, key: str) -> Any | None:
        """Return the cached value of a key, or None."""
        value = self._cache.get(key)
        kind = key.partition(":")[0]
        self._requests.labels(kind, "miss" if value is None else "hit").inc()
        if value is None:
            self._log.info("cache_miss", key=key)
        else:
            self._log.debug("cache_hit", key=key)
        return value

    def put(self, key: str, value: Any, seconds: int) -> None:
        """Cache a JSON value for at most `seconds`."""
        self._cache.put(key, value, seconds)
