"""Use cases of jobs, queues and workers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import Factory, evolve, field, frozen

from workbell.domain.audit.entry import AuditEntry
from workbell.domain.errors import Conflict, Invalid, NotFound
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import LOGIN_REQUIRED, Action, check, get_scope
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.attempt import Artifact, Attempt, LogLine
from workbell.domain.jobs.job import Job, JobId, JobOrigin, JobState, claim_mode
from workbell.domain.jobs.task import OnLost, Task
from workbell.domain.validation import check_request
from workbell.ports.files import FileStore
from workbell.ports.jobs.queues import JobStats, QueueStats, WorkerInfo
from workbell.ports.jobs.repository import JobsTx
from workbell.ports.jobs.views import JobFilter, JobPage
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.audit.entries import audit_command, changed_values, created_values
from workbell.services.jobs.capacity import WaitingCapacity
from workbell.services.jobs.requests import (
    NewJob,
    check_idempotency_key,
    check_priority,
    check_queue,
)
from workbell.services.jobs.task_definitions import TaskDefinitionService
from workbell.services.transaction_retry import retry_on_contention


@frozen(kw_only=True)
class JobService:
    """
    Enqueue, read, cancel and retry jobs; administer queues.

    Methods that take a job id raise `NotFound` unless the actor may see the
    job, and those that change it `Conflict` if its state does not allow that.
    `follow_up` returns the job that another context needs after a command has
    changed the state of a job, or None.
    """

    store: Store[JobsTx]
    clock: Clock
    definitions: TaskDefinitionService
    files: FileStore
    max_waiting: int = 10_000
    known_queues: Sequence[str] = ("default",)
    follow_up: Callable[[Job, datetime], Job | None] = lambda _, __: None
    capacity: WaitingCapacity = field(
        default=Factory(
            lambda self: WaitingCapacity(self.store, self.clock, self.max_waiting), takes_self=True
        ),
        init=False,
    )

    @retry_on_contention
    def create(
        self,
        actor: Actor,
        new: NewJob,
        *,
        owner: UserId | None = None,
        idempotency_key: str | None = None,
        origin: JobOrigin = JobOrigin.API,
    ) -> tuple[Job, bool]:
        """
        Enqueue a job; return it, and whether it is new.

        A repeated request with the same idempotency key returns the first job.

        Raises:
            Invalid: A field is wrong.
            LimitReached: The owner has too many waiting jobs.
            Conflict: The key was used for another request.
            NotAllowed: The actor has not logged in.
        """
        check(actor, Action.MAKE_JOB, LOGIN_REQUIRED)
        check_request(new)
        owner = actor.user_id if owner is None else owner
        if (existing := self._find_by_idempotency_key(owner, idempotency_key, new)) is not None:
            return existing, False
        job = self.prepare(actor, new, owner=owner, idempotency_key=idempotency_key, origin=origin)
        self.capacity.check(owner, 1)
        # no audit entry is written for the system
        with self.store.begin(single_statement=actor.is_system) as tx:
            (added,) = tx.jobs.add([job], job.created_at)
            if added is not None:
                _audit_new(tx, actor, added)
                return added, True
        if (existing := self._find_by_idempotency_key(owner, idempotency_key, new)) is None:
            raise Conflict("The key was used by another request at the same time; retry.")
        return existing, False

    def create_many(
        self, actor: Actor, jobs: Sequence[NewJob], *, owner: UserId | None = None
    ) -> Sequence[Job]:
        """
        Enqueue many jobs, in transactions of 500.

        Raises:
            Invalid: A field of one of them is wrong; none was stored.
            LimitReached: The owner would have too many waiting jobs.
        """
        for new in jobs:
            check_request(new)
        prepared = [self.prepare(actor, new, owner=owner, origin=JobOrigin.LIBRARY) for new in jobs]
        if prepared:
            self.capacity.check(prepared[0].owner, len(prepared))
        added: list[Job] = []
        for at in range(0, len(prepared), 500):
            added += self._add(actor, prepared[at : at + 500])
        return added

    def prepare(
        self,
        actor: Actor,
        new: NewJob,
        *,
        owner: UserId | None = None,
        idempotency_key: str | None = None,
        origin: JobOrigin = JobOrigin.API,
    ) -> Job:
        """Return a new job for a request, validated but not stored."""
        now = self.clock.now()
        task = self._task(new)
        check_priority(actor, new.priority)
        check_queue(new.queue, self.known_queues)
        if new.scheduled_time is not None and new.scheduled_time < now:
            raise Invalid.field("scheduled_time", "Must not be in the past.")
        parameters = self.definitions.check(actor, task, new.parameters)
        return Job(
            owner=actor.user_id if owner is None else owner,
            task=task.key,
            name=new.name,
            description=new.description,
            parameters=parameters,
            due_at=(new.scheduled_time or now) + self._delay(task, parameters),
            queue=new.queue or task.queue,
            priority=new.priority,
            weight=actor.tier.weight,
            mode=claim_mode(task),
            fail_when_lost=task.on_lost is OnLost.FAIL,
            max_attempts=new.max_attempts or task.max_attempts,
            timeout_seconds=new.timeout_seconds or task.timeout_seconds,
            origin=origin,
            idempotency_key=idempotency_key,
            request_hash=None if idempotency_key is None else self._digest(new),
            created_at=now,
        )

    def get(self, actor: Actor, job_id: JobId) -> Job:
        """Return a job visible to the actor."""
        with self.store.view() as tx:
            return tx.jobs.get(get_scope(actor, Action.READ_JOBS), job_id)

    def find(
        self, actor: Actor, filters: JobFilter, ordering: Sequence[str], offset: int, limit: int
    ) -> Sequence[Job]:
        """Return a page of the actor's jobs."""
        with self.store.view() as tx:
            scope = get_scope(actor, Action.READ_JOBS)
            return tx.jobs.find(scope, filters, ordering=ordering, offset=offset, limit=limit)

    def list_page(
        self,
        actor: Actor,
        filters: JobFilter,
        ordering: Sequence[str],
        offset: int,
        limit: int,
        *,
        is_counted: bool = True,
    ) -> JobPage:
        """Return a page of the actor's jobs, with their number and the end of the window."""
        scope, page = get_scope(actor, Action.READ_JOBS), {"offset": offset, "limit": limit}
        with self.store.view() as tx:
            return tx.jobs.list_page(
                scope, filters, ordering=ordering, is_counted=is_counted, **page
            )

    @retry_on_contention
    def cancel(self, actor: Actor, job_id: JobId) -> Job:
        """Cancel a waiting job, or request cancellation of a running one."""
        now = self.clock.now()
        with self.store.begin() as tx:
            before = tx.jobs.get_for_update(get_scope(actor, Action.CHANGE_JOBS), job_id)
            after = self._cancel(before, now)
            self._replace(tx, before, after)
            _audit_change(tx, actor, "CANCEL", before, after, now)
        return self.get(actor, job_id)

    @retry_on_contention
    def retry(self, actor: Actor, job_id: JobId) -> tuple[Job, bool]:
        """
        Retry a failed or cancelled job; enqueue a copy of a succeeded one.

        Returns the job, and whether it is a new one.
        """
        now = self.clock.now()
        with self.store.begin() as tx:
            before = tx.jobs.get_for_update(get_scope(actor, Action.CHANGE_JOBS), job_id)
            if before.state is JobState.SUCCEEDED:
                (copy,) = tx.jobs.add([before.rerun(now)], now)
                assert copy is not None
                audit_command(
                    tx.audit, actor, "RERUN", "job", copy.id, now, {"rerun_of": [None, job_id]}
                )
                return copy, True
            after = before.retry(now)
            self._replace(tx, before, after)
            _audit_change(tx, actor, "RETRY", before, after, now)
        return self.get(actor, job_id), False

    @retry_on_contention
    def remove(self, actor: Actor, job_id: JobId) -> None:
        """Cancel a job that has not ended; hide one that has."""
        now = self.clock.now()
        with self.store.begin() as tx:
            before = tx.jobs.get_for_update(get_scope(actor, Action.CHANGE_JOBS), job_id)
            ended = before.state.ended
            after = evolve(before, hidden=True) if ended else self._cancel(before, now)
            self._replace(tx, before, after)
            _audit_change(tx, actor, "DELETE", before, after, now)

    def result(self, actor: Actor, job_id: JobId) -> Job:
        """Return a job that has ended; raises Invalid before its end."""
        job = self.get(actor, job_id)
        if not job.state.ended:
            raise Invalid("The job has not ended yet.")
        return job

    def attempts(self, actor: Actor, job_id: JobId) -> Sequence[Attempt]:
        """Return a job's attempts, oldest first; a running one has no end."""
        with self.store.view() as tx:
            job = tx.jobs.get(get_scope(actor, Action.READ_JOBS), job_id)
            attempts = list(tx.jobs.attempts(job_id))
        if job.state is JobState.RUNNING and job.started_at is not None:
            attempts.append(
                Attempt(
                    job_id=job.id,
                    number=job.attempt,
                    queued_at=job.queued_at,
                    started_at=job.started_at,
                    ended_at=None,
                    outcome=None,
                    worker=job.worker,
                    error=None,
                    traceback=None,
                )
            )
        return attempts

    def logs(
        self, actor: Actor, job_id: JobId, *, attempt: int | None, after: int, limit: int
    ) -> Sequence[LogLine]:
        """Return a job's log lines, ordered by attempt."""
        with self.store.view() as tx:
            tx.jobs.get(get_scope(actor, Action.READ_JOBS), job_id)
            return tx.logs.lines(job_id, attempt=attempt, after=after, limit=limit)

    def artifacts(self, actor: Actor, job_id: JobId) -> Sequence[Artifact]:
        """Return a job's files, by name."""
        with self.store.view() as tx:
            tx.jobs.get(get_scope(actor, Action.READ_JOBS), job_id)
            return tx.logs.artifacts(job_id)

    def artifact(self, actor: Actor, job_id: JobId, name: str) -> tuple[Artifact, Iterator[bytes]]:
        """Return one of a job's files and its content in chunks."""
        for artifact in self.artifacts(actor, job_id):
            if artifact.name == name:
                return artifact, self.files.read(artifact.key)
        raise NotFound(f"The job has no file {name!r}.")

    def stats(self, actor: Actor) -> JobStats:
        """Return counts of the actor's jobs."""
        with self.store.view() as tx:
            return tx.statistics.jobs(get_scope(actor, Action.READ_JOBS), self.clock.now())

    def queues(self) -> Sequence[QueueStats]:
        """Return all queues, including known ones without a row."""
        with self.store.view() as tx:
            stats = {queue.name: queue for queue in tx.queues.all()}
        for name in self.known_queues:
            stats.setdefault(name, QueueStats(name=name, state="running"))
        return [stats[name] for name in sorted(stats)]

    @retry_on_contention
    def switch_queue(self, actor: Actor, name: str, state: str) -> QueueStats:
        """Set a queue to 'running', 'paused' or 'draining'; superusers only."""
        check(actor, Action.SWITCH_QUEUES, "Only superusers switch queues.")
        before = self._queue(name)
        now = self.clock.now()
        with self.store.begin() as tx:
            tx.queues.set_state(name, state, now)
            tx.queues.finish_drains(now)
            changes = {"state": [before.state, state]}
            tx.audit.add(AuditEntry.of(actor, "UPDATE", "queue", name, now, changes))
        return self._queue(name)

    def workers(self, actor: Actor) -> Sequence[WorkerInfo]:
        """Return the worker processes; superusers only."""
        check(actor, Action.READ_WORKERS, "Only superusers see the workers.")
        with self.store.view() as tx:
            return tx.workers.all()

    @retry_on_contention
    def _add(self, actor: Actor, jobs: Sequence[Job]) -> Sequence[Job]:
        with self.store.begin() as tx:
            batch = tx.jobs.add(jobs, self.clock.now())
            added = [job for job in batch if job is not None]
            for job in added:
                _audit_new(tx, actor, job)
        return added

    def _queue(self, name: str) -> QueueStats:
        for queue in self.queues():
            if queue.name == name:
                return queue
        raise NotFound(f"There is no queue {name!r}.")

    def _task(self, new: NewJob) -> Task:
        name = new.task_definition
        key = name if isinstance(name, str) else self.definitions.by_name(name).key
        if (task := self.definitions.tasks.find(key)) is None:
            key = self.definitions.by_name(key).key
            raise Invalid.field("task_definition", f"The code has no task {key!r}.")
        return task

    def _delay(self, task: Task, parameters: Mapping[str, Any]) -> timedelta:
        if task.delay is None:
            return timedelta(0)
        return timedelta(seconds=task.delay(self.definitions.parse_parameters(task, parameters)))

    def _digest(self, new: NewJob) -> str:
        serializer = self.definitions.serializer
        return serializer.digest(serializer.unstructure(new))

    def _find_by_idempotency_key(self, owner: UserId, key: str | None, new: NewJob) -> Job | None:
        """Return the job that the same request created under its key."""
        if key is None:
            return None
        check_idempotency_key(key)
        with self.store.view() as tx:
            existing = tx.jobs.by_idempotency_key(owner, key)
        if existing is not None and existing.request_hash != self._digest(new):
            raise Conflict("The Idempotency-Key was used for another request.")
        return existing

    def _cancel(self, job: Job, now: datetime) -> Job:
        task = self.definitions.tasks.find(job.task)
        if task is not None and not task.is_cancellable:
            raise Conflict("The job cannot be cancelled: the service depends on it.")
        return job.cancel(now)

    def _replace(self, tx: JobsTx, before: Job, after: Job) -> None:
        if not tx.jobs.replace(before, after):
            raise Conflict("The job was changed by another request; read it again.")
        now = self.clock.now()
        if before.state is not after.state and (job := self.follow_up(after, now)) is not None:
            tx.jobs.add([job], now)


def _audit_new(tx: JobsTx, actor: Actor, job: Job) -> None:
    values = {"task": job.task, "name": job.name, "queue": job.queue, "priority": job.priority}
    changes = created_values(values)
    audit_command(tx.audit, actor, "CREATE", "job", job.id, job.created_at, changes)


def _audit_change(
    tx: JobsTx, actor: Actor, action: str, before: Job, after: Job, now: datetime
) -> None:
    changes = changed_values(_audited_values(before), _audited_values(after))
    audit_command(tx.audit, actor, action, "job", after.id, now, changes)


def _audited_values(job: Job) -> dict[str, Any]:
    return {
        "status": job.status.value,
        "cancel_requested": job.cancel_requested,
        "is_hidden": job.hidden,
    }
