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
    Checks that an owner has room for more waiting jobs.

    Counting reads up to `limit` rows. Half of the room that a count finds may be used
    within one second without another count, which leaves the other half to other
    services and processes. If little room is left, every check counts.
    """

    _store: Store[JobsTx]
    _clock: Clock
    _limit: int
    _room: dict[UserId, tuple[datetime, int]] = field(factory=dict, init=False)
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
        """Use the room that the last count found; return whether there was enough."""
        with self._lock:
            counted_at, room = self._room.get(owner, (None, 0))
            if counted_at is None or room < adding:
                return False
            if not timedelta(0) <= self._clock.now() - counted_at < VALIDITY:
                return False
            self._room[owner] = counted_at, room - adding
            return True

    def _set(self, owner: UserId, now: datetime, room: int) -> None:
        with self._lock:
            if len(self._room) >= MAX_OWNERS:
                self._room.clear()
            self._room[owner] = now, room
