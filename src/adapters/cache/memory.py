"""A bounded LRU cache in memory."""

from collections import OrderedDict
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from attrs import Factory, define, field

from workbell.adapters.serialization import json_codec as jsontext
from workbell.ports.system import Clock

MAX_ENTRIES = 10_000
MAX_BYTES = 64 * 1024 * 1024
"""Beyond either limit, the least recently used entries are evicted."""


@define(eq=False)
class MemoryCache:
    """JSON text by key, so that callers cannot change cached values."""

    _clock: Clock
    _max_entries: int = MAX_ENTRIES
    _max_bytes: int = MAX_BYTES
    _size: int = field(default=0, init=False)
    _entries: OrderedDict[str, tuple[datetime, bytes]] = field(
        default=Factory(OrderedDict), init=False, repr=False
    )
    _lock: Lock = field(default=Factory(Lock), init=False, repr=False)

    def get(self, key: str) -> Any | None:
        """Return the cached value of a key, or None."""
        now = self._clock.now()
        with self._lock:
            if key not in self._entries:
                return None
            until, text = self._entries[key]
            if until <= now:
                self._evict(key)
                return None
            self._entries.move_to_end(key)
        return jsontext.loads(text)

    def put(self, key: str, value: Any, seconds: int) -> None:
        """Cache a JSON value for at most `seconds`."""
        until, text = self._clock.now() + timedelta(seconds=seconds), jsontext.dumps(value)
        with self._lock:
            if key in self._entries:
                self._evict(key)
            self._entries[key] = until, text
            self._size += len(text)
            while len(self._entries) > self._max_entries or self._size > self._max_bytes:
                self._evict(next(iter(self._entries)))

    def _evict(self, key: str) -> None:
        self._size -= len(self._entries.pop(key)[1])
