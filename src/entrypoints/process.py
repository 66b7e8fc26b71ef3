"""The life of a process: what it heeds, what it keeps, how it ends."""

import ctypes
import gc
import os
import signal
import sys
from contextlib import suppress
from threading import Event

from attrs import define, field

EXIT_STUCK = 70
_ARENA_MAX = -8
"""`M_ARENA_MAX` of glibc's malloc.h."""


@define(eq=False)
class Life:
    """
    One process from its start to its end.

    The first SIGTERM or SIGINT asks it to stop, the second one ends it.
    """

    status: int = 0
    _stop: Event = field(factory=Event)

    def heed_signals(self) -> None:
        """Take the signals; only the main thread may call it."""
        signal.signal(signal.SIGINT, self._ask)
        signal.signal(signal.SIGTERM, self._ask)

    @property
    def stopping(self) -> bool:
        """Whether it has been asked to stop."""
        return self._stop.is_set()

    def give_up(self) -> None:
        """Stop, and have a supervisor start the process anew: its threads are stuck."""
        self.status = EXIT_STUCK
        self._stop.set()

    def wait(self) -> None:
        """Wait until it is asked to stop."""
        self._stop.wait()

    def end(self, *, rested: bool) -> int:
        """Return the exit status; where threads are still busy, end the process at once."""
        if not rested or self.status:
            _leave(self.status)
        return self.status

    def _ask(self, _: int, __: object) -> None:
        if self.stopping:
            _leave(1)
        self._stop.set()


def share_one_heap() -> None:
    """
    Have all threads take their memory from one heap; call it before there is a second one.

    glibc has up to eight heaps a processor, and each keeps the 19 MiB that the hash of
    a password has taken from it: 300 MiB after 20 logins, where one heap keeps them once.
    """
    with suppress(AttributeError):  # other C libraries have one heap, or another switch
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)


def settle() -> None:
    """Keep what was built out of the collector's walks, and give back what building took."""
    gc.freeze()
    with suppress(AttributeError):  # only glibc waits to be asked
        ctypes.CDLL(None).malloc_trim(0)


def _leave(status: int) -> None:
    """End the process although threads are busy; their leases run out."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
