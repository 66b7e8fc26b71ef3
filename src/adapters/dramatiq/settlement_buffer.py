"""Buffer of settlements that are committed together."""

from collections.abc import Iterable
from threading import Lock
from time import monotonic
from typing import NamedTuple

from attrs import define, field

from workbell.domain.jobs.attempt import Settlement


class _WaitingSettlement(NamedTuple):
    since: float
    settlement: Settlement


@define(eq=False)
class SettlementBuffer:
    """Settlements of batch tasks, and those whose transaction failed."""

    _waiting: list[_WaitingSettlement] = field(factory=list[_WaitingSettlement])
    _lock: Lock = field(factory=Lock)

    def __len__(self) -> int:
        """Return the number of settlements."""
        return len(self._waiting)

    def add(self, settlement: Settlement) -> None:
        """Append a settlement."""
        with self._lock:
            self._waiting.append(_WaitingSettlement(monotonic(), settlement))

    def requeue(self, settlements: Iterable[Settlement]) -> None:
        """Append settlements again whose transaction failed."""
        now = monotonic()
        with self._lock:
            self._waiting += [_WaitingSettlement(now, settlement) for settlement in settlements]

    def is_due(self, older_than: float) -> bool:
        """Whether the first settlement has waited for `older_than` seconds."""
        with self._lock:
            return bool(self._waiting) and monotonic() - self._waiting[0].since >= older_than

    def drain(self) -> list[Settlement]:
        """Remove and return all settlements, in order."""
        with self._lock:
            drained, self._waiting = self._waiting, []
        return [waiting.settlement for waiting in drained]
