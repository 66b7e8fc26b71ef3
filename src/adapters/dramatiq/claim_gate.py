"""Claims of one process at the same time, within the limit of an owner's threads."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from threading import Condition

from attrs import define, field


@define(eq=False)
class ClaimGate:
    """
    Admits claims together while no fairness key can exceed its limit.

    Claims of several queues may be under way at once. Each takes the running
    jobs into account, but not what the others are about to claim: near the limit
    a claim waits until the others have ended.
    """

    limit: int | None
    _under_way: int = 0
    _ended: Condition = field(factory=Condition)

    @contextmanager
    def admit(
        self, rows: int, count: Callable[[], Mapping[str, int]]
    ) -> Generator[Mapping[str, int]]:
        """
        Admit a claim of up to `rows` jobs of a key for the duration of the block.

        Yields what `count` returns: the running jobs by fairness key. Claimed
        jobs must be counted before the block ends.
        """
        if self.limit is None:
            yield {}
            return
        rows = min(rows, self.limit)
        with self._ended:
            counts = count()
            while self._under_way and not self._fits(rows + self._under_way, counts):
                self._ended.wait()
                counts = count()
            self._under_way += rows
        try:
            yield counts
        finally:
            with self._ended:
                self._under_way -= rows
                self._ended.notify_all()

    def _fits(self, rows: int, counts: Mapping[str, int]) -> bool:
        assert self.limit is not None
        open_counts = [count for count in counts.values() if count < self.limit]
        return max(open_counts, default=0) + rows <= self.limit
