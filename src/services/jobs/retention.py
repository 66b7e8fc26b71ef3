"""Retention: deletes old jobs, stale workers and other old rows."""

from collections.abc import Callable, Mapping
from datetime import timedelta

from attrs import Factory, frozen

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
    Deletes jobs that ended longer ago than the maximum age of their state.

    Jobs of a schedule have one maximum age for all states. `extra_prunes`
    delete other old rows, by their kind; each returns how many.
    """

    store: Store[JobsTx]
    clock: Clock
    files: FileStore
    max_age: Mapping[JobState, timedelta]
    max_age_scheduled: timedelta
    extra_prunes: Mapping[str, Callable[[], int]] = Factory(dict[str, Callable[[], int]])

    @retry_on_contention
    def prune(self) -> Mapping[str, int]:
        """Delete old rows in batches; return how many of each kind, without zeros."""
        now = self.clock.now()
        deleted = self._prune_batches(None, self.max_age_scheduled)
        for state in ENDED:
            deleted += self._prune_batches(state, self.max_age[state])
        with self.store.begin() as tx:
            tx.workers.remove_stale(now - WORKER_SILENCE)
        counts = {"jobs": deleted, **{kind: prune() for kind, prune in self.extra_prunes.items()}}
        return {kind: count for kind, count in counts.items() if count}

    def _prune_batches(self, state: JobState | None, age: timedelta) -> int:
        before = self.clock.now() - age
        deleted = 0
        while True:
            with self.store.begin() as tx:
                keys = (
                    tx.jobs.prune_scheduled(before, limit=BATCH)
                    if state is None
                    else tx.jobs.prune([state], before, limit=BATCH)
                )
                # before the commit: after a crash the rows are pruned again, and no file is left
                for key in filter(None, keys):
                    self.files.delete(key)
            deleted += len(keys)
            if not keys:
                return deleted
