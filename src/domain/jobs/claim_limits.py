"""Limits of one claim: excluded tasks, and running jobs of one owner."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property

from attrs import Factory, frozen

from workbell.domain.identity.user import SYSTEM_ID, UserId
from workbell.domain.jobs.job import ClaimMode


def default_owner_threads(threads: int) -> int:
    """Return how many of a worker's threads one owner may use: three quarters."""
    return max(1, threads * 3 // 4)


@frozen(kw_only=True)
class ClaimLimits:
    """
    Tasks and fairness keys that a claim leaves out of the ready jobs of its queue.

    Jobs of the system, and batch tasks, do not count towards the limits of a
    fairness key; a key at a limit is left out as a whole.

    Attributes:
        excluded_tasks: Keys of tasks that the process does not know.
        owner_threads: Jobs of one fairness key that the process may run at once;
            None is unlimited.
        running: How many jobs of each fairness key the process runs.
        owner_running: Jobs of one fairness key that may run in all processes
            together; None is unlimited. The store counts them, so that claims
            of several processes at the same time may exceed it.
        running_everywhere: How many run in all processes; set by the store.
    """

    excluded_tasks: Sequence[str] = ()
    owner_threads: int | None = None
    running: Mapping[str, int] = Factory(dict[str, int])
    owner_running: int | None = None
    running_everywhere: Mapping[str, int] = Factory(dict[str, int])

    @cached_property
    def default_slots(self) -> int | None:
        """How many jobs of a key without running jobs may start; None is unlimited."""
        limits = [limit for limit in (self.owner_threads, self.owner_running) if limit is not None]
        return min(limits, default=None)

    @cached_property
    def slots_by_key(self) -> Mapping[str, int]:
        """How many more jobs may start of each key that has running ones; at least 0."""
        here, anywhere = self.owner_threads, self.owner_running
        slots: dict[str, int] = {}
        if here is not None:
            slots = {key: max(0, here - count) for key, count in self.running.items()}
        if anywhere is not None and self.default_slots is not None:
            for key, count in self.running_everywhere.items():
                slots[key] = min(slots.get(key, self.default_slots), max(0, anywhere - count))
        return slots

    @cached_property
    def saturated_keys(self) -> Sequence[str]:
        """The fairness keys that are at a limit, sorted."""
        return sorted(key for key, slots in self.slots_by_key.items() if slots == 0)

    @cached_property
    def fewest_slots(self) -> int | None:
        """The free slots of the fullest key that is below its limits; None is unlimited."""
        if self.default_slots is None:
            return None
        return min([self.default_slots, *filter(None, self.slots_by_key.values())])

    def free_slots(self, key: str) -> int | None:
        """Return how many more jobs of a fairness key may start; None is unlimited."""
        return self.slots_by_key.get(key, self.default_slots)


UNLIMITED = ClaimLimits()


def is_counted(owner: UserId, mode: ClaimMode) -> bool:
    """Whether a job counts towards the limits of its fairness key."""
    return owner != SYSTEM_ID and mode is not ClaimMode.BATCH


def select_within_limits(
    rows: Sequence[tuple[str, UserId, ClaimMode]], limits: ClaimLimits
) -> list[int]:
    """
    Return the positions of the rows that fit the free slots of their fairness keys.

    Rows are (fairness key, owner, mode) in the order of the claim.
    """
    taken: Counter[str] = Counter()
    selected: list[int] = []
    for position, (key, owner, mode) in enumerate(rows):
        if is_counted(owner, mode):
            slots = limits.free_slots(key)
            if slots is not None and taken[key] >= slots:
                continue
            taken[key] += 1
        selected.append(position)
    return selected
