"""Jobs and schedules of an open client."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Unpack

from attrs import field, frozen

from workbell.domain.identity.actor import ALL_OWNERS, SYSTEM
from workbell.domain.jobs.attempt import Attempt
from workbell.domain.jobs.job import Job, JobId, JobOrigin
from workbell.domain.schedules.schedule import Schedule, ScheduleId
from workbell.domain.validation import check_request
from workbell.entrypoints.library.arguments import (
    JOB_NAMES,
    SCHEDULE_NAMES,
    ScheduleChanges,
    ScheduleOptions,
    check_id,
    check_owner,
    in_python_names,
    to_due_time,
    to_json_object,
    to_schedule_fields,
    to_statuses,
)
from workbell.ports.jobs.views import JobFilter
from workbell.ports.schedules.views import ScheduleFilter
from workbell.services.jobs.requests import NewJob
from workbell.services.schedules.commands import BackfillPlan
from workbell.services.schedules.requests import NewSchedule

if TYPE_CHECKING:  # `import workbell` stays fast
    from sqlalchemy import Connection

    from workbell.entrypoints.bootstrap.application import Application


@frozen
class JobsClient:
    """Jobs; a client acts with all permissions."""

    _application: "Application" = field(repr=False)

    def enqueue(
        self,
        task: str,
        parameters: Any = None,
        *,
        at: datetime | None = None,
        delay: timedelta | None = None,
        owner: int = 0,
        name: str = "",
        queue: str | None = None,
        priority: int = 0,
        max_attempts: int | None = None,
        timeout_seconds: int | None = None,
        idempotency_key: str | None = None,
        connection: "Connection | None" = None,
    ) -> Job:
        """
        Enqueue a job and return it.

        A second call with the same `idempotency_key` returns the first job.

        With `connection`, a SQLAlchemy connection to the same database, the
        job is inserted in the caller's transaction. No worker is notified: the
        sweeper finds the job within a second after the commit, or call
        `Client.wake()` to start it at once. The database is the same if the
        URLs of both engines name the same SQLite file, or a server of the same
        kind with the same host (by name or address), port and database.

        Raises:
            Invalid: An argument has a value that is not allowed, the parameters
                do not match the task, or the connection is to another database.
                No statement was sent, so the caller's transaction goes on.
            Conflict: The key was used for a different request.
        """
        application = self._application
        with in_python_names(JOB_NAMES):
            new = NewJob(
                name=name,
                task_definition=task,
                parameters=to_json_object(application, parameters),
                scheduled_time=to_due_time(application.clock.now(), at, delay),
                queue=queue,
                priority=priority,
                max_attempts=max_attempts,
                timeout_seconds=timeout_seconds,
            )
            jobs = application.jobs
            if connection is not None:
                jobs = application.jobs_in_transaction(connection)
            job, _ = jobs.create(
                SYSTEM,
                new,
                owner=check_owner(owner),
                idempotency_key=idempotency_key,
                origin=JobOrigin.LIBRARY,
            )
        return job

    def enqueue_many(
        self, task: str, parameters: Sequence[Any], *, owner: int = 0, queue: str | None = None
    ) -> Sequence[Job]:
        """
        Enqueue a job for each of the parameters, 500 per transaction.

        Raises:
            Invalid: An argument has a value that is not allowed, or some
                parameters do not match the task; no job was enqueued.
        """
        with in_python_names(JOB_NAMES):
            objects = [to_json_object(self._application, each) for each in parameters]
            new = [NewJob(task_definition=task, parameters=each, queue=queue) for each in objects]
            return self._application.jobs.create_many(SYSTEM, new, owner=check_owner(owner))

    def get(self, job_id: int) -> Job:
        """Return a job; raises NotFound."""
        return self._application.jobs.get(SYSTEM, _to_job_id(job_id))

    def attempts(self, job_id: int) -> Sequence[Attempt]:
        """
        Return the attempts of a job, oldest first; the last one may be running.

        Each has its outcome, error, traceback, worker and timings.

        Raises:
            NotFound: There is no such job.
        """
        return self._application.jobs.attempts(SYSTEM, _to_job_id(job_id))

    def find(
        self,
        *,
        statuses: Sequence[str] | None = None,
        task: str | None = None,
        owner: int | None = None,
        schedule_id: int | None = None,
        limit: int = 100,
    ) -> Sequence[Job]:
        """Return jobs that match all filters, newest first; may raise Invalid."""
        filters = JobFilter(
            statuses=to_statuses(statuses),
            task=task,
            owner=None if owner is None else check_owner(owner),
            schedule_id=schedule_id,
        )
        check_request(filters)
        return self._application.jobs.find(SYSTEM, filters, ("-id",), 0, check_id("limit", limit))

    def cancel(self, job_id: int) -> Job:
        """
        Cancel a waiting job, or request cancellation of a running one.

        Raises:
            NotFound: There is no such job.
            Conflict: The job has ended.
        """
        return self._application.jobs.cancel(SYSTEM, _to_job_id(job_id))

    def retry(self, job_id: int) -> Job:
        """
        Retry a failed or cancelled job; rerun a succeeded one as a new job.

        Raises:
            NotFound: There is no such job.
            Conflict: The job has not ended.
        """
        return self._application.jobs.retry(SYSTEM, _to_job_id(job_id))[0]


@frozen
class SchedulesClient:
    """Schedules; a client acts with all permissions."""

    _application: "Application" = field(repr=False)

    def create(
        self,
        *,
        task: str,
        cron: str,
        owner: int = 0,
        **options: Unpack[ScheduleOptions],
    ) -> Schedule:
        """
        Create a schedule; MAX_ACTIVE_SCHEDULES does not apply.

        Raises:
            Invalid: A field has a value that is not allowed, or is unknown.
        """
        application = self._application
        with in_python_names(SCHEDULE_NAMES):
            fields = to_schedule_fields(application, {"task": task, "cron": cron, **options})
            new, by = NewSchedule(**fields), check_owner(owner)
            return application.schedules.create(SYSTEM, new, owner=by).schedule

    def get(self, schedule_id: int) -> Schedule:
        """Return a schedule; raises NotFound."""
        return self._application.schedules.get(SYSTEM, _to_schedule_id(schedule_id)).schedule

    def find(self, *, owner: int | None = None, limit: int = 100) -> Sequence[Schedule]:
        """Return schedules, newest first."""
        filters = ScheduleFilter(owner=None if owner is None else check_owner(owner))
        with self._application.store.view() as tx:
            views = tx.schedules.find(ALL_OWNERS, filters, limit=check_id("limit", limit))
        return [view.schedule for view in views]

    def pause(self, schedule_id: int) -> Schedule:
        """Pause a schedule; raises NotFound."""
        return self.edit(schedule_id, is_active=False)

    def resume(self, schedule_id: int) -> Schedule:
        """Resume a schedule from now on, without missed ticks; raises NotFound."""
        return self.edit(schedule_id, is_active=True)

    def edit(self, schedule_id: int, **changes: Unpack[ScheduleChanges]) -> Schedule:
        """
        Change fields of a schedule, by the names that `create` takes.

        Raises:
            NotFound: There is no such schedule.
            Invalid: A field has a value that is not allowed, or is unknown.
        """
        application, id_ = self._application, _to_schedule_id(schedule_id)
        with in_python_names(SCHEDULE_NAMES):
            fields = to_schedule_fields(application, changes)
            updates = application.serializer.unstructure(fields)
            return application.schedules.edit(SYSTEM, id_, updates).schedule

    def delete(self, schedule_id: int) -> None:
        """Delete a schedule and cancel its waiting jobs; raises NotFound."""
        self._application.schedules.delete(SYSTEM, _to_schedule_id(schedule_id))

    def run_now(self, schedule_id: int) -> Job:
        """Enqueue one extra run of a schedule now; raises NotFound."""
        return self._application.schedules.run_now(SYSTEM, _to_schedule_id(schedule_id))

    def backfill(
        self, schedule_id: int, start: datetime, end: datetime, *, dry_run: bool = False
    ) -> BackfillPlan:
        """
        Enqueue a run for each tick of a past range, or list them (`dry_run`).

        Raises:
            NotFound: There is no such schedule.
            Invalid: The range is empty, not in the past, or too long.
        """
        return self._application.schedules.backfill(
            SYSTEM, _to_schedule_id(schedule_id), start, end, dry_run=dry_run
        )


def _to_job_id(job_id: int) -> JobId:
    return JobId(check_id("job_id", job_id))


def _to_schedule_id(schedule_id: int) -> ScheduleId:
    return ScheduleId(check_id("schedule_id", schedule_id))
