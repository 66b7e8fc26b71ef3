"""A cache that counts and logs its hits and misses."""

from typing import Any

import structlog
from attrs import Factory, define, field
from prometheus_client import Counter

from workbell.adapters.observability.metrics import MetricsRegistry
from workbell.ports.cache import Cache


@define(eq=False)
class MeteredCache:
    """
    Hits and misses by the kind of key: the part before its first colon.

    Hits are logged as debug, misses as info; so a console that shows info
    shows the misses only.
    """

    _cache: Cache
    _registry: MetricsRegistry = field(repr=False)
    _log: Any = field(default=Factory(structlog.get_logger), repr=False)
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
        """Return the value that is kept under a key, or None."""
        found = self._cache.get(key)
        kind = key.partition(":")[0]
        self._requests.labels(kind, "miss" if found is None else "hit").inc()
        if found is None:
            self._log.info("cache_miss", key=key)
        else:
            self._log.debug("cache_hit", key=key)
        return found

    def put(self, key: str, value: Any, seconds: int) -> None:
        """Keep a JSON value under a key, for so many seconds at most."""
        self._cache.put(key, value, seconds)
