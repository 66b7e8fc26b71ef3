"""Buffer of settlements that are committed together."""

from collections.abc import Iterable
from threading import Lock
from time import monotonic

from attrs import define, field

from workbell.domain.jobs.attempt import Settlement


@define(eq=False)
class SettlementBuffer:
    """Settlements of batch tasks, and those whose transaction failed."""

    _settlements: list[Settlement] = field(factory=list[Settlement])
    _oldest_at: float = 0.0
    _lock: Lock = field(factory=Lock)

    def __len__(self) -> int:
        """Return the number of settlements."""
        return len(self._settlements)

    def add(self, settlement: Settlement) -> None:
        """Append a settlement."""
        self.requeue([settlement])

    def requeue(self, settlements: Iterable[Settlement]) -> None:
        """Append settlements again whose transaction failed."""
        with self._lock:
            if not self._settlements:
                self._oldest_at = monotonic()
            self._settlements += settlements

    def is_due(self, older_than: float) -> bool:
        """Whether the first settlement has waited for `older_than` seconds."""
        with self._lock:
            return bool(self._settlements) and monotonic() - self._oldest_at >= older_than

    def drain(self) -> list[Settlement]:
        """Remove and return all settlements, in order."""
        with self._lock:
            drained, self._settlements = self._settlements, []
        return drained
