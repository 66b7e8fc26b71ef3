"""Retention: deletes old jobs, stale workers and other old rows."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial

from attrs import Factory, frozen

from workbell.domain.errors import Unavailable
from workbell.domain.jobs.job import ENDED, JobState
from workbell.ports.files import FileStore
from workbell.ports.jobs.repository import JobsTx
from workbell.ports.quarantine import NO_REPORTER, QuarantineReporter
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.faults import describe_fault
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
    reporter: QuarantineReporter = NO_REPORTER

    @retry_on_contention
    def prune(self) -> Mapping[str, int]:
        """
        Delete old rows in batches; return how many of each kind, without zeros.

        A step that fails stops no other, unless the store is unavailable.
        """
        jobs: list[Callable[[], int]] = [
            lambda: self._prune_batches(None, self.max_age_scheduled),
            *[partial(self._prune_batches, state, self.max_age[state]) for state in ENDED],
        ]
        counts = {"jobs": sum(map(self._run_step, jobs))}
        self._run_step(self._remove_stale_workers)
        counts["concurrency_keys"] = self._run_step(self._remove_unused_keys)
        counts |= {kind: self._run_step(prune) for kind, prune in self.extra_prunes.items()}
        return {kind: count for kind, count in counts.items() if count}

    def _run_step(self, step: Callable[[], int]) -> int:
        try:
            return step()
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - of one of the rows
            self.reporter.report("retention", 0, describe_fault(error))
            return 0

    def _remove_stale_workers(self) -> int:
        with self.store.begin() as tx:
            tx.workers.remove_stale(self.clock.now() - WORKER_SILENCE)
        return 0

    def _remove_unused_keys(self) -> int:
        removed, after = self._remove_some_keys("")
        while after:
            some, after = self._remove_some_keys(after)
            removed += some
        return removed

    @retry_on_contention
    def _remove_some_keys(self, after: str) -> tuple[int, str]:
        with self.store.begin() as tx:
            return tx.jobs.remove_unused_keys(after, limit=BATCH)

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
