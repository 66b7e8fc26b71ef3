"""State changes of waiting jobs: staging, fair tags, concurrency limits."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from attrs import define, evolve

from workbell.adapters.memory.tables import Tables
from workbell.domain.jobs.job import Job, JobId, JobState, fair_tag
from workbell.ports.system import Clock


@define(eq=False)
class MemoryJobTable:
    """
    The jobs of one transaction, and what to notify after its commit.

    `woken` are queues with work, `stopped` cancelled jobs with their workers.
    """

    tables: Tables
    clock: Clock
    woken: set[str]
    stopped: set[tuple[str, JobId]]

    def get(self, job_id: JobId) -> Job | None:
        """Return a job of any owner, or None."""
        return self.tables.jobs.get(job_id)

    def put(self, job: Job) -> None:
        """Insert or update a job."""
        self.tables.put_job(job)

    def by_index(self, *key: Any) -> Iterator[Job]:
        """Yield the jobs of an index key, in order."""
        for entry in self.tables.job_index.of(*key):
            yield self.tables.jobs.rows[entry[-1] if isinstance(entry, tuple) else entry]

    def running(self, job_id: JobId, token: int) -> Job | None:
        """Return a job if it runs under the token, or None."""
        job = self.get(job_id)
        if job is None or job.state is not JobState.RUNNING or job.token != token:
            return None
        return job

    def is_active(self, task: str) -> bool:
        """Whether a task is active and not parked; one without a definition is."""
        return all(known.is_runnable for known in self.tables.definitions if known.key == task)

    def free_slots(self, concurrency_key: str | None) -> int | None:
        """Return how many more jobs of a key may be READY or RUNNING; None is unlimited."""
        if concurrency_key is None:
            return None
        return (self.tables.concurrency_keys.get(concurrency_key) or 0) - len(
            self.tables.job_index.of("busy", concurrency_key)
        )

    def make_ready(self, jobs: Sequence[Job], now: datetime) -> list[Job]:
        """Move jobs to READY, with fair tags computed from the state before the call."""
        shares = {(job.queue, job.priority, job.fairness_key) for job in jobs}
        tags = {share: self._tags(*share) for share in shares}
        nth: Counter[tuple[str, int, str]] = Counter()
        ready = []
        for job in jobs:
            share = (job.queue, job.priority, job.fairness_key)
            nth[share] += 1
            tag = fair_tag(*tags[share], nth[share], job.weight)
            ready.append(evolve(job, state=JobState.READY, fair_tag=tag, queued_at=now))
        for job in ready:
            self.put(job)
            self.woken.add(job.queue)
        return ready

    def stage(self, jobs: Iterable[Job], now: datetime) -> None:
        """Move due jobs to READY, or HELD if the key is at its limit or the task inactive."""
        ready, concurrency_keys = [], set()
        for job in jobs:
            if job.concurrency_key is None and self.is_active(job.task):
                ready.append(job)
                continue
            self.put(evolve(job, state=JobState.HELD))
            if job.concurrency_key is not None:
                concurrency_keys.add(job.concurrency_key)
        self.make_ready(ready, now)
        self.release(concurrency_keys, now)

    def release(self, concurrency_keys: Iterable[str | None], now: datetime) -> int:
        """Make the next held jobs of keys READY up to the limits; return how many."""
        released: list[Job] = []
        for key in sorted(key for key in concurrency_keys if key is not None):
            held = (job for job in self.by_index("held", key) if self.is_active(job.task))
            released += islice(held, max(self.free_slots(key) or 0, 0))
        return len(self.make_ready(released, now))

    def _tags(
        self, queue: str, priority: int, fairness_key: str
    ) -> tuple[float | None, float | None]:
        """Return the lowest ready tag of a queue and priority, and a share's highest."""
        ready = self.tables.job_index.of("ready", queue)
        first = bisect_left(ready, (-priority,))
        lowest = ready[first][1] if first < len(ready) and ready[first][0] == -priority else None
        share = self.tables.job_index.of("share", queue, priority, fairness_key)
        return lowest, share[-1][0] if share else None
