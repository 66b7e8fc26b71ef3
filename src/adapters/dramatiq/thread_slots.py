"""Which threads of a worker run jobs, and which are idle."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from attrs import define, field


@define(eq=False)
class ThreadSlots:
    """
    Counts the threads of a worker that are busy, reserved or idle.

    A thread is written off while it runs a body whose attempt was closed: it is
    not busy, because another thread has its place.

    A reserved thread is idle and has been sent a wake-up; it is busy once it
    starts its turn. Satisfies `IdleThreads`: no thread counts as idle after
    `close`.
    """

    total: int
    busy: int = 0
    reserved: int = 0
    is_open: bool = True
    _idle_changed: Condition = field(factory=Condition)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Count a thread as busy for the duration of a block."""
        with self._idle_changed:
            self.busy += 1
            self.reserved = max(0, self.reserved - 1)
        try:
            yield
        finally:
            with self._idle_changed:
                self.busy -= 1
                self._idle_changed.notify_all()

    def write_off(self) -> None:
        """Stop counting a busy thread."""
        with self._idle_changed:
            self.busy -= 1
            self._idle_changed.notify_all()

    def count_again(self) -> None:
        """Count a written-off thread until it ends its turn."""
        with self._idle_changed:
            self.busy += 1

    def wait_idle(self, seconds: float) -> bool:
        """Wait at most `seconds` for an idle thread; return whether one is."""
        with self._idle_changed:
            return self._idle_changed.wait_for(self._has_idle, seconds)

    def wait_turn_end(self, seconds: float) -> None:
        """Wait until a thread ends its turn, for at most `seconds`."""
        with self._idle_changed:
            self._idle_changed.wait(seconds)

    def reserve_idle_thread(self) -> bool:
        """Reserve an idle thread; return False if there is none."""
        return self.is_open and self.reserve(1) == 1

    def reserve(self, limit: int) -> int:
        """Reserve at most `limit` idle threads; return how many."""
        with self._idle_changed:
            count = max(0, min(self.total - self.busy - self.reserved, limit))
            self.reserved += count
            return count

    def available(self, sharing: int) -> int:
        """Return how many claims can start; `sharing` busy threads request one."""
        return max(1, self.total - self.busy + sharing)

    def close(self) -> None:
        """Stop threads from starting work."""
        self.is_open = False

    def wait_all_idle(self, seconds: float) -> bool:
        """Wait at most `seconds` until no thread is busy; return whether so."""
        with self._idle_changed:
            return self._idle_changed.wait_for(lambda: self.busy == 0, seconds)

    def _has_idle(self) -> bool:
        return self.is_open and self.busy + self.reserved < self.total
