"""Limit of an owner's waiting jobs."""

from datetime import datetime, timedelta
from threading import Lock

from attrs import define, field

from workbell.domain.identity.user import SYSTEM_ID, UserId
from workbell.domain.jobs.job import check_waiting_limit
from workbell.ports.jobs.repository import JobsTx
from workbell.ports.store import Store
from workbell.ports.system import Clock

VALIDITY = timedelta(seconds=1)
MAX_OWNERS = 10_000


@define(eq=False)
class WaitingCapacity:
    """
    Checks that an owner may have more waiting jobs.

    Counting reads up to `limit` rows. Half of the jobs that a count leaves may be added
    within one second without another count; the other half is for other services and
    processes. Close to the limit every check counts.
    """

    _store: Store[JobsTx]
    _clock: Clock
    _limit: int
    _unused: dict[UserId, tuple[datetime, int]] = field(factory=dict, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def check(self, owner: UserId, adding: int) -> None:
        """
        Raise LimitReached if an owner would have too many waiting jobs.

        The system has no limit.
        """
        if owner == SYSTEM_ID or self._use(owner, adding):
            return
        now = self._clock.now()
        with self._store.view() as tx:
            waiting = tx.jobs.count_waiting(owner, limit=self._limit)
        check_waiting_limit(waiting, adding, self._limit)
        self._set(owner, now, (self._limit - waiting - adding) // 2)

    def _use(self, owner: UserId, adding: int) -> bool:
        """Use what the last count left; return whether it was enough."""
        with self._lock:
            counted_at, unused = self._unused.get(owner, (None, 0))
            if counted_at is None or unused < adding:
                return False
            if not timedelta(0) <= self._clock.now() - counted_at < VALIDITY:
                return False
            self._unused[owner] = counted_at, unused - adding
            return True

    def _set(self, owner: UserId, now: datetime, unused: int) -> None:
        with self._lock:
            if len(self._unused) >= MAX_OWNERS:
                self._unused.clear()
            self._unused[owner] = now, unused
