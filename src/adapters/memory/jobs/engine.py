"""Job execution in memory: stage, claim, settle, release, prune."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from attrs import define, evolve, fields

from workbell.adapters.memory.jobs.staging import MemoryJobTable
from workbell.adapters.memory.values import isolated_copy
from workbell.domain.jobs.attempt import Attempt, Claim, Outcome, Settlement
from workbell.domain.jobs.claim_limits import (
    UNLIMITED,
    ClaimLimits,
    is_counted,
    select_within_limits,
)
from workbell.domain.jobs.job import (
    ENDED,
    FIRST_ROWS,
    ClaimMode,
    Job,
    JobId,
    JobState,
    Progress,
    select_claimable,
)
from workbell.ports.jobs.repository import JobRef, Releasable

_CLAIM_FIELDS = tuple(
    each.name for each in fields(Claim) if each.name not in {"tick", "parameters", "unreadable"}
)
_ATTEMPT_FIELDS = (
    "queued_at",
    "started_at",
    "ended_at",
    "outcome",
    "error",
    "worker",
    "traceback",
    "isolation",
)


@define(eq=False)
class MemoryEngine:
    """The operations of workers and maintenance on jobs."""

    _rows: MemoryJobTable

    def stage(self, now: datetime, *, limit: int = 500, only: JobId | None = None) -> int:
        """Move due SCHEDULED jobs to READY or HELD, oldest due first."""
        jobs = self._rows.tables.jobs.rows
        due = [jobs[job_id] for job_id, _ in self.list_due(now, limit=limit)]
        due = [job for job in due if only in {None, job.id}]
        self._rows.stage(due, now)
        return len(due)

    def list_due(self, now: datetime, *, limit: int = 500) -> Sequence[JobRef]:
        """Return the ids and tokens of due SCHEDULED jobs."""
        entries = self._rows.tables.job_index.of("scheduled")[:limit]
        jobs = self._rows.tables.jobs.rows
        return [(job_id, jobs[job_id].token) for due_at, job_id in entries if due_at <= now]

    def claim(
        self,
        queue: str,
        *,
        worker: str,
        now: datetime,
        lease_until: datetime,
        limit: int,
        free_threads: int,
        limits: ClaimLimits = UNLIMITED,
        row_by_row: bool = False,  # noqa: ARG002 - rows are objects already
    ) -> Sequence[Claim]:
        """Claim ready jobs of a running queue."""
        if not self._is_running(queue):
            return []
        if limits.owner_running is not None:
            limits = evolve(limits, running_everywhere=self._count_running())
        rows = self._ready(queue, limit, limits)
        selected = select_within_limits([(j.fairness_key, j.owner, j.mode) for j in rows], limits)
        rows = [rows[position] for position in selected]
        taken = rows[: select_claimable([job.mode for job in rows], free_threads)]
        claims = []
        for job in taken:
            running = evolve(
                job,
                state=JobState.RUNNING,
                attempt=job.attempt + 1,
                token=job.token + 1,
                lease_until=lease_until,
                worker=worker,
                started_at=now,
            )
            self._rows.put(running)
            claims.append(_read_claim(running))
        return claims

    def settle_and_claim(
        self,
        settlements: Sequence[Settlement],
        queue: str,
        *,
        worker: str,
        now: datetime,
        lease_until: datetime,
        limit: int,
        free_threads: int,
        limits: ClaimLimits = UNLIMITED,
    ) -> tuple[Sequence[Claim], set[JobId]]:
        """Settle, then claim."""
        accepted = self.settle(settlements)
        claims = self.claim(
            queue,
            worker=worker,
            now=now,
            lease_until=lease_until,
            limit=limit,
            free_threads=free_threads,
            limits=limits,
        )
        return claims, accepted

    def settle(self, settlements: Sequence[Settlement]) -> set[JobId]:
        """Write outcomes and attempts; return the ids of the accepted ones."""
        accepted: dict[JobId, Settlement] = {}
        for each in settlements:
            job = self._rows.running(each.id, each.token)
            if job is None or job.lease_until is None:
                continue
            if each.lease_before is None or job.lease_until < each.lease_before:
                self._rows.put(_apply(job, each))
                self._add_attempt(each)
                accepted[each.id] = each
        if accepted:
            now = max(each.ended_at for each in accepted.values())
            jobs = [self._rows.tables.jobs.rows[job_id] for job_id in accepted]
            scheduled = [job for job in jobs if job.state is JobState.SCHEDULED]
            due = [job for job in scheduled if job.due_at <= accepted[job.id].ended_at]
            self._rows.stage(due, now)
            self._rows.release({job.concurrency_key for job in jobs} - {None}, now)
        return set(accepted)

    def renew_leases(
        self, claims: Sequence[tuple[JobId, int]], lease_until: datetime
    ) -> Mapping[JobId, bool]:
        """Renew leases; return, for each renewed job, whether to cancel it."""
        renewed = {}
        for job_id, token in claims:
            if (job := self._rows.running(job_id, token)) is not None:
                self._rows.put(evolve(job, lease_until=lease_until))
                renewed[job_id] = job.cancel_requested
        return renewed

    def find_cancelled(self, claims: Sequence[tuple[JobId, int]]) -> set[JobId]:
        """Return the running jobs of claims whose cancellation was requested."""
        found = (self._rows.running(job_id, token) for job_id, token in claims)
        return {job.id for job in found if job is not None and job.cancel_requested}

    def shorten_leases(self, after: datetime, lease_until: datetime) -> int:
        """Set leases that end after a time to another end; return how many."""
        entries = self._rows.tables.job_index.of("running")
        shortened = [job_id for lease, job_id in entries if lease > after]
        for job_id in shortened:
            job = self._rows.tables.jobs.rows[job_id]
            self._rows.put(evolve(job, lease_until=lease_until))
        return len(shortened)

    def hasten_retries(self, after: datetime, due_at: datetime) -> int:
        """Set another due time for retries of attempts that began after a time."""
        stranded = [
            job
            for job in self._rows.by_index("scheduled")
            if job.attempt > 0
            and job.due_at > after
            and job.started_at is not None
            and job.started_at > after
        ]
        for job in stranded:
            self._rows.put(evolve(job, due_at=due_at))
        return len(stranded)

    def release(self, claims: Sequence[tuple[JobId, int]]) -> set[JobId]:
        """Return unstarted claims to READY, or CANCELLED if that was requested."""
        given, freed = set(), set()
        now = self._rows.clock.now()
        for job_id, token in claims:
            job = self._rows.running(job_id, token)
            if job is None:
                continue
            given.add(job_id)
            back = self._restore_unclaimed(job)
            if job.cancel_requested:
                back = evolve(back, state=JobState.CANCELLED, ended_at=now)
                freed.add(job.concurrency_key)
            else:
                self._rows.woken.add(job.queue)
            self._rows.put(back)
        self._rows.release(freed - {None}, now)
        return given

    def expired(
        self, now: datetime, *, limit: int = 500, only: JobId | None = None
    ) -> Sequence[Claim]:
        """Return running jobs whose lease has expired, oldest first, without parameters."""
        jobs = self._rows.tables.jobs.rows
        found = [job_id for job_id, _ in self.list_expired(now, limit=limit)]
        return [_make_claim(jobs[job_id], {}) for job_id in found if only in {None, job_id}]

    def list_expired(self, now: datetime, *, limit: int = 500) -> Sequence[JobRef]:
        """Return the ids and tokens of running jobs whose lease has expired."""
        entries = self._rows.tables.job_index.of("running")[:limit]
        jobs = self._rows.tables.jobs.rows
        return [(job_id, jobs[job_id].token) for lease, job_id in entries if lease < now]

    def quarantine(
        self,
        job_id: JobId,
        reason: str,
        now: datetime,
        *,
        token: int | None = None,
        attempt: int | None = None,
    ) -> Settlement | None:
        """Fail a job whose row cannot be processed."""
        job = self._rows.get(job_id)
        if job is None or job.state in ENDED:
            return None
        if token not in {None, job.token} or attempt not in {None, job.attempt}:
            return None
        self._rows.put(
            evolve(
                job,
                state=JobState.FAILED,
                mode=ClaimMode.ORDINARY,
                reason=reason,
                due_at=now,
                ended_at=now,
                lease_until=None,
                progress=None,
                result=None,
            )
        )
        self._rows.release({job.concurrency_key} - {None}, now)
        return Settlement(
            id=job_id,
            token=job.token,
            attempt=job.attempt,
            uncharged=job.uncharged,
            state=JobState.FAILED,
            outcome=Outcome.FAILED,
            concurrency_key=job.concurrency_key,
            queued_at=None,
            started_at=now,
            ended_at=now,
            mode=ClaimMode.ORDINARY,
            error=reason,
            schedule_id=job.schedule_id,
        )

    def find_releasable(
        self, after: str = "", *, limit: int = 500, thorough: bool = True
    ) -> Releasable:
        """Walk the keys with held jobs from a cursor."""
        held = [key for _, key in self._rows.tables.job_index.keys("held")]
        walked = sorted(key for key in held if key > after)[:limit]
        tasks = sorted({job.task for job in self._rows.by_index("held", "")})
        return Releasable(
            keys=[key for key in walked if self._may_release(key, thorough)],
            tasks=[task for task in tasks if self._rows.is_active(task)],
            last_key=walked[-1] if len(walked) == limit else "",
        )

    def release_held(self, found: Releasable, now: datetime, *, limit: int = 500) -> int:
        """Make held jobs of keys and tasks READY; return how many."""
        released = 0
        for task in found.tasks:
            released += self.release_task(task, now, limit=limit - released)
        return released + self._rows.release(found.keys, now)

    def remove_unused_keys(self, after: str, *, limit: int = 500) -> tuple[int, str]:
        """Remove keys without unfinished jobs; return how many, and the last key read."""
        keys = self._rows.tables.concurrency_keys
        read = sorted(key for key in keys.rows if key > after)[:limit]
        used = {job.concurrency_key for job in self._rows.tables.jobs if job.state not in ENDED}
        unused = [key for key in read if key not in used]
        for key in unused:
            keys.delete(key)
        return len(unused), read[-1] if len(read) == limit else ""

    def _may_release(self, key: str, thorough: bool) -> bool:
        jobs = [*islice(self._rows.by_index("held", key), None if thorough else 1)]
        is_free = (self._rows.free_slots(key) or 0) > 0
        return is_free and any(self._rows.is_active(job.task) for job in jobs)

    def waiting_queues(self) -> Sequence[str]:
        """Return the running queues that have ready jobs."""
        queues = [queue for _, queue in self._rows.tables.job_index.keys("ready")]
        return [queue for queue in queues if self._is_running(queue)]

    def hold_first(self, tasks: Sequence[str], *, limit: int) -> int:
        """Move READY jobs among the first of each queue to HELD; return how many."""
        held = 0
        for queue in self.waiting_queues():
            first = islice(self._rows.by_index("ready", queue), FIRST_ROWS)
            held += self._hold(list(islice((job for job in first if job.task in tasks), limit)))
        return held

    def _hold(self, rows: Sequence[Job]) -> int:
        for job in rows:
            self._rows.put(evolve(job, state=JobState.HELD))
        freed = {job.concurrency_key for job in rows} - {None}
        self._rows.release(freed, self._rows.clock.now())
        return len(rows)

    def release_task(self, key: str, now: datetime, *, limit: int) -> int:
        """Move HELD jobs of a task that have no concurrency key to READY."""
        return len(self._rows.make_ready(self._held_of_task(key)[: max(limit, 0)], now))

    def count_held(self, key: str, *, limit: int) -> int:
        """Return the number of HELD jobs of a task that have no key, at most `limit`."""
        return min(len(self._held_of_task(key)), limit)

    def _held_of_task(self, key: str) -> list[Job]:
        held = [job for job in self._rows.by_index("held", "") if job.task == key]
        return sorted(held, key=lambda job: job.id)

    def record_progress(self, notes: Sequence[tuple[JobId, int, Progress]]) -> None:
        """Write the progress of jobs that still run under the given tokens."""
        for job_id, token, progress in notes:
            if (job := self._rows.running(job_id, token)) is not None:
                self._rows.put(evolve(job, progress=progress))

    def next_due(self) -> datetime | None:
        """Return when the earliest SCHEDULED job is due."""
        entries = self._rows.tables.job_index.of("scheduled")
        return entries[0][0] if entries else None

    def has_held(self) -> bool:
        """Whether any job is HELD."""
        return bool(self._rows.tables.job_index.keys("held"))

    def prune(self, states: Sequence[JobState], before: datetime, *, limit: int) -> Sequence[str]:
        """Delete ended jobs without a schedule; return the keys of their files."""
        jobs = (job for job in self._rows.tables.jobs if job.schedule_id is None)
        return self._prune((job for job in jobs if job.state in states), before, limit)

    def prune_scheduled(self, before: datetime, *, limit: int) -> Sequence[str]:
        """Delete ended jobs of schedules; return the keys of their files."""
        jobs = (job for job in self._rows.tables.jobs if job.schedule_id is not None)
        return self._prune(jobs, before, limit)

    def _prune(self, jobs: Iterable[Job], before: datetime, limit: int) -> list[str]:
        tables = self._rows.tables
        old = [job for job in jobs if job.state.ended and (job.ended_at or job.created_at) < before]
        freed: list[str] = []
        for job in sorted(old, key=lambda job: job.id)[:limit]:
            freed += [file.key for file in tables.artifacts.get(job.id) or ()] or [""]
            tables.delete_job(job)
        return freed

    def _ready(self, queue: str, limit: int, limits: ClaimLimits) -> list[Job]:
        jobs = self._rows.tables.jobs.rows
        inactive = {each.key for each in self._rows.tables.definitions if not each.is_active}
        tasks, keys = inactive | set(limits.excluded_tasks), set(limits.saturated_keys)
        rows: list[Job] = []
        for *_, job_id in self._rows.tables.job_index.of("ready", queue):
            if len(rows) >= limit:
                break
            job = jobs[job_id]
            if self._is_being_cancelled(job):
                continue
            if not job.cancel_requested and job.task not in tasks and job.fairness_key not in keys:
                rows.append(job)
        return rows

    def _is_being_cancelled(self, job: Job) -> bool:
        """Whether the job is a run that an unfinished cancellation covers."""
        return job.schedule_id is not None and any(
            each.schedule_id == job.schedule_id and each.last_job_id >= job.id
            for each in self._rows.tables.cancellations
        )

    def _count_running(self) -> Counter[str]:
        jobs = self._rows.tables.jobs.rows
        running = (jobs[job_id] for _, job_id in self._rows.tables.job_index.of("running"))
        return Counter(job.fairness_key for job in running if is_counted(job.owner, job.mode))

    def _is_running(self, queue: str) -> bool:
        return self._rows.tables.queues.get(queue) in {None, "running"}

    def _add_attempt(self, settlement: Settlement) -> None:
        """Append the attempt that a settlement finishes."""
        attempts = self._rows.tables.attempts
        values = {name: getattr(settlement, name) for name in _ATTEMPT_FIELDS}
        attempt = Attempt(job_id=settlement.id, number=settlement.attempt, **values)
        attempts.put(settlement.id, (*(attempts.get(settlement.id) or ()), attempt))

    def _restore_unclaimed(self, job: Job) -> Job:
        """Return a claimed job as before the claim, with a new token."""
        earlier = self._rows.tables.attempts.get(job.id)
        return evolve(
            job,
            state=JobState.READY,
            attempt=job.attempt - 1,
            token=job.token + 1,
            lease_until=None,
            worker=earlier[-1].worker if earlier else None,
            started_at=earlier[-1].started_at if earlier else None,
        )


def _apply(job: Job, settlement: Settlement) -> Job:
    state = settlement.state
    if state is JobState.SCHEDULED and job.cancel_requested:
        state = JobState.CANCELLED
    scheduled = state is JobState.SCHEDULED
    return evolve(
        job,
        state=state,
        due_at=(settlement.due_at or job.due_at) if scheduled else job.due_at,
        uncharged=settlement.uncharged,
        mode=settlement.mode,
        result=isolated_copy(settlement.result),
        reason=settlement.error,
        lease_until=None,
        ended_at=None if scheduled else settlement.ended_at,
    )


def _make_claim(job: Job, parameters: Mapping[str, Any]) -> Claim:
    values = {name: getattr(job, name) for name in _CLAIM_FIELDS}
    return Claim(**values, parameters=parameters, tick=job.tick or job.for_tick)


def _read_claim(job: Job) -> Claim:
    parameters: object = job.parameters
    if isinstance(parameters, Mapping):
        return _make_claim(job, job.parameters)
    assert job.started_at is not None
    return Claim.of_unreadable(
        job.id, job.token, "the parameters are not a JSON object", job.started_at
    )
