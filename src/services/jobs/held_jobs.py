"""The walk of a sweeper over the concurrency keys that hold jobs."""

from collections.abc import Sequence

from attrs import define

from workbell.ports.jobs.repository import JobsTx, Releasable
from workbell.ports.store import Store

KEYS_PER_SWEEP = 500
THOROUGH_ROUNDS = 10
MOVE_LIMIT = 500
"""Jobs that one transaction of a sweep holds or releases."""
HOLD_SWEEPS = 5


@define(eq=False)
class HeldJobsWalk:
    """
    Where the sweeps of a process continue; a round reads every key once.

    One round in 10 is thorough: it also reads past jobs of inactive tasks. Ready
    jobs of inactive tasks are looked for in every fifth sweep, or while there are any.
    """

    _after: str = ""
    _round: int = 0
    _sweeps_without_hold: int = HOLD_SWEEPS

    def find_releasable(self, tx: JobsTx) -> Releasable:
        """Return what may be released of the next 500 keys; lock nothing."""
        thorough = self._round % THOROUGH_ROUNDS == 0
        found = tx.jobs.find_releasable(self._after, limit=KEYS_PER_SWEEP, thorough=thorough)
        self._after = found.last_key
        self._round += not found.last_key
        return found

    def hold_inactive(self, store: Store[JobsTx], tasks: Sequence[str]) -> bool:
        """
        Hold ready jobs of inactive tasks; return whether there are more.

        Workers claim none of them, but each claim would read past them.
        """
        self._sweeps_without_hold += 1
        if not tasks or self._sweeps_without_hold <= HOLD_SWEEPS:
            return False
        with store.begin() as tx:
            held = tx.jobs.hold_first(tasks, limit=MOVE_LIMIT)
        self._sweeps_without_hold = HOLD_SWEEPS if held else 0
        return held >= MOVE_LIMIT
