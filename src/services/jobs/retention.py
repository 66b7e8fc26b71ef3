"""Housekeeping: history is kept as long as was asked, and no longer."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from attrs import frozen

from workbell.domain.jobs.job import ENDED, JobState
from workbell.ports.files import FileStore
from workbell.ports.jobs.repository import JobsTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.transaction_retry import retry_on_contention

BATCH = 500
WORKER_SILENCE = timedelta(minutes=5)


@frozen(kw_only=True)
class RetentionService:
    """
    Prune ended jobs by their state's age, in batches.

    Jobs of a schedule go by one age, whatever their state. `also` are other
    things that have their own age; each returns how many went.
    """

    store: Store[JobsTx]
    clock: Clock
    files: FileStore
    max_age: Mapping[JobState, timedelta]
    max_age_scheduled: timedelta
    extra_prunes: Sequence[Callable[[], int]] = ()

    @retry_on_contention
    def prune(self) -> int:
        """Delete what is past its time; return how many files, and jobs without files, went."""
        now = self.clock.now()
        gone = self._batches(None, self.max_age_scheduled)
        for state in ENDED:
            gone += self._batches(state, self.max_age[state])
        with self.store.begin() as tx:
            tx.workers.remove_stale(now - WORKER_SILENCE)
        return gone + sum(prune() for prune in self.extra_prunes)

    def _batches(self, state: JobState | None, age: timedelta) -> int:
        before = self.clock.now() - age
        gone = 0
        while True:
            with self.store.begin() as tx:
                keys = (
                    tx.jobs.prune_scheduled(before, limit=BATCH)
                    if state is None
                    else tx.jobs.prune([state], before, limit=BATCH)
                )
                # before the commit: a crash leaves rows to be pruned again, but never a file
                for key in filter(None, keys):
                    self.files.delete(key)
            gone += len(keys)
            if not keys:
                return gone
