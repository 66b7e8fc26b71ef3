"""Parking: jobs of a task that no worker knows are held until one does."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import frozen

from workbell.ports.jobs.queues import WorkerInfo
from workbell.ports.jobs.repository import JobsTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.transaction_retry import retry_on_contention

PARK_LIMIT = 500
"""Jobs that one transaction holds or releases."""


@frozen(kw_only=True)
class ParkingResult:
    """Keys of tasks that a sweep parked or released; `is_active` while any is parked."""

    parked: Sequence[str] = ()
    released: Sequence[str] = ()
    is_active: bool = False


@frozen(kw_only=True)
class ParkingService:
    """
    Parks tasks that live workers exclude and none knows; releases the others.

    Without it, every claim would read past the ready jobs of such a task. A
    worker is live within `lease` after its heartbeat; `park_after` is how long
    it must have excluded a task.
    """

    store: Store[JobsTx]
    clock: Clock
    lease: timedelta
    park_after: timedelta

    def sweep(self) -> ParkingResult:
        """Park and release tasks, and hold up to 500 ready jobs of parked ones."""
        now = self.clock.now()
        with self.store.view() as tx:
            workers = [each for each in tx.workers.all() if each.seen_at >= now - self.lease]
            parked = tx.definitions.parked()
        known = {key for worker in workers for key in worker.knows}
        excluded = self._excluded_long(workers, now) - known
        newly = tuple(key for key in sorted(excluded - parked.keys()) if self._park(key, now))
        released = tuple(key for key in sorted(parked.keys() & known) if self._release(key, now))
        unknown = sorted({*parked, *newly} - known)
        if unknown:
            self._hold(unknown)
        is_active = bool(unknown) or len(released) < len(parked.keys() & known)
        return ParkingResult(parked=newly, released=released, is_active=is_active)

    def _excluded_long(self, workers: Sequence[WorkerInfo], now: datetime) -> set[str]:
        before = now - self.park_after
        return {key for each in workers for key, since in each.excluded.items() if since <= before}

    @retry_on_contention
    def _park(self, key: str, now: datetime) -> bool:
        with self.store.begin() as tx:
            return tx.definitions.set_parked(key, now)

    @retry_on_contention
    def _release(self, key: str, now: datetime) -> bool:
        with self.store.begin() as tx:
            return release_parked(tx, key, now)

    @retry_on_contention
    def _hold(self, keys: Sequence[str]) -> None:
        with self.store.begin() as tx:
            tx.jobs.hold_first(keys, limit=PARK_LIMIT)


def release_parked(tx: JobsTx, key: str, now: datetime) -> bool:
    """
    Release up to 500 held jobs of a parked task; return whether these were all.

    The task stays parked until all are released, so that the sweeper continues.
    """
    is_active = tx.definitions.by_key(key).is_active
    if is_active and tx.jobs.release_task(key, now, limit=PARK_LIMIT) >= PARK_LIMIT:
        return False
    return tx.definitions.set_parked(key, None)
