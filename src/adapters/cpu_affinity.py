"""Processors: some hash, and who answers keeps off these meanwhile."""

import os
import sys
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from math import inf
from threading import Thread, get_native_id, local
from time import monotonic
from typing import Final, TypeVar

from attrs import Factory, define, field

_YIELDING = 10
"""How much lower the priority of who hashes is: a tenth beside busy neighbours, not nothing."""
_STAY_AWAY = 0.1
"""Seconds: who signs in next is not far, and changing places costs something, too."""

_T = TypeVar("_T")


def _allowed() -> frozenset[int]:
    some = os.sched_getaffinity(0) if sys.platform == "linux" else range(os.cpu_count() or 1)
    return frozenset(some)


@define(eq=False)
class Processors:
    """
    The upper half of the processors hashes; the others answer while it does.

    A scheduler would let a thread that answers wait behind a hash for up to a
    tick, 4 ms, and with cold caches. Where a process has one processor, or
    threads cannot be bound (all but Linux), every thread runs where it likes.
    """

    everywhere: frozenset[int] = Factory(_allowed)
    hashing: frozenset[int] = field(init=False)
    _under_way: set[int] = field(init=False, factory=set[int])
    _latest: float = field(init=False, default=-inf)
    _threads: local = field(init=False, factory=local, repr=False)

    def __attrs_post_init__(self) -> None:
        """Share them out: of an odd number hashing has the fewer ones."""
        in_order = sorted(self.everywhere)
        self.hashing = frozenset(in_order[(len(in_order) + 1) // 2 :])

    def yielding(self, work: Callable[[], _T]) -> _T:
        """
        Return what some work comes to, done where hashing is, at a lower priority.

        It is done in a thread of its own because only a privileged process
        could take back its priority.
        """
        done: Future[_T] = Future()

        def run() -> None:
            mine = get_native_id()
            self._under_way.add(mine)
            try:
                _lower(mine)
                self._bind(self.hashing)
                done.set_result(work())
            except Exception as error:  # noqa: BLE001 - it is raised where it was asked for
                done.set_exception(error)
            finally:
                self._latest = monotonic()
                self._under_way.discard(mine)

        Thread(target=run, name="hash", daemon=True).start()
        return done.result()

    def keep_off(self) -> None:
        """Have the thread that calls keep off the hashing, if there is any, and else not."""
        away = bool(self._under_way) or monotonic() < self._latest + _STAY_AWAY
        if away is not getattr(self._threads, "away", False):
            self._threads.away = away
            self._bind(self.everywhere - self.hashing if away else self.everywhere)

    def _bind(self, where: frozenset[int]) -> None:
        if self.hashing and sys.platform == "linux":
            with suppress(OSError):  # some containers forbid it, or took a processor away
                os.sched_setaffinity(0, where)


def _lower(thread: int) -> None:
    if sys.platform == "linux":
        with suppress(OSError):  # some containers forbid it
            lower = os.getpriority(os.PRIO_PROCESS, thread) + _YIELDING  # at most 19 is kept
            os.setpriority(os.PRIO_PROCESS, thread, lower)


PROCESSORS: Final = Processors()
"""Those of this process."""
