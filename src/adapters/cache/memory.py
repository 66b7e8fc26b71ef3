"""The cache in memory: as long as its process, and bounded."""

from collections import OrderedDict
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from attrs import Factory, define, field

from workbell.adapters.serialization import json_codec as jsontext
from workbell.ports.system import Clock

MOST_ENTRIES = 10_000
MOST_BYTES = 64 * 1024 * 1024
"""Of more, the longest unused are forgotten."""


@define(eq=False)
class MemoryCache:
    """JSON text by key; nobody can change what another has been given."""

    _clock: Clock
    _most: int = MOST_ENTRIES
    _most_bytes: int = MOST_BYTES
    _size: int = field(default=0, init=False)
    _kept: OrderedDict[str, tuple[datetime, bytes]] = field(
        default=Factory(OrderedDict), init=False, repr=False
    )
    _lock: Lock = field(default=Factory(Lock), init=False, repr=False)

    def get(self, key: str) -> Any | None:
        """Return the value that is kept under a key, or None."""
        now = self._clock.now()
        with self._lock:
            if key not in self._kept:
                return None
            until, text = self._kept[key]
            if until <= now:
                self._forget(key)
                return None
            self._kept.move_to_end(key)
        return jsontext.loads(text)

    def put(self, key: str, value: Any, seconds: int) -> None:
        """Keep a JSON value under a key, for so many seconds at most."""
        until, text = self._clock.now() + timedelta(seconds=seconds), jsontext.dumps(value)
        with self._lock:
            if key in self._kept:
                self._forget(key)
            self._kept[key] = until, text
            self._size += len(text)
            while len(self._kept) > self._most or self._size > self._most_bytes:
                self._forget(next(iter(self._kept)))

    def _forget(self, key: str) -> None:
        self._size -= len(self._kept.pop(key)[1])
