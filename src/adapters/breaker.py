"""A breaker: what does not answer is left alone for a while."""

from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Final

from attrs import Factory, define, field

REST_SECONDS: Final = 1.0


@define(eq=False)
class Breaker:
    """Open for a while after a failure; then one call may try, and the others wait."""

    _rest_seconds: float = REST_SECONDS
    _time: Callable[[], float] = monotonic
    _open_until: float | None = field(default=None, init=False)
    _lock: Lock = field(default=Factory(Lock), init=False, repr=False)

    def admits(self) -> bool:
        """Whether a call may be made now."""
        if self._open_until is None:
            return True
        with self._lock:
            now = self._time()
            if self._open_until is not None:
                if now < self._open_until:
                    return False
                self._open_until = now + self._rest_seconds
            return True

    def failed(self) -> bool:
        """Open; return whether it was closed before."""
        with self._lock:
            was_closed = self._open_until is None
            self._open_until = self._time() + self._rest_seconds
        return was_closed

    def succeeded(self) -> bool:
        """Close; return whether it was open before."""
        if self._open_until is None:
            return False
        with self._lock:
            was_open, self._open_until = self._open_until is not None, None
        return was_open
