"""A cache that counts and logs its hits and misses."""

from collections import Counter
from threading import Lock
from typing import Any

import structlog
from attrs import Factory, define, field

from workbell.adapters.observability.metrics import Measure
from workbell.ports.cache import Cache


@define(eq=False)
class CountingCache:
    """
    Hits and misses by the kind of key: the part before its first colon.

    Hits are logged as debug, misses as info; so a console that shows info
    shows the misses only.
    """

    _cache: Cache
    _log: Any = field(default=Factory(structlog.get_logger), repr=False)
    _counts: Counter[tuple[str, str]] = field(default=Factory(Counter), init=False, repr=False)
    _lock: Lock = field(default=Factory(Lock), init=False, repr=False)

    def get(self, key: str) -> Any | None:
        """Return the value that is kept under a key, or None."""
        found = self._cache.get(key)
        kind = key.partition(":")[0]
        with self._lock:
            self._counts[kind, "miss" if found is None else "hit"] += 1
        if found is None:
            self._log.info("cache_miss", key=key)
        else:
            self._log.debug("cache_hit", key=key)
        return found

    def put(self, key: str, value: Any, seconds: int) -> None:
        """Keep a JSON value under a key, for so many seconds at most."""
        self._cache.put(key, value, seconds)

    def measure(self) -> Measure:
        """Return how often there was a `hit` and a `miss`, by kind."""
        with self._lock:
            counted = sorted(self._counts.items())
        return Measure(
            "workbell_cache_requests_total",
            "Summaries asked of the cache, by outcome.",
            "counter",
            [({"summary": kind, "outcome": word}, count) for (kind, word), count in counted],
        )
