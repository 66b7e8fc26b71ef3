"""Jobs and schedules of an open client."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from workbell.domain.cron.rule import DstGap, DstOverlap
from workbell.domain.errors import Invalid
from workbell.domain.identity.actor import ALL_OWNERS, SYSTEM
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.attempt import Attempt
from workbell.domain.jobs.job import Job, JobId, JobOrigin, Status
from workbell.domain.schedules.schedule import MisfirePolicy, OverlapPolicy, Schedule, ScheduleId
from workbell.ports.jobs.repository import JobFilter
from workbell.ports.schedules.views import ScheduleFilter
from workbell.services.jobs.requests import NewJob
from workbell.services.schedules.commands import BackfillPlan
from workbell.services.schedules.requests import NewSchedule

if TYPE_CHECKING:  # `import workbell` stays fast
    from sqlalchemy import Connection

    from workbell.entrypoints.bootstrap.application import Application


def to_json_object(application: "Application", parameters: Any) -> Mapping[str, Any]:
    """Convert parameters of any class to a JSON object; None is an empty one."""
    data = {} if parameters is None else application.serializer.unstructure(parameters)
    if not isinstance(data, Mapping):
        raise Invalid.field("parameters", "Must be an object.")
    return data


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
        `Client.wake()` to start it at once.

        Raises:
            Invalid: The parameters do not match the task.
            Conflict: The key was used for a different request.
        """
        application = self._application
        new = NewJob(
            name=name,
            task_definition=task,
            parameters=to_json_object(application, parameters),
            scheduled_time=at if delay is None else (at or application.clock.now()) + delay,
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
            owner=UserId(owner),
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
            Invalid: Some parameters do not match the task; no job was enqueued.
        """
        objects = [to_json_object(self._application, each) for each in parameters]
        new = [NewJob(task_definition=task, parameters=each, queue=queue) for each in objects]
        return self._application.jobs.create_many(SYSTEM, new, owner=UserId(owner))

    def get(self, job_id: int) -> Job:
        """Return a job; raises NotFound."""
        return self._application.jobs.get(SYSTEM, JobId(job_id))

    def attempts(self, job_id: int) -> Sequence[Attempt]:
        """
        Return the attempts of a job, oldest first; the last one may be running.

        Each has its outcome, error, traceback, worker and timings.

        Raises:
            NotFound: There is no such job.
        """
        return self._application.jobs.attempts(SYSTEM, JobId(job_id))

    def find(
        self,
        *,
        statuses: Sequence[str] | None = None,
        task: str | None = None,
        owner: int | None = None,
        schedule_id: int | None = None,
        limit: int = 100,
    ) -> Sequence[Job]:
        """Return jobs that match all filters, newest first."""
        filters = JobFilter(
            statuses=None if statuses is None else [Status(word) for word in statuses],
            task=task,
            owner=None if owner is None else UserId(owner),
            schedule_id=schedule_id,
        )
        return self._application.jobs.find(SYSTEM, filters, ("-id",), 0, limit)

    def cancel(self, job_id: int) -> Job:
        """
        Cancel a waiting job, or request cancellation of a running one.

        Raises:
            NotFound: There is no such job.
            Conflict: The job has ended.
        """
        return self._application.jobs.cancel(SYSTEM, JobId(job_id))

    def retry(self, job_id: int) -> Job:
        """
        Retry a failed or cancelled job; rerun a succeeded one as a new job.

        Raises:
            NotFound: There is no such job.
            Conflict: The job has not ended.
        """
        return self._application.jobs.retry(SYSTEM, JobId(job_id))[0]


@frozen
class SchedulesClient:
    """Schedules; a client acts with all permissions."""

    _application: "Application" = field(repr=False)

    def create(
        self,
        *,
        task: str,
        cron: str,
        parameters: Any = None,
        owner: int = 0,
        time_zone: str = "UTC",
        name: str = "",
        is_active: bool = True,
        misfire_policy: str = "latest",
        overlap_policy: str = "skip",
        dst_gap: str = "run_after",
        dst_overlap: str = "first",
        starts_at: datetime | None = None,
        ends_at: datetime | None = None,
        max_runs: int | None = None,
        jitter_seconds: int = 0,
        queue: str | None = None,
        alert_after_seconds: int | None = None,
    ) -> Schedule:
        """
        Create a schedule; MAX_ACTIVE_SCHEDULES does not apply.

        Raises:
            Invalid: The expression, the time zone or the parameters are invalid.
        """
        new = NewSchedule(
            task_definition=task,
            cron_expression=cron,
            parameters=to_json_object(self._application, parameters),
            is_active=is_active,
            name=name,
            time_zone=time_zone,
            misfire_policy=MisfirePolicy(misfire_policy),
            overlap_policy=OverlapPolicy(overlap_policy),
            dst_gap=DstGap(dst_gap),
            dst_overlap=DstOverlap(dst_overlap),
            starts_at=starts_at,
            ends_at=ends_at,
            max_runs=max_runs,
            jitter_seconds=jitter_seconds,
            queue=queue,
            alert_after_seconds=alert_after_seconds,
        )
        return self._application.schedules.create(SYSTEM, new, owner=UserId(owner)).schedule

    def get(self, schedule_id: int) -> Schedule:
        """Return a schedule; raises NotFound."""
        return self._application.schedules.get(SYSTEM, ScheduleId(schedule_id)).schedule

    def find(self, *, owner: int | None = None, limit: int = 100) -> Sequence[Schedule]:
        """Return schedules, newest first."""
        filters = ScheduleFilter(owner=None if owner is None else UserId(owner))
        with self._application.store.view() as tx:
            views = tx.schedules.find(ALL_OWNERS, filters, limit=limit)
        return [view.schedule for view in views]

    def pause(self, schedule_id: int) -> Schedule:
        """Pause a schedule; raises NotFound."""
        return self.edit(schedule_id, is_active=False)

    def resume(self, schedule_id: int) -> Schedule:
        """Resume a schedule from now on, without missed ticks; raises NotFound."""
        return self.edit(schedule_id, is_active=True)

    def edit(self, schedule_id: int, **changes: Any) -> Schedule:
        """
        Change fields of a schedule, by their names in the HTTP API.

        Raises:
            NotFound: There is no such schedule.
            Invalid: A field is invalid.
        """
        schedules = self._application.schedules
        return schedules.edit(SYSTEM, ScheduleId(schedule_id), changes).schedule

    def delete(self, schedule_id: int) -> None:
        """Delete a schedule and cancel its waiting jobs; raises NotFound."""
        self._application.schedules.delete(SYSTEM, ScheduleId(schedule_id))

    def run_now(self, schedule_id: int) -> Job:
        """Enqueue one extra run of a schedule now; raises NotFound."""
        return self._application.schedules.run_now(SYSTEM, ScheduleId(schedule_id))

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
            SYSTEM, ScheduleId(schedule_id), start, end, dry_run=dry_run
        )
